"""Metrics and alerts after a restart: the published verdict holds until the first window is full."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.subjects import condition, economics, objective, rows, subject, verdict
from tokenfactory.model import DenominatorState, OptimizationState, Truth
from tokenfactory.publishing.samples import samples
from tokenfactory.publishing.standing import carry_over
from tokenfactory.publishing.status import Subject, render

COLLAPSED, WARMING = DenominatorState.THROUGHPUT_COLLAPSED, DenominatorState.WARMING_UP


def document() -> dict[str, Any]:
    """What the operator before had published: a collapse, a lost optimization, a cost too high."""
    told = verdict(COLLAPSED, optimizations=(Truth.FALSE, "Simulated"), rows=simulated())
    unmet = condition("ObjectivesMet", Truth.FALSE, "CostTooHigh")
    return render(subject(verdict=replace(told, conditions=(*told.conditions, unmet))), None)


def simulated() -> tuple[Any, ...]:
    return tuple(replace(row, state=OptimizationState.SIMULATED) for row in rows())


def restarted(*, full: bool = False, **changes: Any) -> Subject:
    unknown = tuple(replace(row, state=OptimizationState.UNKNOWN) for row in rows())
    told = verdict(
        WARMING,
        optimizations=(Truth.UNKNOWN, "Unknown"),
        rows=unknown,
        objectives=(objective("cost", None), objective("ttft", None)),
    )
    return subject(verdict=told, economics=economics(window_full=full), **changes)


def shown(told: Subject) -> set[tuple[str, ...]]:
    wanted = ("denominator_state", "condition", "optimization_state", "objective_met")
    return {(family, *labels) for family, labels, _ in samples(told) if family in wanted}


def test_the_collapse_stays_on_the_page_while_the_first_window_fills() -> None:
    page = shown(carry_over(restarted(), document()))
    assert ("denominator_state", "ThroughputCollapsed") in page
    assert ("condition", "DenominatorHealthy", "False") in page
    assert ("condition", "OptimizationsActive", "False") in page
    assert ("optimization_state", "MultiTokenPrediction", "Simulated") in page
    assert ("denominator_state", "WarmingUp") not in page


def test_the_unmet_objective_that_was_named_stays_unmet_and_the_others_open() -> None:
    results = carry_over(restarted(), document()).verdict.objectives
    assert [(item.objective, item.met) for item in results] == [("cost", False), ("ttft", None)]


def test_its_message_is_the_published_one() -> None:
    held = carry_over(restarted(), document()).verdict.conditions
    row = next(item for item in held if item.type == "DenominatorHealthy")
    assert (row.reason, row.message) == ("ThroughputCollapsed", "as it should be")


def test_what_is_known_already_is_not_replaced() -> None:
    fresh = subject(verdict=verdict(), economics=economics(window_full=False))
    assert carry_over(fresh, document()) == fresh


def test_a_full_window_tells_for_itself() -> None:
    after = restarted(full=True)
    assert carry_over(after, document()) is after


def test_another_generation_or_no_status_at_all_carries_nothing() -> None:
    edited = restarted(generation=2)
    assert carry_over(edited, document()) is edited
    first = restarted()
    assert carry_over(first, None) is first


def test_a_published_status_that_was_open_itself_carries_nothing() -> None:
    before = render(restarted(full=True), None)
    assert shown(carry_over(restarted(), before)) == shown(restarted())
