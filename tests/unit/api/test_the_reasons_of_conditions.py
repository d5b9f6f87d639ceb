"""One enum of reasons for each condition, and every outcome of the stages has its reason there."""

from __future__ import annotations

import re

import pytest

from tokenfactory.api.conditions import REASONS, ConditionType
from tokenfactory.model import DenominatorState, FleetReason, OptimizationState, PriceProblem, PriceSource


@pytest.mark.parametrize("kind", list(ConditionType))
def test_a_condition_has_reasons_that_kubernetes_accepts(kind: ConditionType) -> None:
    assert len(REASONS[kind]) >= 2
    for reason in REASONS[kind]:
        assert re.fullmatch("[A-Z][A-Za-z]{1,63}", reason)


def test_no_two_conditions_share_an_enum() -> None:
    assert len(set(REASONS.values())) == len(ConditionType)


@pytest.mark.parametrize(
    ("kind", "outcomes"),
    [
        (ConditionType.PRICE_KNOWN, {*PriceProblem, *PriceSource}),
        (ConditionType.DENOMINATOR_HEALTHY, set(DenominatorState)),
        (ConditionType.TELEMETRY_HEALTHY, set(FleetReason) - {FleetReason.PODS_SHARED}),
        (ConditionType.OPTIMIZATIONS_ACTIVE, set(OptimizationState) - {OptimizationState.ACTIVE}),
    ],
)
def test_every_outcome_of_a_stage_is_a_reason_of_its_condition(
    kind: ConditionType, outcomes: set[str]
) -> None:
    assert {str(outcome) for outcome in outcomes} <= {reason.value for reason in REASONS[kind]}
