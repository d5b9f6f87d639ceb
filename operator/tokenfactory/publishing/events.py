"""Kubernetes Events on transitions: few, bounded, and the same name when a crash makes us post one again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from tokenfactory.model import DenominatorState, PoolKey, Truth
from tokenfactory.publishing.bucket import Bucket
from tokenfactory.publishing.status import published_condition
from tokenfactory.publishing.text import clean

CONTROLLER = "tokenfactory.dev/operator"
API_VERSION = "tokenfactory.dev/v1alpha1"
NOTE_BYTES = 1024
BURST = 25
SECONDS_PER_EVENT = 300
TOLD = frozenset(state.value for state in DenominatorState if state is not DenominatorState.WARMING_UP)


class EventType(StrEnum):
    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventToPost:
    """One Event about a pool. `name` is the same whenever the same transition is seen again."""

    key: PoolKey
    uid: str
    name: str
    type: EventType
    reason: str
    action: str
    note: str


def transitions(
    key: PoolKey, uid: str, *, published: Mapping[str, Any] | None, written: Mapping[str, Any]
) -> tuple[EventToPost, ...]:
    """Events that `written` deserves when it replaces `published` (None: there was no status).

    DenominatorHealthy: one for each change of state, Warning for False and Blind, else Normal; none for a
    first status that is not False, none for WarmingUp, which is news of the operator and not of the pool,
    and none for an invalid spec, which Ready tells. OptimizationsActive: Warning from True to False.
    """
    found = (
        _denominator(key, uid, published=published, written=written),
        _optimizations(key, uid, published=published, written=written),
    )
    return tuple(event for event in found if event is not None)


def _denominator(
    key: PoolKey, uid: str, *, published: Mapping[str, Any] | None, written: Mapping[str, Any]
) -> EventToPost | None:
    before = published_condition(published, "DenominatorHealthy")
    after = published_condition(written, "DenominatorHealthy")
    reason, earlier = after.get("reason"), before.get("reason")
    if reason == earlier or reason not in TOLD:
        return None
    if after.get("status") == Truth.FALSE.value or (earlier and reason == DenominatorState.BLIND.value):
        return _event(key, uid, before=before, after=after, kind=EventType.WARNING)
    if earlier is None:
        return None
    return _event(key, uid, before=before, after=after, kind=EventType.NORMAL)


def _optimizations(
    key: PoolKey, uid: str, *, published: Mapping[str, Any] | None, written: Mapping[str, Any]
) -> EventToPost | None:
    before = published_condition(published, "OptimizationsActive")
    after = published_condition(written, "OptimizationsActive")
    if before.get("status") != Truth.TRUE.value or after.get("status") != Truth.FALSE.value:
        return None
    return _event(key, uid, before=before, after=after, kind=EventType.WARNING)


def _event(
    key: PoolKey, uid: str, *, before: Mapping[str, Any], after: Mapping[str, Any], kind: EventType
) -> EventToPost:
    about = str(after["type"])
    marks = (uid, about, before.get("reason"), after["reason"], before.get("lastTransitionTime"))
    digest = hashlib.sha256("\n".join(map(str, marks)).encode()).hexdigest()[:16]
    return EventToPost(
        key=key,
        uid=uid,
        name=f"{key.name[:200].rstrip('.-')}.{digest}",
        type=kind,
        reason=str(after["reason"]) if about == "DenominatorHealthy" else f"Optimization{after['reason']}",
        action="Judge",
        note=clean(str(after.get("message", "")), limit=NOTE_BYTES) or str(after["reason"]),
    )


def body(event: EventToPost, *, now: float, instance: str) -> dict[str, Any]:
    """The events.k8s.io/v1 Event. `now`: Unix seconds; `instance` names the operator's replica."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event.name, "namespace": event.key.namespace},
        "eventTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": clean(instance, limit=128) or CONTROLLER,
        "action": event.action,
        "reason": event.reason,
        "type": event.type.value,
        "note": event.note,
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": "InferencePool",
            "namespace": event.key.namespace,
            "name": event.key.name,
            "uid": event.uid,
        },
    }


def event_budget() -> Bucket:
    """The Events of one object, with client-go's numbers: 25 at once, then one in 300 s (threat 10)."""
    return Bucket(burst=BURST, per_second=1 / SECONDS_PER_EVENT)
