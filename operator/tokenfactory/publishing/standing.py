"""What stays true over a restart or failover: the published verdict, until the first window is full.

Statuses hold it by the gate. Metrics and alerts are told the same, or each change of leader would end what
fires and raise it again a window later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from tokenfactory.model import (
    Condition,
    DenominatorState,
    ObjectiveResult,
    OptimizationRow,
    OptimizationState,
    Truth,
    Verdict,
)
from tokenfactory.model.reasons import ObjectivesReason
from tokenfactory.publishing.status import JUDGED, Subject, published_condition

_UNMET: Mapping[str, str] = MappingProxyType(
    {
        ObjectivesReason.COST_TOO_HIGH.value: "cost",
        ObjectivesReason.THROUGHPUT_TOO_LOW.value: "tokens_per_second_per_gpu",
        ObjectivesReason.TIME_TO_FIRST_TOKEN_TOO_LONG.value: "ttft",
        ObjectivesReason.INTER_TOKEN_LATENCY_TOO_LONG.value: "itl",
    }
)


def carry_over(subject: Subject, previous: Mapping[str, Any] | None) -> Subject:
    """`subject` with the verdicts of the published status where its own are still open.

    Only while the first window fills, and for the same generation of the spec.
    """
    economics = subject.economics
    if economics is None or economics.window_full or previous is None:
        return subject
    if previous.get("observedGeneration") != subject.generation:
        return subject
    return replace(subject, verdict=_carry(subject.verdict, previous))


def _carry(verdict: Verdict, previous: Mapping[str, Any]) -> Verdict:
    before = str(published_condition(previous, "DenominatorHealthy").get("reason", ""))
    open_verdict = verdict.denominator in (DenominatorState.WARMING_UP, DenominatorState.BLIND)
    held = open_verdict and before in JUDGED
    unmet = _UNMET.get(str(published_condition(previous, "ObjectivesMet").get("reason", "")))
    return replace(
        verdict,
        denominator=DenominatorState(before) if held else verdict.denominator,
        conditions=tuple(_hold_condition(item, previous) for item in verdict.conditions),
        rows=tuple(_hold_row(row, previous) for row in verdict.rows),
        objectives=tuple(_hold_objective(result, unmet) for result in verdict.objectives),
    )


def _hold_condition(condition: Condition, previous: Mapping[str, Any]) -> Condition:
    before = published_condition(previous, condition.type)
    if condition.status is not Truth.UNKNOWN or before.get("status") not in (Truth.TRUE, Truth.FALSE):
        return condition
    return Condition(
        type=condition.type,
        status=Truth(before["status"]),
        reason=str(before.get("reason", "")),
        message=str(before.get("message", "")),
    )


def _hold_row(row: OptimizationRow, previous: Mapping[str, Any]) -> OptimizationRow:
    states = {item.get("name"): item.get("state") for item in previous.get("optimizations") or ()}
    before = states.get(row.name.value)
    if row.state is not OptimizationState.UNKNOWN or before not in set(OptimizationState):
        return row
    return replace(row, state=OptimizationState(before))


def _hold_objective(result: ObjectiveResult, unmet: str | None) -> ObjectiveResult:
    """The published condition names the first unmet objective only."""
    return replace(result, met=False) if result.met is None and result.objective == unmet else result
