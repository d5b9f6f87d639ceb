"""`tokenfactory agent`: GPU telemetry of a node without dcgm-exporter."""

from __future__ import annotations

import asyncio
import sys

import typer
from pydantic import ValidationError

from tokenfactory.agent.settings import AgentSettings
from tokenfactory.runtime import logs

NO_DRIVER = 3


def agent(context: typer.Context) -> None:
    """Serve the node's GPUs under dcgm-exporter's names. Settings: flags and TOKENFACTORY_AGENT_<NAME>."""
    try:
        settings = AgentSettings(
            _cli_parse_args=context.args, _cli_prog_name="tokenfactory agent", _cli_kebab_case=True
        )
    except ValidationError as error:
        for problem in error.errors():
            print(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None
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
