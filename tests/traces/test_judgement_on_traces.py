"""The corpus: every labelled trace, and the gates of the alerts over all of them (docs/cost-model.md §10)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import median

import pytest

from tests.traces.corpus import CASES, Case, Kind
from tests.traces.fleet import play
from tests.traces.movies import MOVIES, watch
from tokenfactory.model import DenominatorState

DEGRADED = DenominatorState.EFFICIENCY_DEGRADED
PAGES = (DenominatorState.THROUGHPUT_COLLAPSED, DenominatorState.ENGINE_STALLED)
ALARMS = (DEGRADED, *PAGES)
RIGHT = {
    Kind.DEGRADED: (DEGRADED,),
    Kind.COLLAPSE: (DEGRADED, DenominatorState.THROUGHPUT_COLLAPSED),
    Kind.STALLED: (DenominatorState.ENGINE_STALLED,),
}
ALL = (*CASES, *MOVIES)


@dataclass(frozen=True)
class Outcome:
    """What the judge said: `alarm` is the first one, `late` how many windows after the onset it came."""

    alarm: DenominatorState | None
    late: float
    paged: bool
    last: DenominatorState


@cache
def outcome_of(name: str) -> Outcome:
    case = next(item for item in ALL if item.name == name)
    verdicts = watch(case) if case in MOVIES else [(at, v.denominator) for at, v in play(case.trace)]
    alarm = next(((at, state) for at, state in verdicts if state in ALARMS), None)
    return Outcome(
        alarm=alarm[1] if alarm else None,
        late=alarm[0] - case.onset if alarm else 0.0,
        paged=any(state in PAGES for _, state in verdicts),
        last=verdicts[-1][1],
    )


def is_found(case: Case) -> bool:
    outcome = outcome_of(case.name)
    return outcome.alarm in RIGHT.get(case.kind, ()) and outcome.late >= 0


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.kind.value}: {case.name}")
def test_a_trace_gets_its_label(case: Case) -> None:
    outcome = outcome_of(case.name)
    if case.kind in RIGHT:
        assert is_found(case), outcome
        assert not (case.resolved and outcome.last in ALARMS), outcome
    else:
        assert outcome.alarm is None, outcome


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(ALL) >= 60
    assert len({case.name for case in ALL}) == len(ALL)


def test_precision_and_recall_over_the_corpus() -> None:
    alarms = [case for case in ALL if outcome_of(case.name).alarm is not None]
    bad = [case for case in ALL if case.kind in RIGHT]
    right = [case for case in bad if is_found(case)]
    assert len(right) / len(alarms) >= 0.98
    assert len(right) / len(bad) >= 0.95


def _median_of(cases: list[Case]) -> float:
    assert len(cases) >= 3
    return median(outcome_of(case.name).late for case in cases)


def test_the_median_time_to_detect() -> None:
    fine = [case for case in CASES if case.kind is Kind.COLLAPSE and case.trace.per_window >= 15]
    assert _median_of(fine) <= 1.3
    assert _median_of([case for case in CASES if case.kind is Kind.DEGRADED]) <= 2.0
    coarse = [case for case in CASES if case.kind in RIGHT and case.trace.per_window == 6]
    assert _median_of([*coarse, *(case for case in MOVIES if case.kind in RIGHT)]) <= 2.0


def test_no_low_demand_trace_pages() -> None:
    quiet = [case for case in ALL if case.kind is Kind.LOW]
    assert len(quiet) >= 6
    assert not any(outcome_of(case.name).paged for case in quiet)
