"""Watts from real exporter layouts with known truth (docs/cost-model.md §8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.costing.synthetic import SimPod, replica
from tokenfactory.costing.boards import drive
from tokenfactory.costing.gpus import attribute
from tokenfactory.costing.ledger import Presence
from tokenfactory.model import ExporterReading, Fleet
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
    from dataclasses import replace

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
