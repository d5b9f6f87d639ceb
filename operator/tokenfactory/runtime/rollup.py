"""The TokenFactory statuses: the latest cycle of every pool rolled up, through the same gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from tokenfactory.cycle import Order
from tokenfactory.model import Factory, PrometheusReason, PrometheusTerms
from tokenfactory.publishing.fleet_status import PoolReport, Roll, fleet_draft, render_fleet, render_refused
from tokenfactory.publishing.gate import Draft, Published, adopt, decide, note
from tokenfactory.publishing.status import Subject
from tokenfactory.runtime.desk import Desk, SeenFactory
from tokenfactory.runtime.kube import Collection
from tokenfactory.runtime.publisher import GROUP_PATH, Outcome, Writer

SECONDS = 5.0
PATIENCE_INTERVALS = 2.5


class Standing(Protocol):
    """How a Prometheus answers, once it gave nothing for `patience` seconds."""

    def __call__(self, server: PrometheusTerms, *, patience: float) -> PrometheusReason: ...


@dataclass(frozen=True, slots=True)
class _Latest:
    factory: str
    window_seconds: float
    report: PoolReport


class Rollup:
    """Keeps the latest report of every pool and publishes each factory's sum."""

    def __init__(self, desk: Desk, writer: Writer, standing: Standing, *, clock: Callable[[], float]) -> None:
        self._desk = desk
        self._writer = writer
        self._standing = standing
        self._clock = clock
        self._latest: dict[str, _Latest] = {}
        self._published: dict[str, Published | None] = {}
        self._log = structlog.get_logger("rollup")

    def take(self, uid: str, order: Order, subject: Subject) -> None:
        """The latest cycle of one pool."""
        factory = order.terms.factory
        self._latest[uid] = _Latest(
            factory.name if factory is not None else "",
            order.terms.window_seconds,
            PoolReport(key=order.resource.key, economics=subject.economics, verdict=subject.verdict),
        )

    def forget(self, uid: str) -> None:
        self._latest.pop(uid, None)

    async def run(self) -> None:
        """Publishes every factory now and then, until cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            for seen in self._desk.factories():
                try:
                    await self._publish(seen)
                except Exception:
                    self._log.exception("the roll-up failed", factory=seen.name)

    async def _publish(self, seen: SeenFactory) -> None:
        now = self._clock()
        published = self._published.setdefault(seen.uid, adopt(seen.status or None, now=now))
        proposal = self._draft(seen, published, now)
        decision = decide(published, proposal, now=now)
        if not decision.write:
            return
        where = Collection(GROUP_PATH, "tokenfactories")
        outcome = await self._writer.write(where, seen.name, uid=seen.uid, document=decision.document)
        if outcome is Outcome.WRITTEN:
            self._published[seen.uid] = note(published, proposal, decision, now=now)
            self._desk.factory_published(seen.name, decision.document)

    def _draft(self, seen: SeenFactory, published: Published | None, now: float) -> Draft:
        before = published.document if published else None
        if seen.problem is not None or seen.factory is None:
            problem = seen.problem
            assert problem is not None
            document = render_refused(problem, generation=seen.generation, now=now, previous=before)
            return Draft(document=document, generation=seen.generation, window_seconds=0)
        return self._sum(seen.factory, published, now)

    def _sum(self, factory: Factory, published: Published | None, now: float) -> Draft:
        mine = [latest for latest in self._latest.values() if latest.factory == factory.name]
        roll = Roll(
            factory=factory,
            reports=tuple(latest.report for latest in mine),
            pools=self._desk.users_of(factory.name),
            now=now,
            prometheus=self._ask_standing(factory),
        )
        document = render_fleet(roll, published.document if published else None)
        window = max((latest.window_seconds for latest in mine), default=0.0)
        return fleet_draft(roll, document, window_seconds=window)

    def _ask_standing(self, factory: Factory) -> PrometheusReason | None:
        server = factory.telemetry.prometheus
        if server is None:
            return None
        patience = PATIENCE_INTERVALS * factory.telemetry.scrape_interval_seconds
        return self._standing(server, patience=patience)
