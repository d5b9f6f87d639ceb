"""A pod's GPUs are divided between its engines, and add up to the pod's whatever the division."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.costing.synthetic import T0, TERMS, SimPod, replica
from tokenfactory.costing.sights import list_sights
from tokenfactory.model import Container, Engine, EngineKind, Fleet, Readings

Limits = tuple[tuple[str, float], ...]
GPU, MIG = "nvidia.com/gpu", "nvidia.com/mig-1g.10gb"


def parts(*containers: tuple[str, Limits], gpus: float = 8.0) -> list[float]:
    """GPUs of each engine, one for every container named; the same name twice is two engines of one."""
    seen: dict[str, int] = {}
    engines = []
    for name, limits in containers:
        container = Container(name=name, image="vllm", gpu_limits=limits)
        instance = str(seen.get(name, "")) if name in seen else ""
        seen[name] = seen.get(name, 0) + 1
        engines.append(replace(Engine(container=container, kind=EngineKind.VLLM), instance=instance))
    pod = replace(replica(SimPod(name="a", gpus=gpus), T0), engines=tuple(engines))
    sights = list_sights(
        Fleet(replicas=(pod,)),
        (),
        Readings(at=T0, engines={}, exporters={}),
        terms=TERMS,
        ledger=None,
        observed={},
        products={},
        now=T0,
    )
    return [sight.gpus for sight in sights]


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        pytest.param([("a", ((GPU, 8.0),))], [8.0], id="one engine has all"),
        pytest.param([("prefill", ((GPU, 2.0),)), ("decode", ((GPU, 6.0),))], [2.0, 6.0], id="by limits"),
        pytest.param([("a", ((GPU, 8.0),)), ("a", ((GPU, 8.0),))], [4.0, 4.0], id="two ranks of a container"),
        pytest.param(
            [("a", ((GPU, 4.0),)), ("a", ((GPU, 4.0),)), ("b", ((GPU, 4.0),))],
            [2.0, 2.0, 4.0],
            id="two ranks beside another container",
        ),
        pytest.param([("a", ()), ("b", ())], [4.0, 4.0], id="no limits: evenly"),
        pytest.param([("a", ((GPU, 8.0),)), ("b", ())], [4.0, 4.0], id="one of them asks for none: evenly"),
        pytest.param([("a", ((GPU, 1.0),)), ("b", ((MIG, 1.0),))], [4.0, 4.0], id="different kinds: evenly"),
    ],
)
def test_the_engines_parts_of_a_pod(containers: list[tuple[str, Limits]], expected: list[float]) -> None:
    assert parts(*containers) == pytest.approx(expected)


def test_what_dcgm_sees_beyond_the_limits_is_divided_alike() -> None:
    assert parts(("p", ((GPU, 1.0),)), ("d", ((GPU, 3.0),)), gpus=8.0) == [2.0, 6.0]
