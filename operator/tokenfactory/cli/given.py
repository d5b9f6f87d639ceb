"""The settings of a process from its flags and its environment, or what is wrong with them."""

from __future__ import annotations

import sys
from typing import TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

Given = TypeVar("Given", bound=BaseSettings)


def read_settings(kind: type[Given], context: typer.Context, *, command: str) -> Given:
    """Flags outrank the environment. Each problem is a line on stderr, and the exit code is 2."""
    try:
        return kind(_cli_parse_args=context.args, _cli_prog_name=command, _cli_kebab_case=True)
    except ValidationError as error:
        for problem in error.errors():
            print(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None
