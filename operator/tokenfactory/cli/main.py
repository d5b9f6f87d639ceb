"""`tokenfactory`, also `kubectl tokenfactory`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

import typer

_PASSED_ON: Mapping[str, Any] = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
}
COMMANDS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "run": ("run", _PASSED_ON),
        "agent": ("agent", _PASSED_ON),
        "once": ("once", {}),
        "explain": ("explain", {}),
        "check": ("check", {}),
        "project": ("project_command", {}),
        "demo": ("demo", {}),
        "crd": ("crd", {}),
    }
)
"""Each command's function in the module of the command's name, and how typer is to treat its arguments."""


def build(names: Iterable[str]) -> typer.Typer:
    """The command line with these commands. Only their modules are imported: the operator needs no demo."""
    application = typer.Typer(
        name="tokenfactory",
        help="What a million tokens really costs, live, and why.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    application.callback()(_stay_a_group)
    for name in names:
        function, settings = COMMANDS[name]
        module = import_module(f"tokenfactory.cli.{name}")
        application.command(name, **settings)(getattr(module, function))
    return application


def _stay_a_group() -> None:
    """What a million tokens really costs, live, and why."""


def main() -> None:
    """The entry point: the named command alone, or all of them for help."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    build((asked,) if asked in COMMANDS else COMMANDS)()


if __name__ == "__main__":
    main()
