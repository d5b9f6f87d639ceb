"""From the series of a pool to its alerts, with the clocks of a Prometheus rule: `for`, `keep_firing_for`.

Tracks go in and come out; nothing is kept. What an alert says is what the shipped PrometheusRule says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tokenfactory.model import Condition, PoolKey
from tokenfactory.publishing.alertrules import POOL_RULES, SYMPTOMS, AlertRule
from tokenfactory.publishing.expressions import Sight
from tokenfactory.publishing.text import clean

RUNBOOKS = "docs/runbooks"
ANNOTATION_BYTES = 1024
POST_EVERY_SECONDS = 60.0
OUTLIVES_SECONDS = 240.0
NOT_KNOWN = "not known"


Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One rule of one pool. Unix seconds: the condition holds since, the alert fires since, it held last.

    `said` are the annotations of when it held last: an alert that is kept firing says what it fired for.
    """

    since: float | None = None
    firing_since: float | None = None
    held_at: float = 0.0
    said: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert for Alertmanager's API v2. Unix seconds: over at `ends_at`, unless it is posted again."""

    labels: Pairs
    annotations: Pairs
    starts_at: float
    ends_at: float

    @property
    def name(self) -> str:
        return dict(self.labels)["alertname"]

    def body(self) -> dict[str, Any]:
        """The alert in JSON."""
        return {
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "startsAt": _moment(self.starts_at),
            "endsAt": _moment(self.ends_at),
        }


Tracks = Mapping[str, Track]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a look at a pool gave: the tracks for the next one, what fires, and what has just ceased to."""

    tracks: Tracks
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]


def step(key: PoolKey, sight: Sight, *, tracks: Tracks, conditions: Sequence[Condition]) -> Step:
    """Asks every rule about the pool. `conditions` are those of its last cycle: their messages explain."""
    after: dict[str, Track] = {}
    firing, resolved = [], []
    for rule in POOL_RULES:
        before = tracks.get(rule.name, Track())
        track = _advance(rule, before, holds=rule.expression.holds(sight), now=sight.now)
        if track.since is not None:
            track = replace(track, said=_annotate(rule, key, sight, conditions))
        if track.since is not None or track.firing_since is not None:
            after[rule.name] = track
        if track.firing_since is not None:
            until = sight.now + OUTLIVES_SECONDS + rule.for_seconds
            firing.append(_alert(rule, key, (track.firing_since, until), track.said))
        elif before.firing_since is not None:
            resolved.append(_alert(rule, key, (before.firing_since, sight.now), before.said))
    return Step(tracks=after, firing=tuple(firing), resolved=tuple(resolved))


def close(key: PoolKey, *, tracks: Tracks, now: float) -> tuple[Alert, ...]:
    """The ends of all that fires of a pool that is no more."""
    return tuple(
        _alert(rule, key, (track.firing_since, now), track.said)
        for rule in POOL_RULES
        if (track := tracks.get(rule.name)) is not None and track.firing_since is not None
    )


def _advance(rule: AlertRule, track: Track, *, holds: bool, now: float) -> Track:
    if holds:
        since = now if track.since is None else track.since
        fires = track.firing_since is not None or now - since >= rule.for_seconds
        started = track.firing_since if track.firing_since is not None else now
        return replace(track, since=since, firing_since=started if fires else None, held_at=now)
    if track.firing_since is not None and now - track.held_at < rule.keep_firing_seconds:
        return replace(track, since=None)
    return Track()


def _alert(rule: AlertRule, key: PoolKey, span: tuple[float, float], said: Pairs) -> Alert:
    return Alert(
        labels=(
            ("alertname", rule.alertname),
            ("namespace", key.namespace),
            ("pool", key.name),
            ("severity", rule.severity.value),
        ),
        annotations=said,
        starts_at=span[0],
        ends_at=span[1],
    )


def _annotate(rule: AlertRule, key: PoolKey, sight: Sight, conditions: Sequence[Condition]) -> Pairs:
    """What the pool shows now. `message` is all that Prometheus can't tell."""
    message = next((item.message for item in conditions if item.type == rule.condition), "")
    annotations = {
        "summary": rule.summary.format(pool=key),
        "description": rule.description.format(pool=key),
        "cause": _causes(sight),
        "cost_per_hour": _cost(rule, sight),
        "runbook_url": f"{RUNBOOKS}/{rule.alertname}.md",
        "message": clean(message, limit=ANNOTATION_BYTES),
    }
    return tuple((name, text) for name, text in annotations.items() if text)


def _causes(sight: Sight) -> str:
    found = {row["cause"] for row, _ in sight.gauges.get("findings", ())}
    return ", ".join(sorted(found.difference(SYMPTOMS))) or NOT_KNOWN


def cost_basis(rule: AlertRule) -> str:
    """What the cost per hour of an alert is the cost of."""
    return f"an hour for {rule.finding}" if rule.finding else "an hour for the whole pool"


def _cost(rule: AlertRule, sight: Sight) -> str:
    """What the rule's finding costs, or the whole pool."""
    rows = sight.gauges.get("cost_per_hour", ())
    if rule.finding:
        rows = sight.gauges.get("findings_cost_per_hour", ())
        rows = tuple((row, value) for row, value in rows if row["cause"] == rule.finding)
    found = [f"{value:.2f} {row['currency']} {cost_basis(rule)}" for row, value in rows]
    return "".join(found[:1]) or NOT_KNOWN


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
