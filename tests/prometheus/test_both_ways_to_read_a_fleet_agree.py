"""What a real Prometheus scraped gives the numbers that the pages themselves give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.prometheus.conftest import CountedAsker, Seen, cycles
from tokenfactory.measure import value_of
from tokenfactory.model import CostBasis, OptimizationState
from tokenfactory.sandbox.fleet import GB300, H200
from tokenfactory.sandbox.truth import state_truth

TOLERANCE = 0.01


def figures(seen: Seen) -> dict[str, float]:
    """The figures that are published and that a window determines."""
    economics = seen.economics
    throughput, gpus = economics.throughput, economics.gpus
    tokens = value_of(throughput.per_second)
    assert tokens is not None
    found = {
        "dollars per million": economics.cost.per_million[CostBasis.TOTAL],
        "dollars per million uncached": economics.cost.per_million[CostBasis.TOTAL_UNCACHED],
        "dollars per hour": economics.cost.per_hour,
        "tokens per second per GPU": throughput.per_gpu,
        "concurrency": throughput.concurrency,
        "watts": economics.measured.watts,
        "GPUs": gpus.held,
        "GPUs seen": gpus.observed,
        "busy": gpus.busy_share,
    }
    values = {name: value_of(measure) for name, measure in found.items()}
    assert None not in values.values(), values
    known = {name: float(value) for name, value in values.items() if value is not None}
    return known | {"output": tokens.output, "cached input": tokens.cached_input}


async def test_the_figures_of_both_modes_agree_within_a_hundredth(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    stage = stage_of(H200, GB300)
    recorded = stage.recorded(asker)
    async with stage.direct() as direct:
        ours, theirs = await asyncio.gather(
            cycles(direct, stage.pools(), 16), cycles(recorded, stage.pools(), 16)
        )
    for plan in stage.fleet.plans:
        there, here = figures(theirs[plan.name]), figures(ours[plan.name])
        off = {
            name: abs(there[name] - value) / value if value else there[name] for name, value in here.items()
        }
        assert max(off.values()) <= TOLERANCE, off
        truth = state_truth(plan)
        assert truth.dollars_per_million is not None
        error = abs(there["dollars per million"] - truth.dollars_per_million) / truth.dollars_per_million
        assert error <= TOLERANCE
        assert abs(there["watts"] - truth.watts) / truth.watts <= TOLERANCE


async def test_conditions_and_optimizations_are_judged_alike(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    stage = stage_of(GB300)
    recorded = stage.recorded(asker)
    async with stage.direct() as direct:
        ours, theirs = await asyncio.gather(
            cycles(direct, stage.pools(), 14), cycles(recorded, stage.pools(), 14)
        )
    here, there = ours[GB300.name].verdict, theirs[GB300.name].verdict
    states = [(row.name, row.state) for row in there.rows]
    assert states == [(row.name, row.state) for row in here.rows]
    assert OptimizationState.ACTIVE in dict(states).values()
    told = [(item.type, item.status, item.reason) for item in there.conditions]
    assert told == [(item.type, item.status, item.reason) for item in here.conditions]
