"""The last stage's I/O: metrics always, an Event on a transition, a status when the gate says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol

import structlog

from tokenfactory.errors import Unavailable
from tokenfactory.model import AlertmanagerTerms, PoolKey
from tokenfactory.publishing import events
from tokenfactory.publishing.bucket import Bucket
from tokenfactory.publishing.drafting import draft
from tokenfactory.publishing.events import event_budget
from tokenfactory.publishing.gate import (
    WRITES_PER_SECOND,
    Decision,
    GateReason,
    Published,
    adopt,
    decide,
    note,
    write_budget,
)
from tokenfactory.publishing.metrics import PoolMetrics
from tokenfactory.publishing.standing import carry_over
from tokenfactory.publishing.status import Subject, render
from tokenfactory.runtime.desk import Desk
from tokenfactory.runtime.kube import ApiError, Collection, Kube

GROUP_PATH = "/apis/tokenfactory.dev/v1alpha1"
EVENTS_PATH = "/apis/events.k8s.io/v1"


class Outcome(StrEnum):
    """What became of a status. Skipped: the operator's budget of writes had no room."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    CONFLICT = "conflict"
    FAILED = "failed"


class WriteCounter(Protocol):
    def count_status_write(self, outcome: str) -> None: ...


class Alarm(Protocol):
    """Hears of every cycle, and of pools that are deleted."""

    def record(
        self, uid: str, key: PoolKey, subject: Subject, servers: tuple[AlertmanagerTerms, ...]
    ) -> None: ...

    def forget(self, uid: str) -> None: ...


class Writer:
    """Writes status documents within the operator's budget, and remembers what the API server holds."""

    def __init__(self, kube: Kube, counter: WriteCounter, *, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._counter = counter
        self._clock = clock
        self._budget: Bucket = write_budget()
        self._promised = 0.0
        self._log = structlog.get_logger("publish")

    def promise(self) -> float:
        """Seconds until the budget has room for one more; who asks is behind everybody who asked before."""
        now = self._clock()
        self._promised = max(self._promised, now) + 1.0 / WRITES_PER_SECOND
        return self._promised - now

    async def write(self, where: Collection, name: str, *, uid: str, document: Mapping[str, Any]) -> Outcome:
        """Replaces the status of the object with this UID."""
        self._budget, granted = self._budget.take(self._clock())
        outcome = await self._replace(where, name, uid, document) if granted else Outcome.SKIPPED
        self._counter.count_status_write(outcome)
        return outcome

    async def _replace(self, where: Collection, name: str, uid: str, document: Mapping[str, Any]) -> Outcome:
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": dict(document)},
        ]
        try:
            await self._kube.patch_status(where, name, operations)
        except ApiError as error:
            self._log.warning("status not written", name=name, namespace=where.namespace, error=str(error))
            return Outcome.CONFLICT if error.status in {404, 409, 422} else Outcome.FAILED
        except Unavailable as error:
            self._log.debug("status not written", name=name, namespace=where.namespace, error=str(error))
            return Outcome.FAILED
        return Outcome.WRITTEN


class Publisher:
    """Publishes outcomes of cycles. One instance for one term of leadership."""

    def __init__(
        self,
        kube: Kube,
        desk: Desk,
        writer: Writer,
        metrics: PoolMetrics,
        alarm: Alarm,
        *,
        clock: Callable[[], float],
        instance: str,
    ) -> None:
        self._kube = kube
        self._desk = desk
        self._writer = writer
        self._metrics = metrics
        self._alarm = alarm
        self._clock = clock
        self._instance = instance
        self._published: dict[str, Published | None] = {}
        self._due: dict[str, float] = {}
        self._event_budgets: dict[str, Bucket] = {}
        self._log = structlog.get_logger("publish")

    async def publish(
        self,
        uid: str,
        key: PoolKey,
        subject: Subject,
        *,
        window_seconds: float,
        alertmanagers: tuple[AlertmanagerTerms, ...] = (),
    ) -> float:
        """Metrics and alerts, then the gate; Events and status only when it opens.

        Returns after how many seconds to come again with a status that belongs on the API server at once and
        for which there was no room; 0 when the next cycle is soon enough.
        """
        now = self._clock()
        seen = self._desk.pool(uid)
        if seen is None:
            return 0.0
        published = self._published.setdefault(uid, adopt(seen.status or None, now=now))
        before = published.document if published else None
        told = carry_over(subject, before)
        self._metrics.record(key, told)
        self._alarm.record(uid, key, told, alertmanagers)
        document = render(subject, before)
        proposal = draft(subject, document, window_seconds=window_seconds)
        decision = decide(published, proposal, now=now)
        if not decision.write:
            return 0.0
        await self._tell(uid, key, published, decision)
        where = Collection(GROUP_PATH, "inferencepools", key.namespace)
        outcome = await self._writer.write(where, key.name, uid=uid, document=decision.document)
        if outcome is Outcome.WRITTEN:
            self._published[uid] = note(published, proposal, decision, now=now)
            self._desk.published(uid, decision.document)
        urgent = outcome is Outcome.SKIPPED and decision.reason is not GateReason.VALUE_MOVED
        if not urgent or self._due.get(uid, 0.0) > now:
            return 0.0
        wait = self._writer.promise()
        self._due[uid] = now + wait
        return wait

    def forget(self, uid: str, key: PoolKey) -> None:
        """Drops everything about a deleted pool."""
        self._published.pop(uid, None)
        self._due.pop(uid, None)
        self._event_budgets.pop(uid, None)
        self._metrics.forget(key)
        self._alarm.forget(uid)

    async def _tell(self, uid: str, key: PoolKey, published: Published | None, decision: Decision) -> None:
        """Posts Events before the status: after a crash in between they are posted again under one name."""
        before = published.document if published else None
        for event in events.transitions(key, uid, published=before, written=decision.document):
            budget, granted = self._event_budgets.get(uid, event_budget()).take(self._clock())
            self._event_budgets[uid] = budget
            if not granted:
                continue
            body = events.body(event, now=self._clock(), instance=self._instance)
            try:
                await self._kube.create(Collection(EVENTS_PATH, "events", key.namespace), body)
            except ApiError as error:
                if error.status != 409:
                    self._log.warning("event not posted", pool=str(key), error=str(error))
            except Unavailable as error:
                self._log.debug("event not posted", pool=str(key), error=str(error))
