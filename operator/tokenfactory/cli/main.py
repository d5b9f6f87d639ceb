"""`tokenfactory`, also `kubectl tokenfactory`."""

from __future__ import annotations

import typer

from tokenfactory.cli import check, crd, demo, once, run

app = typer.Typer(
    name="tokenfactory",
    help="What a million tokens really costs, live, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(
    "run",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)(run.run)
app.command("once")(once.once)
app.command("check")(check.check)
app.command("demo")(demo.demo)
app.command("crd")(crd.crd)


if __name__ == "__main__":
    app()
