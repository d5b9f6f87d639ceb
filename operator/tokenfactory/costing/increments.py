"""What one cycle adds to the pool's counters: the segments that it closed (docs/cost-model.md §13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType

from tokenfactory.costing.cost import Prices, price_segment
from tokenfactory.costing.counters import gain_of
from tokenfactory.costing.ledger import EnergySpan
from tokenfactory.costing.ownership import provisioned_kilowatts
from tokenfactory.costing.tokencount import RoleCount, count_once
from tokenfactory.costing.tracks import Step
from tokenfactory.model import Increments, PowerTerms, Signal
from tokenfactory.units import WATTS_PER_KILOWATT


def add_up(
    steps: Iterable[Step], *, prices: Prices, energy: Iterable[EnergySpan], power: PowerTerms
) -> Increments:
    """Tokens, GPU-seconds, money and joules of the closed segments. Shares without one are left out."""
    counts: list[RoleCount] = []
    seconds: dict[str, float] = {}
    cost: dict[str, Decimal] = {}
    provisioned = 0.0
    for step in steps:
        segment = step.segment
        if segment is None:
            continue
        deltas = segment.deltas
        counts.append(
            RoleCount(
                step.track.role,
                gain_of(deltas, Signal.PROMPT_TOKENS),
                gain_of(deltas, Signal.CACHED_PROMPT_TOKENS),
                gain_of(deltas, Signal.OUTPUT_TOKENS),
            )
        )
        share = segment.share.value
        gpu_seconds = (segment.end - segment.start) * segment.gpus
        seconds[share] = seconds.get(share, 0.0) + gpu_seconds
        money = price_segment(segment, prices[step.track.facts])
        if money is not None:
            cost[share] = cost.get(share, Decimal(0)) + money
        provisioned += (
            gpu_seconds * WATTS_PER_KILOWATT * (provisioned_kilowatts(power, step.track.facts.product) or 0.0)
        )
    return Increments(
        tokens=count_once(counts),
        cost_by_share=MappingProxyType(cost),
        gpu_seconds_by_share=MappingProxyType(seconds),
        joules_by_basis=_joules(measured=sum(span.joules for span in energy), provisioned=provisioned),
    )


def _joules(*, measured: float, provisioned: float) -> Mapping[str, float]:
    joules = {"measured": measured, "provisioned": provisioned}
    return MappingProxyType({basis: value for basis, value in joules.items() if value > 0})
