"""Headline rows that vendors print, dated: for `tokenfactory project` and prose only (docs/cost-model.md §9).

They name no interactivity (tokens per second per user), so they are never a reference for a pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One printed row: what was given, and the cost per million tokens that was printed with it."""

    name: str
    title: str
    per_gpu_hour: Decimal
    tokens_per_second_per_gpu: Decimal
    kilowatts_per_gpu: Decimal
    printed_cost_per_million: Decimal
    as_of: str
    source: str


_BLOG = "NVIDIA blog on the cost per token; prices as in SemiAnalysis InferenceX, hyperscaler-own tier"

SCENARIOS = (
    Scenario(
        name="nvidia-hgx-h200",
        title="DeepSeek-R1 on HGX H200",
        per_gpu_hour=Decimal("1.41"),
        tokens_per_second_per_gpu=Decimal(90),
        kilowatts_per_gpu=Decimal("1.73"),
        printed_cost_per_million=Decimal("4.20"),
        as_of="2026-04-15",
        source=_BLOG,
    ),
    Scenario(
        name="nvidia-gb300-nvl72",
        title="DeepSeek-R1 on GB300 NVL72, FP4 and multi-token prediction",
        per_gpu_hour=Decimal("2.65"),
        tokens_per_second_per_gpu=Decimal(6000),
        kilowatts_per_gpu=Decimal("2.10"),
        printed_cost_per_million=Decimal("0.12"),
        as_of="2026-04-15",
        source=_BLOG,
    ),
)


def find_scenario(name: str) -> Scenario | None:
    return next((item for item in SCENARIOS if item.name == name), None)
