"""Events: which transitions deserve one, what it says, and that a flapping pool floods nobody."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.subjects import KEY, NOW, closed, subject, verdict
from tokenfactory.model import DenominatorState, Truth
from tokenfactory.publishing.events import EventToPost, body, event_budget, transitions
from tokenfactory.publishing.status import render

S = DenominatorState


def document(
    state: DenominatorState, *, previous: dict[str, Any] | None = None, now: float = NOW
) -> dict[str, Any]:
    return render(subject(verdict=verdict(state, baseline_lost=True), now=now), previous)


def between(before: dict[str, Any] | None, after: dict[str, Any]) -> tuple[EventToPost, ...]:
    return transitions(KEY, "uid-1", published=before, written=after)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(S.HEALTHY, S.THROUGHPUT_COLLAPSED, "Warning", id="a collapse warns"),
        pytest.param(S.HEALTHY, S.EFFICIENCY_DEGRADED, "Warning", id="a degradation warns"),
        pytest.param(S.EFFICIENCY_DEGRADED, S.THROUGHPUT_COLLAPSED, "Warning", id="worse warns again"),
        pytest.param(S.SATURATED, S.ENGINE_STALLED, "Warning", id="a stalled engine warns"),
        pytest.param(S.HEALTHY, S.BLIND, "Warning", id="going blind warns"),
        pytest.param(S.THROUGHPUT_COLLAPSED, S.HEALTHY, "Normal", id="recovery is good news"),
        pytest.param(S.THROUGHPUT_COLLAPSED, S.LOW_DEMAND, "Normal", id="and so is the end of demand"),
        pytest.param(S.BLIND, S.HEALTHY, "Normal", id="seeing again is good news"),
        pytest.param(S.WARMING_UP, S.HEALTHY, "Normal", id="so is the end of the warm-up"),
        pytest.param(S.HEALTHY, S.LOW_DEMAND, "Normal", id="the end of demand is told"),
        pytest.param(S.HEALTHY, S.HEALTHY, None, id="no transition, no Event"),
        pytest.param(S.THROUGHPUT_COLLAPSED, S.THROUGHPUT_COLLAPSED, None, id="a standing collapse neither"),
        pytest.param(S.HEALTHY, S.WARMING_UP, None, id="a lost baseline is told by the condition"),
        pytest.param(S.WARMING_UP, S.BLIND, "Warning", id="going blind before the first verdict too"),
        pytest.param(S.SUSPENDED, S.HEALTHY, "Normal", id="resuming is told"),
        pytest.param(None, S.HEALTHY, None, id="a first good verdict is expected"),
        pytest.param(None, S.WARMING_UP, None, id="a first warm-up too"),
        pytest.param(None, S.THROUGHPUT_COLLAPSED, "Warning", id="a first bad verdict warns"),
    ],
)
def test_a_transition_of_the_denominator(
    before: DenominatorState | None, after: DenominatorState, expected: str | None
) -> None:
    events = between(None if before is None else document(before), document(after))
    assert [event.type.value for event in events] == ([expected] if expected else [])
    assert all(event.reason == after.value for event in events)


@pytest.mark.parametrize(
    ("before", "after", "posted"),
    [
        ((Truth.TRUE, "AllRequiredActive"), (Truth.FALSE, "Missing"), True),
        ((Truth.UNKNOWN, "Unknown"), (Truth.FALSE, "Missing"), False),
        ((Truth.FALSE, "Missing"), (Truth.TRUE, "AllRequiredActive"), False),
        ((Truth.TRUE, "AllRequiredActive"), (Truth.UNKNOWN, "Unverifiable"), False),
    ],
)
def test_a_required_optimization_that_is_lost_warns(
    before: tuple[Truth, str], after: tuple[Truth, str], posted: bool
) -> None:
    old = render(subject(verdict=verdict(optimizations=before)), None)
    new = render(subject(verdict=verdict(optimizations=after)), old)
    events = between(old, new)
    assert [event.reason for event in events] == (["OptimizationMissing"] if posted else [])


@pytest.mark.parametrize(("reason", "told"), [("Suspended", ["Suspended"]), ("InvalidSpec", [])])
def test_suspending_is_told_and_an_invalid_spec_is_ready_s_to_tell(reason: str, told: list[str]) -> None:
    healthy = document(S.HEALTHY)
    ended = render(closed(reason), healthy)
    assert [event.reason for event in between(healthy, ended)] == told
    assert between(ended, document(S.WARMING_UP)) == ()


def test_a_retry_after_a_crash_makes_the_same_event_and_the_next_collapse_another() -> None:
    healthy = document(S.HEALTHY)
    (first,) = between(healthy, document(S.THROUGHPUT_COLLAPSED, previous=healthy, now=NOW + 60))
    (retried,) = between(healthy, document(S.THROUGHPUT_COLLAPSED, previous=healthy, now=NOW + 400))
    assert first.name == retried.name
    down = document(S.THROUGHPUT_COLLAPSED, previous=healthy, now=NOW + 60)
    up = document(S.HEALTHY, previous=down, now=NOW + 500)
    (later,) = between(up, document(S.THROUGHPUT_COLLAPSED, previous=up, now=NOW + 900))
    assert later.name != first.name


def test_another_object_of_the_same_name_has_events_of_its_own() -> None:
    healthy, down = document(S.HEALTHY), document(S.THROUGHPUT_COLLAPSED)
    (mine,) = transitions(KEY, "uid-1", published=healthy, written=down)
    (other,) = transitions(KEY, "uid-2", published=healthy, written=down)
    assert mine.name != other.name


def test_the_body_is_an_event_as_events_k8s_io_v1_wants_it() -> None:
    (event,) = between(document(S.HEALTHY), document(S.THROUGHPUT_COLLAPSED))
    made = body(event, now=NOW + 0.25, instance="pod-a")
    assert re.fullmatch(r"deepseek-r1\.[0-9a-f]{16}", made["metadata"].pop("name"))
    assert made == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "serving"},
        "eventTime": "2027-01-15T08:00:00.250000Z",
        "reportingController": "tokenfactory.dev/operator",
        "reportingInstance": "pod-a",
        "action": "Judge",
        "reason": "ThroughputCollapsed",
        "type": "Warning",
        "note": "as it should be",
        "regarding": {
            "apiVersion": "tokenfactory.dev/v1alpha1",
            "kind": "InferencePool",
            "namespace": "serving",
            "name": "deepseek-r1",
            "uid": "uid-1",
        },
    }


def test_a_note_is_bounded_and_never_empty() -> None:
    for message in ("x" * 5000, "", "\x00"):
        row = {"type": "DenominatorHealthy", "status": "False", "reason": "EngineStalled", "message": message}
        (event,) = between(document(S.HEALTHY), {"conditions": [row]})
        assert 0 < len(event.note.encode()) <= 1024


def test_a_flapping_pool_posts_25_events_and_then_one_in_300_seconds() -> None:
    budget, posted = event_budget(), 0
    for index in range(1000):
        budget, admitted = budget.take(NOW + index * 6)
        posted += admitted
    assert posted == 25 + (999 * 6) // 300
