"""A pool's alerts as the operator posts them: when they fire, for how long, and what they say."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.support.subjects import KEY, closed, condition, subject, verdict
from tokenfactory.model import DenominatorState, Finding, Truth
from tokenfactory.publishing.alertrules import POOL_RULES
from tokenfactory.publishing.alerts import POST_EVERY_SECONDS, Alert, Step, Track, Tracks, close, step
from tokenfactory.publishing.expressions import look_at
from tokenfactory.publishing.samples import samples
from tokenfactory.publishing.status import Subject

COLLAPSED = DenominatorState.THROUGHPUT_COLLAPSED
T = 1_800_000_000.0


def collapsed(**changes: Any) -> Subject:
    return subject(verdict=verdict(COLLAPSED, **changes))


def look(told: Subject, *, at: float, tracks: Tracks | None = None) -> Step:
    seen = replace(told, economics=replace(told.economics, at=at) if told.economics else None)
    sight = look_at(samples(seen), now=at)
    return step(KEY, sight, tracks=tracks or {}, conditions=seen.verdict.conditions)


def names(alerts: tuple[Alert, ...]) -> list[str]:
    return [alert.name.removeprefix("TokenFactory") for alert in alerts]


def unpriced() -> Subject:
    rows = (condition("PriceKnown", Truth.FALSE, "NoPrice", "set spec.price.perGPUHour"),)
    return subject(verdict=verdict(conditions=rows))


def test_a_collapse_fires_at_once_for_the_judge_has_waited_already() -> None:
    found = look(collapsed(), at=T)
    assert names(found.firing) == ["ThroughputCollapsed"]
    assert found.firing[0].starts_at == T
    assert found.resolved == ()


def test_what_nobody_debounced_waits_for_its_time() -> None:
    first = look(unpriced(), at=T)
    assert first.firing == ()
    still = look(unpriced(), at=T + 299, tracks=first.tracks)
    assert still.firing == ()
    assert names(look(unpriced(), at=T + 300, tracks=still.tracks).firing) == ["PriceUnknown"]


def test_a_condition_that_was_interrupted_waits_anew() -> None:
    first = look(unpriced(), at=T)
    well = look(subject(), at=T + 200, tracks=first.tracks)
    again = look(unpriced(), at=T + 210, tracks=well.tracks)
    assert look(unpriced(), at=T + 400, tracks=again.tracks).firing == ()


def test_an_alert_keeps_firing_for_two_minutes_and_is_resolved_once() -> None:
    fired = look(collapsed(), at=T)
    kept = look(subject(), at=T + 119, tracks=fired.tracks)
    assert names(kept.firing) == ["ThroughputCollapsed"]
    ended = look(subject(), at=T + 120, tracks=kept.tracks)
    assert ended.firing == ()
    assert names(ended.resolved) == ["ThroughputCollapsed"]
    assert (ended.resolved[0].starts_at, ended.resolved[0].ends_at) == (T, T + 120)
    after = look(subject(), at=T + 180, tracks=ended.tracks)
    assert (after.firing, after.resolved) == ((), ())


def test_one_that_is_kept_or_ends_says_what_it_fired_for_as_a_prometheus_does() -> None:
    """The pool's own words are those of its recovery by then."""

    def says(message: str) -> dict[str, Any]:
        return {"conditions": (condition("DenominatorHealthy", Truth.TRUE, "Healthy", message),)}

    well = subject(verdict=verdict(**says("at its own level")))
    fired = look(collapsed(**says("half of it")), at=T)
    kept = look(well, at=T + 60, tracks=fired.tracks)
    ended = look(well, at=T + 120, tracks=kept.tracks)
    assert fired.firing[0].body()["annotations"]["message"] == "half of it"
    assert kept.firing[0].annotations == ended.resolved[0].annotations == fired.firing[0].annotations


def test_one_that_comes_back_while_it_is_kept_never_ended() -> None:
    fired = look(collapsed(), at=T)
    kept = look(subject(), at=T + 60, tracks=fired.tracks)
    back = look(collapsed(), at=T + 90, tracks=kept.tracks)
    assert back.firing[0].starts_at == T


def test_an_alert_outlives_the_posts_that_a_failover_misses_and_the_time_that_its_rule_waits() -> None:
    for rule in POOL_RULES:
        firing = {rule.name: Track(since=T, firing_since=T, held_at=T)}
        found = look(subject(), at=T + 1, tracks=firing)
        alert = next(item for item in found.firing if item.name == rule.alertname)
        assert alert.ends_at - (T + 1) >= rule.for_seconds + 3 * POST_EVERY_SECONDS


def test_labels_are_those_of_the_rule_file_and_texts_name_pool_cause_and_cost() -> None:
    told = verdict(
        COLLAPSED,
        findings=(
            Finding(cause="ThroughputCollapsed", message="", cost_per_hour=None),
            Finding(cause="OptimizationLost", message=""),
        ),
        conditions=(condition("DenominatorHealthy", Truth.FALSE, "ThroughputCollapsed", "half\nof it"),),
    )
    alert = look(subject(verdict=told), at=T).firing[0].body()
    assert alert["labels"] == {
        "alertname": "TokenFactoryThroughputCollapsed",
        "namespace": "serving",
        "pool": "deepseek-r1",
        "severity": "critical",
    }
    notes = alert["annotations"]
    assert notes["summary"].startswith("Pool serving/deepseek-r1 makes far fewer tokens")
    assert notes["cause"] == "OptimizationLost"
    assert notes["cost_per_hour"] == "not known"
    assert notes["message"] == "half of it"
    assert notes["runbook_url"] == "docs/runbooks/TokenFactoryThroughputCollapsed.md"
    assert alert["startsAt"] == "2027-01-15T08:00:00.000Z"


def test_the_cost_is_that_of_the_finding_or_of_the_whole_pool() -> None:
    costly = Finding(cause="ThroughputCollapsed", message="", cost_per_hour=Decimal("2.5"))
    alert = look(collapsed(findings=(costly,)), at=T).firing[0]
    assert dict(alert.annotations)["cost_per_hour"] == "2.50 USD an hour for ThroughputCollapsed"
    missing = condition("TelemetryHealthy", Truth.FALSE, "NoPods")
    waiting = look(subject(verdict=verdict(conditions=(missing,))), at=T)
    fired = look(subject(verdict=verdict(conditions=(missing,))), at=T + 300, tracks=waiting.tracks).firing[0]
    assert dict(fired.annotations)["cost_per_hour"] == "40.00 USD an hour for the whole pool"


def test_a_text_is_bounded_whatever_a_message_holds() -> None:
    rows = (condition("DenominatorHealthy", Truth.FALSE, "ThroughputCollapsed", "x" * 100_000),)
    alert = look(collapsed(conditions=rows), at=T).firing[0]
    assert len(dict(alert.annotations)["message"].encode()) <= 1024


def test_a_deleted_pool_ends_what_fires_of_it_and_nothing_else() -> None:
    firing = look(collapsed(), at=T)
    ended = close(KEY, tracks=firing.tracks, now=T + 30)
    assert names(ended) == ["ThroughputCollapsed"]
    assert ended[0].ends_at == T + 30
    waiting = look(unpriced(), at=T)
    assert close(KEY, tracks=waiting.tracks, now=T + 30) == ()


@pytest.mark.parametrize("reason", ["Suspended", "InvalidSpec"])
def test_a_pool_without_numbers_raises_nothing(reason: str) -> None:
    sight = look_at(samples(closed(reason)), now=T)
    assert step(KEY, sight, tracks={}, conditions=()).tracks == {}
