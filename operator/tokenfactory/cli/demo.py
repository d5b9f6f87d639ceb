"""`tokenfactory demo`: the main job on this machine."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tokenfactory.cli.bundled import show_bundled
from tokenfactory.cli.fitting import fit
from tokenfactory.sandbox.assets import locate_assets, provide_assets
from tokenfactory.sandbox.fleet import DEMO, WRONG
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.pager import Pager
from tokenfactory.sandbox.referee import Check, Referee
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.story import Story
from tokenfactory.sandbox.truth import state_truth_now

REFRESH_SECONDS = 5.0
EVENTS_SHOWN = 2
THE_END = "the end: found, priced, explained, mended"


def demo(
    duration: Annotated[
        float, typer.Option(help="seconds from the operator's first scrape to the verdict; 0: no verdict")
    ] = 0.0,
    story: Annotated[
        bool, typer.Option("--story", help="end with the story: a rollout that goes wrong, and its rollback")
    ] = False,
) -> None:
    """Run the operator against an embedded control plane and a replayed fleet whose true rates are known.

    Without --duration the story is told, and the fleet goes on until Ctrl-C.
    """
    console = Console()
    assets = locate_assets()
    if assets is None:
        show_bundled(console)
        console.print("Now the real thing: the control plane is built once, then kept.", style="dim")
        assets = provide_assets()
    try:
        with (
            Pager() as pager,
            Scene(
                assets,
                DEMO,
                alertmanagers=(pager.url,),
                say=lambda text: console.print(f"· {text}", style="dim"),
            ) as scene,
        ):
            scene.cluster.apply(WRONG)
            operator = scene.start_operator()
            hints = _hints(scene, operator, kubectl=assets.kubectl)
            console.print(hints, markup=False, highlight=False, soft_wrap=True)
            ok = _judge(console, scene, operator, duration) if duration else True
            if story or not duration:
                ok = tell(console, scene, Story(scene, pager)) and ok
            if not story and not duration:
                _go_on(console, scene)
    except KeyboardInterrupt:
        console.print("stopped: no process and no file is left")
        return
    raise typer.Exit(0 if ok else 1)


def _judge(console: Console, scene: Scene, operator: OperatorProcess, duration: float) -> bool:
    """Shows the fleet until the referee has compared it with the truth; whether all was right."""
    referee = Referee(scene, operator)
    while not referee.first_scrape():
        time.sleep(0.1)
    until = time.monotonic() + duration
    checks: list[tuple[Check, ...]] = []
    judging = threading.Thread(target=lambda: checks.append(referee.judge(until=until)), daemon=True)
    judging.start()
    with _screen(console) as screen:
        while judging.is_alive():
            screen(_fleet_view(scene, console))
            judging.join(REFRESH_SECONDS)
    if not checks:
        return False
    console.print(_verdict_table(checks[0]))
    return all(check.ok for check in checks[0])


def tell(console: Console, scene: Scene, story: Story) -> bool:
    """Shows the fleet and the story until it is over; whether it went as told."""
    advancing = threading.Thread(target=_advance, args=(story,), daemon=True)
    advancing.start()
    with _screen(console) as screen:
        while advancing.is_alive():
            screen(Group(_story_view(story, console), _fleet_view(scene, console)))
            advancing.join(REFRESH_SECONDS)
        screen(Group(_story_view(story, console), _fleet_view(scene, console)))
    told = story.over and not story.failed
    console.print(THE_END if told else f"not as it should be told: {story.failed or 'it broke off'}")
    return told


def _advance(story: Story) -> None:
    while not story.over:
        story.advance()
        time.sleep(1.0)


def _go_on(console: Console, scene: Scene) -> None:
    with _screen(console) as screen:
        while True:
            screen(_fleet_view(scene, console))
            time.sleep(REFRESH_SECONDS)


def _fleet_view(scene: Scene, console: Console) -> RenderableType:
    table = scene.kubectl("get", "inferencepools", "-A").rstrip()
    shown = fit(table, console.width) if console.is_terminal else table
    return Group(Text(f"{shown}\n"), _truth_table(scene))


def _story_view(story: Story, console: Console) -> RenderableType:
    """What happens, in the sandbox's words, and what the operator says of it, in its own."""
    chapter, said = story.chapter, story.tell()
    lines = [Text(f"· {line}", style="dim") for line in story.log]
    what = Text.assemble((f"{chapter.title}. ", "bold"), chapter.text)
    sick = said.reason in {"ThroughputCollapsed", "EfficiencyDegraded", "EngineStalled"}
    verdict = Text.assemble(
        ("the operator: ", "dim"), (said.reason, "red" if sick else "green"), f": {said.message}"
    )
    events = [Text(f"Event: {event}", style="dim") for event in said.events[-EVENTS_SHOWN:]]
    pages = [
        Text.assemble(
            ("the pager: ", "dim"),
            (f"{'FIRING' if page.firing else 'resolved'} {page.name}", "red" if page.firing else "green"),
            f" ({page.severity}): {page.message}",
        )
        for page in said.pages
    ]
    if console.is_terminal:
        for line in (*events, *pages):  # their words are the condition's
            line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines, what, verdict, *events, *pages, Text(""))


@contextmanager
def _screen(console: Console) -> Iterator[Callable[[RenderableType], None]]:
    """Shows one view after the other: in place on a terminal, below each other elsewhere."""
    if not console.is_terminal:
        yield lambda view: console.print(view, soft_wrap=True)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda view: live.update(view, refresh=True)


def _hints(scene: Scene, operator: OperatorProcess, *, kubectl: Path) -> str:
    path = "" if shutil.which("kubectl") else f"\n  export PATH=$PATH:{kubectl.parent}"
    return f"""
In another terminal, in this folder:{path}
  export KUBECONFIG={scene.plane.kubeconfig()}
  kubectl get tfpools -A -o wide
  kubectl describe tfpool -n serving qwen-b200
  kubectl events -n serving
Try: apply   kubectl apply -f crds/examples/valid/pool-minimal.yaml
     mistype kubectl apply -f crds/examples/invalid/pool-collapse-at-once.yaml
     edit    kubectl patch tfpool -n serving llama-h200 --type merge \\
               -p '{{"spec":{{"price":{{"perGPUHour":"3.10"}}}}}}'
     break   kubectl delete pod -n serving qwen-b200-1
     ask why .venv/bin/tokenfactory explain qwen-b200 -n serving \\
               --operator http://127.0.0.1:{operator.explain_port}
wrong-poolref is wrong on purpose: describe it, its conditions say what to do.
The truth below is the fleet's as it was started: your changes are not in it.
The operator's own pages: http://127.0.0.1:{operator.port}/metrics /healthz /readyz
Its log: {operator.log}
"""


def _truth_table(scene: Scene) -> Table:
    table = Table(title="the truth, from the sandbox's own clock and rates", title_justify="left", box=SIMPLE)
    for column in ("pool", "$/Mtok", "tok/s/GPU", "$/h", "W"):
        table.add_column(column, justify="left" if column == "pool" else "right")
    for plan in scene.fleet.plans:
        truth = state_truth_now(scene.fleet, plan)
        million = "" if truth.dollars_per_million is None else f"{truth.dollars_per_million:.4f}"
        rate = f"{truth.tokens_per_second_per_gpu:.1f}" if plan.serves else ""
        table.add_row(plan.name, million, rate, f"{truth.dollars_per_hour:.3f}", f"{truth.watts:.0f}")
    return table


def _verdict_table(checks: tuple[Check, ...]) -> Table:
    table = Table(
        title="against the truth (1 % for /metrics, 3 % for status)", title_justify="left", box=SIMPLE
    )
    table.add_column("what", no_wrap=True)
    table.add_column("")
    table.add_column("seen")
    for check in checks:
        table.add_row(check.what, "ok" if check.ok else "[red]WRONG[/red]", check.detail)
    return table
