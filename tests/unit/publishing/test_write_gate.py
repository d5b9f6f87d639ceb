"""When a status is written: at once, once a minute, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.subjects import NOW, closed, economics, fleet, inspected, subject, verdict
from tokenfactory.model import DenominatorState, Truth
from tokenfactory.publishing.drafting import draft
from tokenfactory.publishing.gate import (
    Decision,
    GateReason,
    Published,
    adopt,
    decide,
    note,
    write_budget,
)
from tokenfactory.publishing.status import Subject, render

WINDOW = 300.0


def step(published: Published | None, found: Subject, *, now: float) -> tuple[Published | None, Decision]:
    """One cycle as the shell runs it; a write always succeeds."""
    found = replace(found, now=now)
    document = render(found, published.document if published else None)
    drafted = draft(found, document, window_seconds=WINDOW)
    decision = decide(published, drafted, now=now)
    return (note(published, drafted, decision, now=now) if decision.write else published), decision


def written(found: Subject, *, now: float = NOW) -> Published:
    published, decision = step(None, found, now=now)
    assert decision.write
    assert published is not None
    return published


def filling(**changes: Any) -> Subject:
    return subject(economics=economics(window_full=False, covered_seconds=30.0), **changes)


def test_a_first_status_of_a_new_pool_has_conditions_and_gpus_but_no_number_of_the_window() -> None:
    _, decision = step(None, filling(), now=NOW)
    assert decision.reason == GateReason.FIRST_STATUS
    document = decision.document
    assert document["gpus"] == {"held": "16", "products": ["NVIDIA-H200"]}
    assert document["cost"]["perHour"] == "40"
    assert "perMillionTokens" not in document["cost"]
    assert not {"windowSeconds", "throughput", "latency", "energy", "efficiency"} & set(document)


def test_numbers_are_written_once_when_the_window_first_fills_even_within_the_minute() -> None:
    published = written(filling())
    quiet, decision = step(published, filling(), now=NOW + 15)
    assert decision.reason == GateReason.NOTHING_MOVED
    filled, decision = step(quiet, subject(), now=NOW + 30)
    assert decision.reason == GateReason.WINDOW_FILLED
    assert decision.document["cost"]["perMillionTokens"] == "0.2315"
    _, decision = step(filled, subject(), now=NOW + 45)
    assert decision.reason == GateReason.NOTHING_MOVED


@pytest.mark.parametrize(
    ("rate", "after", "reason"),
    [
        pytest.param(48_000, 600, GateReason.NOTHING_MOVED, id="nothing moved: there is no heartbeat"),
        pytest.param(48_900, 600, GateReason.NOTHING_MOVED, id="1.9 % is noise"),
        pytest.param(49_000, 600, GateReason.VALUE_MOVED, id="2.1 % is news"),
        pytest.param(47_000, 600, GateReason.VALUE_MOVED, id="and so it is downwards"),
        pytest.param(96_000, 59, GateReason.TOO_SOON, id="but not within the minute"),
        pytest.param(96_000, 60, GateReason.VALUE_MOVED, id="a minute later it is"),
    ],
)
def test_numbers_are_written_when_one_moved_by_two_per_cent_and_a_minute_passed(
    rate: float, after: float, reason: GateReason
) -> None:
    published = written(subject())
    moved = subject(economics=economics(tokens_per_second=rate))
    _, decision = step(published, moved, now=NOW + after)
    assert decision.reason == reason
    assert decision.write == (reason == GateReason.VALUE_MOVED)


def test_small_steps_add_up_because_they_are_compared_with_what_is_published() -> None:
    published: Published | None = written(subject())
    reasons = []
    for index in range(1, 5):
        drifted = subject(economics=economics(tokens_per_second=48_000 * 1.012**index))
        published, decision = step(published, drifted, now=NOW + 60 * index)
        reasons.append(decision.reason)
    nothing, moved = GateReason.NOTHING_MOVED, GateReason.VALUE_MOVED
    assert reasons == [nothing, moved, nothing, moved]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(verdict(DenominatorState.THROUGHPUT_COLLAPSED), id="a condition's status"),
        pytest.param(verdict(DenominatorState.LOW_DEMAND), id="a condition's reason"),
        pytest.param(verdict(conditions=verdict().conditions[:-1]), id="a condition that went away"),
    ],
)
def test_a_change_of_conditions_is_written_at_once(changed: Any) -> None:
    _, decision = step(written(subject()), subject(verdict=changed), now=NOW + 1)
    assert decision.reason == GateReason.CONDITION_CHANGED


def test_another_advice_of_a_condition_that_is_not_true_is_written_within_the_minute() -> None:
    """The reason stays ScrapeFailed while what fails, and the fix, become others."""

    def failing(message: str) -> Subject:
        rows = tuple(
            replace(row, status=Truth.FALSE, message=message) if row.type == "TelemetryHealthy" else row
            for row in verdict().conditions
        )
        return subject(verdict=verdict(conditions=rows))

    before = written(failing("3 of 4 replicas scraped; serving-0: HttpStatus"))
    assert (
        step(before, failing("2 of 4 replicas scraped; serving-0: HttpStatus"), now=NOW + 61)[1].write
        is False
    )
    other = failing("3 of 4 replicas scraped; serving-0: Unreachable")
    assert step(before, other, now=NOW + 59)[1].reason == GateReason.TOO_SOON
    assert step(before, other, now=NOW + 61)[1].reason == GateReason.VALUE_MOVED


def test_another_message_of_a_condition_that_is_true_waits_for_the_next_write() -> None:
    told = verdict(
        conditions=tuple(
            replace(row, message="other words") if row.status is Truth.TRUE else row
            for row in verdict().conditions
        )
    )
    published, decision = step(written(subject()), subject(verdict=told), now=NOW + 600)
    assert decision.reason == GateReason.NOTHING_MOVED
    moved = subject(verdict=told, economics=economics(tokens_per_second=60_000))
    _, decision = step(published, moved, now=NOW + 660)
    true = [row for row in decision.document["conditions"] if row["status"] == "True"]
    assert {row["message"] for row in true} == {"other words"}


def test_a_moved_generation_is_written_at_once_even_when_nothing_else_changed() -> None:
    _, decision = step(written(subject()), subject(generation=2), now=NOW + 1)
    assert decision.reason == GateReason.GENERATION_MOVED
    assert decision.document["observedGeneration"] == 2


def test_numbers_of_the_old_spec_go_with_the_new_generation_while_its_window_fills() -> None:
    published, decision = step(written(subject()), filling(generation=2), now=NOW + 1)
    assert "throughput" not in decision.document
    _, decision = step(published, subject(generation=2), now=NOW + 31)
    assert decision.reason == GateReason.WINDOW_FILLED


@pytest.mark.parametrize("reason", ["Suspended", "PoolRefNotFound"])
def test_a_pool_that_is_no_longer_measured_loses_its_numbers_at_once(reason: str) -> None:
    _, decision = step(written(subject()), closed(reason), now=NOW + 1)
    assert decision.write
    assert "gpus" not in decision.document


def test_a_value_that_vanished_or_appeared_is_a_move_once_a_minute() -> None:
    published = written(subject())
    blank = subject(
        economics=replace(economics(), of_reference=economics().measured.grams_co2_per_million_tokens)
    )
    _, decision = step(published, blank, now=NOW + 30)
    assert decision.reason == GateReason.TOO_SOON
    without, decision = step(published, blank, now=NOW + 60)
    assert decision.reason == GateReason.VALUE_MOVED
    _, decision = step(without, subject(), now=NOW + 120)
    assert decision.reason == GateReason.VALUE_MOVED


class TestAfterARestart:
    """The status was found on the API server; this process has not seen a full window yet."""

    def found(self, found: Subject) -> Published:
        adopted = adopt(written(found, now=NOW - 500).document, now=NOW)
        assert adopted is not None
        return adopted

    def test_numbers_and_conditions_stay_until_the_window_is_full(self) -> None:
        blind = filling(verdict=verdict(DenominatorState.BLIND, optimizations=(Truth.UNKNOWN, "Unknown")))
        for after in (0, 15, 290):
            _, decision = step(self.found(subject()), blind, now=NOW + after)
            assert decision.reason == GateReason.HELD
            assert not decision.write

    def test_an_unchanged_result_is_not_written_when_it_is(self) -> None:
        _, decision = step(self.found(subject()), subject(), now=NOW + 310)
        assert decision.reason == GateReason.NOTHING_MOVED

    def test_a_changed_result_is_written_when_it_is(self) -> None:
        moved = subject(economics=economics(tokens_per_second=24_000))
        _, decision = step(self.found(subject()), moved, now=NOW + 310)
        assert decision.reason == GateReason.VALUE_MOVED

    def test_warming_up_is_no_changed_result(self) -> None:
        warming = subject(verdict=verdict(DenominatorState.WARMING_UP))
        _, decision = step(self.found(subject()), warming, now=NOW + 310)
        assert decision.reason == GateReason.NOTHING_MOVED

    def test_a_window_that_never_fills_ends_the_wait_after_two_windows(self) -> None:
        blind = filling(verdict=verdict(DenominatorState.BLIND))
        _, decision = step(self.found(subject()), blind, now=NOW + 600)
        assert decision.reason == GateReason.CONDITION_CHANGED

    def test_an_edit_made_meanwhile_is_answered_at_once(self) -> None:
        _, decision = step(self.found(subject()), filling(generation=2), now=NOW + 1)
        assert decision.reason == GateReason.GENERATION_MOVED

    def test_a_pool_that_can_not_be_served_any_more_says_so_at_once(self) -> None:
        _, decision = step(self.found(subject()), closed("PoolRefNotFound"), now=NOW + 1)
        assert decision.reason == GateReason.CONDITION_CHANGED

    def test_a_pool_that_was_not_ready_is_not_held(self) -> None:
        _, decision = step(self.found(closed("PoolRefNotFound")), filling(), now=NOW + 1)
        assert decision.reason == GateReason.CONDITION_CHANGED

    def test_the_minute_counts_from_the_write_of_the_process_before(self) -> None:
        adopted = adopt(written(subject(), now=NOW - 20).document, now=NOW)
        moved = subject(economics=economics(tokens_per_second=24_000))
        _, decision = step(adopted, moved, now=NOW + 10)
        assert decision.reason == GateReason.TOO_SOON

    def test_a_pool_without_a_status_is_a_new_one(self) -> None:
        assert adopt({}, now=NOW) is None
        assert adopt(None, now=NOW) is None


def test_a_rollout_gets_one_write_when_its_own_window_is_full() -> None:
    published: Published | None = written(subject())
    reasons = []
    for after in (30, 150, 299, 300, 315):
        rolled = subject(fleet=fleet(started_at=NOW), inspected=inspected(epoch="epoch-b"))
        published, decision = step(published, rolled, now=NOW + after)
        reasons.append(decision.reason)
    quiet = GateReason.NOTHING_MOVED
    assert reasons == [quiet, quiet, quiet, GateReason.WINDOW_FILLED, quiet]


def test_a_rollout_is_as_old_as_its_youngest_engine() -> None:
    old, young = fleet(started_at=NOW - 10_000), fleet(started_at=NOW - 100)
    mixed = replace(old, replicas=(old.replicas[0], young.replicas[1]))
    drafted = draft(subject(fleet=mixed), {}, window_seconds=WINDOW)
    assert drafted.rollout_age == 100
    assert not drafted.settled


def test_a_restarted_pod_of_the_same_rollout_gets_no_write_of_its_own() -> None:
    _, decision = step(written(subject()), subject(fleet=fleet(started_at=NOW)), now=NOW + 400)
    assert decision.reason == GateReason.NOTHING_MOVED


def test_a_write_that_failed_is_decided_again() -> None:
    published = written(subject())
    collapsed = subject(verdict=verdict(DenominatorState.THROUGHPUT_COLLAPSED))
    _, first = step(published, collapsed, now=NOW + 1)
    _, again = step(published, collapsed, now=NOW + 2)
    assert (first.write, again.write) == (True, True)


def test_the_whole_operator_writes_five_times_a_second() -> None:
    budget, taken = write_budget(), []
    for index in range(40):
        budget, admitted = budget.take(NOW + index * 0.05)
        taken.append(admitted)
    assert sum(taken[:20]) == 5 + 4
    assert sum(taken) == 5 + 9


def test_a_clock_that_goes_backwards_gives_no_writes_away() -> None:
    budget = write_budget()
    for _ in range(5):
        budget, admitted = budget.take(NOW)
        assert admitted
    budget, admitted = budget.take(NOW - 1000)
    assert not admitted
    _, admitted = budget.take(NOW + 0.1)
    assert not admitted
