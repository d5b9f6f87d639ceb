"""`tokenfactory run`: the operator."""

from __future__ import annotations

import sys

import typer

from tokenfactory.errors import TokenFactoryError
from tokenfactory.runtime.lean import lean_imports


def run(context: typer.Context) -> None:
    """Run the operator. Every setting is a flag and an environment variable TOKENFACTORY_<NAME>."""
    with lean_imports():
        import uvloop

        from tokenfactory.cli.given import read_settings
        from tokenfactory.runtime import logs
        from tokenfactory.runtime.settings import Settings
        from tokenfactory.runtime.wiring import operate
    settings = read_settings(Settings, context, command="tokenfactory run")
    logs.configure(settings.log_format, settings.log_level)
    try:
        uvloop.run(operate(settings))
    except TokenFactoryError as error:
        print(f"tokenfactory run: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
