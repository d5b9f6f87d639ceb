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
        from pydantic import ValidationError

        from tokenfactory.runtime import logs
        from tokenfactory.runtime.settings import Settings
        from tokenfactory.runtime.wiring import operate
    try:
        settings = Settings(
            _cli_parse_args=context.args, _cli_prog_name="tokenfactory run", _cli_kebab_case=True
        )
    except ValidationError as error:
        for problem in error.errors():
            print(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None
    logs.configure(settings.log_format, settings.log_level)
    try:
        uvloop.run(operate(settings))
    except TokenFactoryError as error:
        print(f"tokenfactory run: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
