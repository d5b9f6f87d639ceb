"""The agent's pages and its DaemonSet's pod through the operator's whole line: the pool's measured watts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.agent.fakes import Facts, board, kubelet, pod
from tokenfactory.agent.kubelet import Kubelet
from tokenfactory.agent.nvml import Nvml
from tokenfactory.agent.sampler import Sampler
from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.fleet import H200, NAMESPACE, Engine, ReplayedFleet, factory_body
from tokenfactory.sandbox.objects import GpuNode

BEGAN = 1_795_000_000.0
DAEMON_SET = Path(__file__).parents[3] / "manifests" / "components" / "agent" / "daemonset.yaml"

Say = Callable[..., None]


def agent_pod(node: GpuNode) -> dict[str, Any]:
    """The pod that the DaemonSet's controller would bind to the node, running."""
    daemon_set = yaml.safe_load(DAEMON_SET.read_text())
    template = daemon_set["spec"]["template"]
    name = {"name": "tokenfactory-agent-x", "namespace": daemon_set["metadata"]["namespace"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], **name, "uid": "agent"},
        "spec": {**template["spec"], "nodeName": node.name},
        "status": node.exporter_status(),
    }


def write_cluster(folder: Path, engine: Engine, node: GpuNode) -> None:
    serving = {**engine.pod.body(), "status": engine.pod.status()}
    serving["metadata"]["uid"] = "serving"
    bodies = [node.body(), agent_pod(node), serving]
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(bodies))
    resources = [factory_body((H200,)), H200.body(window_seconds=30)]
    (folder / "pools.yaml").write_text(yaml.safe_dump_all(resources))


def boards_at(seconds: float) -> Facts:
    """Eight boards whose counters have run for so long at the plan's watts."""
    facts: Facts = {}
    for index in range(8):
        energy = 10**9 + int(seconds * H200.watts_per_gpu * 1000)
        facts |= board(index, power=int(H200.watts_per_gpu * 1000), energy=energy)
    return facts


def measured_watts(folder: Path) -> float:
    """What the operator says of the pool in the end."""
    command = [sys.executable, "-m", "tokenfactory.cli.main", "once", "-o", "json"]
    files = ["-f", "pools.yaml", "--objects", "objects.yaml", "--metrics", "metrics"]
    done = subprocess.run([*command, *files], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (document,) = json.loads(done.stdout)
    rows = [row for row in document["figures"] if row["name"] == "tokenfactory_pool_power_watts"]
    return next(float(row["value"]) for row in rows if row["labels"][0] == "measured")


def test_a_pool_is_measured_through_the_agent(say: Say, nvml: Nvml, socket: Path, tmp_path: Path) -> None:
    fleet = ReplayedFleet((H200,), clock=lambda: BEGAN)
    ((engine,), (node,)) = fleet.engines.values(), fleet.nodes
    write_cluster(tmp_path, engine, node)
    sampler = Sampler(nvml, Kubelet(str(socket)), node_name=node.name, clock=lambda: 0.0)
    with kubelet(socket, pod(engine.pod.name, *(f"GPU-{n:08x}" for n in range(8)), namespace=NAMESPACE)):
        for seconds in range(0, 61, 6):
            frame = tmp_path / "metrics" / str(int(BEGAN) + seconds)
            frame.mkdir(parents=True)
            say(boards_at(seconds))
            (frame / f"{node.name}_dcgm.prom").write_bytes(sampler.sample())
            page = render_engine_page(engine.odometer, now=BEGAN + seconds)
            (frame / f"{engine.pod.name}_{engine.pod.port}.prom").write_text(page)
    assert measured_watts(tmp_path) == pytest.approx(8 * H200.watts_per_gpu, rel=1e-6)
