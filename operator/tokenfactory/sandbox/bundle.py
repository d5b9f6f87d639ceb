"""Writes a replayed fleet as the files that `tokenfactory once` reads: objects, pools and pages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.exporter_page import render_exporter_page
from tokenfactory.sandbox.fleet import GB300, H200, IDLE, ReplayedFleet, factory_body

BUNDLED_AT = 1_795_000_000.0
BUNDLED_SECONDS = 60
BUNDLED_PLANS = (H200, replace(GB300, replicas=1), IDLE)


def write_bundle(
    folder: Path, *, fleet: ReplayedFleet, times: tuple[float, ...], window_seconds: int
) -> None:
    """Fills `folder` with pools.yaml, objects.yaml and metrics/<unix-seconds>/."""
    folder.mkdir(parents=True, exist_ok=True)
    pools = [factory_body(fleet.plans), *(plan.body(window_seconds=window_seconds) for plan in fleet.plans)]
    (folder / "pools.yaml").write_text(_dump(pools))
    (folder / "objects.yaml").write_text(_dump(list_objects(fleet)))
    for at in times:
        frame = folder / "metrics" / str(int(at))
        frame.mkdir(parents=True, exist_ok=True)
        for name, engine in fleet.engines.items():
            (frame / f"{name}_{engine.pod.port}.prom").write_text(render_engine_page(engine.odometer, now=at))
        for node in fleet.nodes:
            page = render_exporter_page(fleet.boards(node), elapsed=at - fleet.started_at + 86400)
            (frame / f"{node.name}_dcgm.prom").write_text(page)


def list_objects(fleet: ReplayedFleet) -> list[dict[str, Any]]:
    """Nodes and pods with their status, as `kubectl get pods,nodes -o yaml` would give them."""
    bodies: list[dict[str, Any]] = []
    for node in fleet.nodes:
        bodies += [node.body(), {**node.exporter(), "status": node.exporter_status()}]
    bodies += [{**engine.pod.body(), "status": engine.pod.status()} for engine in fleet.engines.values()]
    for body in bodies:
        metadata = body["metadata"]
        metadata["uid"] = f"{body['kind'].lower()}-{metadata.get('namespace', '')}-{metadata['name']}"
    return bodies


def write_bundled_pages(folder: Path) -> None:
    """The pages that ship with the package."""
    fleet = ReplayedFleet(BUNDLED_PLANS, clock=lambda: BUNDLED_AT)
    times = tuple(BUNDLED_AT + seconds for seconds in (0, BUNDLED_SECONDS // 2, BUNDLED_SECONDS))
    write_bundle(folder, fleet=fleet, times=times, window_seconds=BUNDLED_SECONDS)


def _dump(bodies: list[dict[str, Any]]) -> str:
    return yaml.safe_dump_all(bodies, sort_keys=False)
