"""`tokenfactory`, also `kubectl tokenfactory`."""

from __future__ import annotations

import typer

from tokenfactory.cli import agent, check, crd, demo, explain, once, project, run

app = typer.Typer(
    name="tokenfactory",
    help="What a million tokens really costs, live, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
app.command("run", context_settings=_PASSED_ON)(run.run)
app.command("agent", context_settings=_PASSED_ON)(agent.agent)
app.command("once")(once.once)
app.command("explain")(explain.explain)
app.command("check")(check.check)
app.command("project")(project.project_command)
app.command("demo")(demo.demo)
app.command("crd")(crd.crd)


if __name__ == "__main__":
    app()
