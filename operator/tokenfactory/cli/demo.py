"""`tokenfactory demo`: the main job on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tokenfactory.cli.bundled import show_bundled
from tokenfactory.sandbox.assets import locate_assets, provide_assets
from tokenfactory.sandbox.fleet import DEMO, WRONG
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.referee import Check, Referee
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.truth import state_truth

REFRESH_SECONDS = 5.0


def demo(
    duration: Annotated[
        float, typer.Option(help="seconds from the operator's first scrape to the verdict; 0: until Ctrl-C")
    ] = 0.0,
) -> None:
    """Run the operator against an embedded control plane and a replayed fleet whose true rates are known."""
    console = Console()
    assets = locate_assets()
    if assets is None:
        show_bundled(console)
        console.print("Now the real thing: the control plane is built once, then kept.", style="dim")
        assets = provide_assets()
    try:
        with Scene(assets, DEMO, say=lambda text: console.print(f"· {text}", style="dim")) as scene:
            scene.cluster.apply(WRONG)
            ok = _show(console, scene, scene.start_operator(), duration)
    except KeyboardInterrupt:
        console.print("stopped: no process and no file is left")
        return
    raise typer.Exit(0 if ok else 1)


def _show(console: Console, scene: Scene, operator: OperatorProcess, duration: float) -> bool:
    console.print(_hints(scene, operator), markup=False, highlight=False)
    referee = Referee(scene, operator)
    while not referee.first_scrape():
        time.sleep(0.1)
    until = time.monotonic() + duration
    checks: list[tuple[Check, ...]] = []
    judging = threading.Thread(target=lambda: checks.append(referee.judge(until=until)), daemon=True)
    if duration:
        judging.start()
    with _screen(console) as screen:
        while not duration or judging.is_alive():
            screen(Group(Text(scene.kubectl("get", "inferencepools", "-A")), _truth_table(scene)))
            judging.join(REFRESH_SECONDS) if duration else time.sleep(REFRESH_SECONDS)
    if not checks:
        return False
    console.print(_verdict_table(checks[0]))
    return all(check.ok for check in checks[0])


@contextmanager
def _screen(console: Console) -> Iterator[Callable[[RenderableType], None]]:
    """Shows one view after the other: in place on a terminal, below each other elsewhere."""
    if not console.is_terminal:
        yield lambda view: console.print(view, soft_wrap=True)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda view: live.update(view, refresh=True)


def _hints(scene: Scene, operator: OperatorProcess) -> str:
    return f"""
In another terminal:
  export KUBECONFIG={scene.plane.kubeconfig()}
  kubectl get tfpools -A -o wide
  kubectl describe tfpool -n serving qwen-b200
Try: apply   kubectl apply -f crds/examples/valid/
     edit    kubectl patch tfpool -n serving llama-h200 --type merge \\
               -p '{{"spec":{{"price":{{"perGPUHour":"3.10"}}}}}}'
     break   kubectl delete pod -n serving qwen-b200-1
The operator's own pages: http://127.0.0.1:{operator.port}/metrics /healthz /readyz
Its log: {operator.log}
"""


def _truth_table(scene: Scene) -> Table:
    table = Table(title="the truth, from the sandbox's own clock and rates", title_justify="left", box=SIMPLE)
    for column in ("pool", "$/Mtok", "tok/s/GPU", "$/h", "W"):
        table.add_column(column, justify="left" if column == "pool" else "right")
    for plan in scene.fleet.plans:
        truth = state_truth(plan)
        million = "" if truth.dollars_per_million is None else f"{truth.dollars_per_million:.4f}"
        rate = f"{truth.tokens_per_second_per_gpu:.1f}" if plan.serves else ""
        table.add_row(plan.name, million, rate, f"{truth.dollars_per_hour:.3f}", f"{truth.watts:.0f}")
    return table


def _verdict_table(checks: tuple[Check, ...]) -> Table:
    table = Table(
        title="against the truth (1 % for /metrics, 3 % for status)", title_justify="left", box=SIMPLE
    )
    table.add_column("what")
    table.add_column("")
    table.add_column("seen")
    for check in checks:
        table.add_row(check.what, "ok" if check.ok else "[red]WRONG[/red]", check.detail)
    return table
