"""The agent in a cluster: found by its manifest's labels, scraped by the operator, its watts the pool's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.installed import MANIFESTS, kustomize, read_objects
from tests.unit.agent.fakes import Facts, agent, board, build_library, kubelet, pod, write_facts
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.fleet import H200, NAMESPACE
from tokenfactory.sandbox.objects import EXPORTER_NAMESPACE, GpuNode
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene

pytestmark = pytest.mark.controlplane
COMPONENT = MANIFESTS / "components" / "agent"
AGENTS = "tokenfactory-agent"


def install(scene: Scene, node: GpuNode) -> None:
    """The agent instead of the replayed dcgm-exporter: its pod as the DaemonSet's controller makes it."""
    scene.cluster.remove_pod(EXPORTER_NAMESPACE, f"nvidia-dcgm-exporter-{node.name}")
    scene.site.remove(node.exporter_ip, node.exporter_port)
    scene.kubectl("apply", "-k", str(COMPONENT))
    scene.kubectl("create", "serviceaccount", "default", f"--namespace={AGENTS}")
    template = read_objects(kustomize(COMPONENT))["DaemonSet", AGENTS]["spec"]["template"]
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "tokenfactory-agent-x", "namespace": AGENTS},
        "spec": {**template["spec"], "nodeName": node.name},
    }
    created = scene.plane.kubectl("create", "-f", "-", input=json.dumps(body))
    assert created.returncode == 0, created.stderr
    status = json.dumps({"status": node.exporter_status()})
    patch = ("patch", "pod", "tokenfactory-agent-x", f"--namespace={AGENTS}", "--subresource=status")
    scene.kubectl(*patch, "-p", status)


@contextmanager
def running_boards(scenario: Path, watts: float) -> Iterator[None]:
    """Eight boards whose energy counters run at `watts` each."""
    stop, began = threading.Event(), time.time()

    def turn() -> None:
        while not stop.wait(0.1):
            energy = 10**9 + int((time.time() - began) * watts * 1000)
            facts: Facts = {}
            for index in range(8):
                facts |= board(index, power=int(watts * 1000), energy=energy)
            write_facts(scenario, facts)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_operator_measures_a_pool_through_the_agent(assets: Assets, tmp_path: Path) -> None:
    scenario, socket, library = tmp_path / "nvml.txt", tmp_path / "k.sock", build_library(tmp_path)
    write_facts(scenario, board())
    holder = pod(f"{H200.name}-0", *(f"GPU-{n:08x}" for n in range(8)), namespace=NAMESPACE)
    true = 8 * H200.watts_per_gpu
    with (
        running_boards(scenario, H200.watts_per_gpu),
        kubelet(socket, holder),
        Scene(assets, (H200,)) as scene,
    ):
        (node,) = scene.fleet.nodes
        install(scene, node)
        with agent(library, scenario, socket, address=node.exporter_ip, port=node.exporter_port):
            operator = scene.start_operator()

            def measured() -> float | None:
                page = operator.get("/metrics")[1]
                return read_series(page, "tokenfactory_pool_power_watts", basis="measured").get(H200.name)

            scene.wait_for("measured watts", measured, seconds=90)
            page = operator.get("/metrics")[1]
            assert read_series(page, "tokenfactory_pool_gpus", kind="observed")[H200.name] == 8
            # Over the first ten seconds, by this machine's clocks; exact in tests/unit/agent.
            assert measured() == pytest.approx(true, rel=0.05)
