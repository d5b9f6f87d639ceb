"""Watts from real exporter layouts with known truth (docs/cost-model.md §8)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.costing.synthetic import SimPod, replica
from tokenfactory.costing.boards import drive, metered_by_pod, seen_by_pod
from tokenfactory.costing.gpus import attribute, list_boards
from tokenfactory.costing.ledger import Presence
from tokenfactory.model import ExporterReading, Fleet, Replica
from tokenfactory.telemetry.dcgm import parse

ROOT = Path(__file__).parents[2] / "golden" / "captures" / "engines" / "dcgm"


def read(name: str, frame: str, at: float) -> ExporterReading:
    found = parse((ROOT / name / f"{frame}.prom").read_bytes(), at=at, node_name="node-of-x")
    assert isinstance(found, ExporterReading)
    return found


def watts(name: str, pod: str) -> tuple[float, float]:
    """Mean watts and GPUs of one pod over the capture's 60 s."""
    first, second = read(name, "t0", 0.0), read(name, "t60", 60.0)
    namespace = next(gpu.namespace for gpu in first.gpus if gpu.pod == pod)
    made = replica(SimPod(name=pod, gpus=1.0), 0.0)
    made = replace(made, pod=replace(made.pod, namespace=namespace, node_name="node-of-x"))
    fleet, presence = Fleet(replicas=(made,)), {pod: Presence(-60.0, 60.0, 1.0)}
    before = drive({}, attribute(fleet, {"node-of-x": first}), presence=presence, now=0.0, keep=300.0)
    boards = attribute(fleet, {"node-of-x": second})
    after = drive(before.odometers, boards, presence=presence, now=60.0, keep=300.0)
    return sum(s.joules for s in after.spans) / 60.0, sum(h.gpus for _, hs in boards for h in hs)


@pytest.mark.parametrize(
    ("name", "pod", "truth", "gpus"),
    [
        ("8xh200-4.8.2", "llama-70b-decode-0", 2103.5, 4.0),
        ("8xh200-4.8.2", "glm-air-0", 898.7, 2.0),
        ("8xh200-4.8.2", "qwen3-32b-7c9d6f9b5-x2lqp", 612.4, 1.0),
        ("8xh200-4.8.2", "qwen3-32b-7c9d6f9b5-m8w4t", 388.9, 1.0),
        ("4xgb300-4.8.3", "deepseek-r1-decode-0", 4054.6, 4.0),
        ("idle-gpu-4.8.2", "qwen3-32b-7c9d6f9b5-x2lqp", 571.3, 1.0),
        ("idle-gpu-empty-labels-3.3.9", "qwen3-32b-7c9d6f9b5-x2lqp", 498.2, 1.0),
        ("mig-7x1g-4.8.3", "qwen3-8b-0", 533.3, 1.0),
        ("mig-7x1g-4.8.3", "embedder-0", 57.5, 1 / 7),
        ("time-slicing-virtual-gpus-4.8.2", "small-llm-a", 181.5, 1 / 3),
        ("time-slicing-virtual-gpus-4.8.2", "solo-llm-0", 566.0, 1.0),
    ],
)
def test_a_pods_watts_are_its_part_of_each_board_once(name: str, pod: str, truth: float, gpus: float) -> None:
    found, count = watts(name, pod)
    assert found == pytest.approx(truth, rel=0.001)
    assert count == pytest.approx(gpus)


def sim(name: str, namespace: str, gpus: float = 1.0) -> Replica:
    made = replica(SimPod(name=name, gpus=gpus), 0.0)
    return replace(made, pod=replace(made.pod, namespace=namespace, node_name="node-of-x"))


@pytest.mark.parametrize(
    ("name", "node_watts", "held", "free_watts"),
    [
        pytest.param("8xh200-4.8.2", 4003.5, 8.0, 0.0, id="every GPU is held"),
        pytest.param("idle-gpu-4.8.2", 571.3, 1.0, 78.6, id="an idle GPU is billed to nobody"),
        pytest.param("idle-gpu-empty-labels-3.3.9", 498.2, 1.0, 72.0, id="also with empty labels"),
        pytest.param("mig-7x1g-4.8.3", 936.0 - 115.1, 1 + 5 / 7, 115.1, id="two slices are free"),
        pytest.param("time-slicing-virtual-gpus-4.8.2", 1110.4, 2.0, 0.0, id="a shared board once"),
        pytest.param("4xgb300-4.8.3", 4054.6, 4.0, 0.0, id="a tray of four"),
    ],
)
def test_the_pods_of_a_node_add_up_to_its_boards_less_what_nobody_holds(
    name: str, node_watts: float, held: float, free_watts: float
) -> None:
    first, second = read(name, "t0", 0.0), read(name, "t60", 60.0)
    pods = sorted({(gpu.namespace, gpu.pod) for gpu in second.gpus if gpu.pod})
    fleet = Fleet(replicas=tuple(sim(pod, namespace) for namespace, pod in pods))
    presence = {pod: Presence(-60.0, 60.0, 1.0) for _, pod in pods}
    page = {"node-of-x": first}
    before = drive({}, attribute(fleet, page), presence=presence, now=0.0, keep=300.0)
    boards = attribute(fleet, {"node-of-x": second})
    spans = drive(before.odometers, boards, presence=presence, now=60.0, keep=300.0).spans
    assert sum(span.joules for span in spans) / 60.0 == pytest.approx(node_watts, abs=0.2)
    assert sum(holding.gpus for _, holdings in boards for holding in holdings) == pytest.approx(held)
    board_watts = sum(known(second)[uuid] - mj for uuid, mj in known(first).items()) / 60_000.0
    assert board_watts == pytest.approx(node_watts + free_watts, abs=0.2)


def known(reading: ExporterReading) -> dict[str, float]:
    return {b.uuid: b.millijoules for b in list_boards(reading) if b.millijoules is not None}


def test_a_board_without_power_leaves_the_pod_half_metered() -> None:
    """512 W are known for one GPU of two: neither 512 W for the pod nor 0 W for the other."""
    name, interval = "missing-power-one-gpu-4.8.2", 30.0
    pod = "llama-70b-0"
    first, second = read(name, "t0", 0.0), read(name, "t60", 60.0)
    fleet = Fleet(replicas=(sim(pod, first.gpus[0].namespace, gpus=2.0),))
    presence = {pod: Presence(-60.0, 60.0, 2.0)}
    before = drive({}, attribute(fleet, {"node-of-x": first}), presence=presence, now=0.0, keep=300.0)
    after = drive(
        before.odometers, attribute(fleet, {"node-of-x": second}), presence=presence, now=60.0, keep=300.0
    )
    assert [(span.gpus, round(span.joules / 60.0)) for span in after.spans] == [(1.0, 512)]
    assert seen_by_pod(after.odometers, now=60.0, within=60.0) == {pod: 2.0}
    metered = metered_by_pod(after.odometers, now=60.0, seen_within=60.0, sample_interval=interval)
    assert metered == {pod: 1.0}


def test_the_xid_that_appears_in_a_capture_is_its_pods() -> None:
    name = "8xh200-4.8.2"
    first, second = read(name, "t0", 0.0), read(name, "t60", 60.0)
    (shown,) = (gpu for gpu in second.gpus if gpu.xid)
    fleet = Fleet(replicas=(sim(shown.pod, shown.namespace),))
    presence = {shown.pod: Presence(-60.0, 60.0, 1.0)}
    before = drive({}, attribute(fleet, {"node-of-x": first}), presence=presence, now=0.0, keep=300.0)
    boards = attribute(fleet, {"node-of-x": second})
    after = drive(before.odometers, boards, presence=presence, now=60.0, keep=300.0)
    assert [(fault.pod_uid, fault.xid) for fault in after.faults] == [(shown.pod, 31)]
