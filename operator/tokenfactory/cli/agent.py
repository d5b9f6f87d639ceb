"""`tokenfactory agent`: GPU telemetry of a node without dcgm-exporter."""

from __future__ import annotations

import asyncio
import sys

import typer

from tokenfactory.agent.settings import AgentSettings
from tokenfactory.cli.given import read_settings
from tokenfactory.runtime import logs

NO_DRIVER = 3


def agent(context: typer.Context) -> None:
    """Serve the node's GPUs under dcgm-exporter's names. Settings: flags and TOKENFACTORY_AGENT_<NAME>."""
    settings = read_settings(AgentSettings, context, command="tokenfactory agent")
    logs.configure(settings.log_format, settings.log_level)
    # gRPC and NVML stay out of the operator's memory.
    from tokenfactory.agent.nvml import DriverMissing
    from tokenfactory.agent.service import run_agent

    try:
        asyncio.run(run_agent(settings))
    except DriverMissing as missing:
        print(f"tokenfactory agent: {missing}", file=sys.stderr)
        raise typer.Exit(NO_DRIVER) from None
    except OSError as error:
        print(
            f"tokenfactory agent: {settings.bind_address}:{settings.port}: {error.strerror}", file=sys.stderr
        )
        raise typer.Exit(1) from None
