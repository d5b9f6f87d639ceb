"""One term of leadership: every pool cycled at its pace, every outcome published."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from tokenfactory.cycle import Case, Line, Memory, Order, Outcome, close_with_bug, explain_case, keep_case
from tokenfactory.discovery.terms import resolve
from tokenfactory.errors import Unavailable
from tokenfactory.judgement.judge import JudgeMemory
from tokenfactory.model import Factory, Pool, PoolKey, Resource, Terms
from tokenfactory.runtime.desk import Desk, SeenPool
from tokenfactory.runtime.kube import ApiError
from tokenfactory.runtime.publisher import Publisher
from tokenfactory.runtime.rollup import Rollup
from tokenfactory.runtime.scheduler import Scheduler

BARE = Terms(factory=Factory())


class CycleMeter(Protocol):
    def observe_cycle(self, seconds: float) -> None: ...

    def count_bug(self) -> None: ...


class Recollection(Protocol):
    """What earlier terms of leadership learned."""

    def recall(self, uid: str) -> JudgeMemory | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TendingLimits:
    """Cycles at the same time; pools of one namespace and serving pods in all that are scraped."""

    concurrent: int = 64
    pools_per_namespace: int = 200
    targets: int = 20_000


class Tending:
    """Owns the memories of all pools while this replica leads."""

    def __init__(
        self,
        desk: Desk,
        line: Line,
        publisher: Publisher,
        rollup: Rollup,
        meter: CycleMeter,
        *,
        past: Recollection,
        clock: Callable[[], float],
        limits: TendingLimits,
    ) -> None:
        self._desk = desk
        self._line = line
        self._publisher = publisher
        self._rollup = rollup
        self._meter = meter
        self._past = past
        self._clock = clock
        self._limits = limits
        self._targets: dict[str, int] = {}
        self._memories: dict[str, Memory] = {}
        self._cases: dict[str, Case | None] = {}
        self._keys: dict[str, PoolKey] = {}
        self._broken: set[str] = set()
        self._log = structlog.get_logger("cycle")
        self.scheduler = Scheduler(self._cycle, clock=clock, concurrent=limits.concurrent)

    async def run(self) -> None:
        """Tends every known pool until cancelled."""
        self._desk.listen(self._heard)
        for uid in self._desk.uids():
            self._heard(uid)
        try:
            await self._rollup.run()
        finally:
            self._desk.listen(None)
            await self.scheduler.stop()
            for uid, key in self._keys.items():
                self._publisher.forget(uid, key)

    def memories(self) -> Mapping[str, JudgeMemory | None]:
        """What the judge knows of every pool that is there, by UID; None: not judged yet."""
        return {uid: self._memories.get(uid, Memory()).judge for uid in self._desk.uids()}

    def _memory(self, uid: str) -> Memory:
        known = self._memories.get(uid)
        return Memory(judge=self._past.recall(uid)) if known is None else known

    def _heard(self, uid: str) -> None:
        if self._desk.pool(uid) is not None:
            self.scheduler.tend(uid)
            return
        self.scheduler.forget(uid)
        self._memories.pop(uid, None)
        self._cases.pop(uid, None)
        self._targets.pop(uid, None)
        self._broken.discard(uid)
        self._rollup.forget(uid)
        key = self._keys.pop(uid, None)
        if key is not None:
            self._publisher.forget(uid, key)

    def explain(self, key: PoolKey) -> dict[str, Any] | None:
        """The pool's last cycle explained; None when it is not known or has no numbers."""
        uid = next((uid for uid, known in self._keys.items() if known == key), "")
        case = self._cases.get(uid)
        return explain_case(case) if case is not None else None

    async def _cycle(self, uid: str) -> float:
        """One cycle of one pool; returns its interval in seconds. Never raises."""
        seen = self._desk.pool(uid)
        if seen is None:
            return 60.0
        order = self._order(uid, seen)
        key = order.resource.key
        self._keys[uid] = key
        started = time.perf_counter()
        try:
            outcome = await self._line.run(order, self._memory(uid))
            self._broken.discard(uid)
        except (Unavailable, ApiError) as error:
            self._log.debug("cycle skipped", pool=str(key), error=str(error))
            return order.terms.scrape_interval_seconds
        except Exception:
            outcome = self._close_with_bug(uid, order)
        if self._desk.pool(uid) is not None:
            await self._conclude(uid, order, outcome)
        self._meter.observe_cycle(time.perf_counter() - started)
        return order.terms.scrape_interval_seconds

    async def _conclude(self, uid: str, order: Order, outcome: Outcome) -> None:
        self._memories[uid] = outcome.memory
        self._cases[uid] = keep_case(order, outcome)
        self._targets[uid] = _count_targets(outcome)
        self._rollup.take(uid, order, outcome.subject)
        key, window, factory = order.resource.key, order.terms.window_seconds, order.terms.factory
        try:
            again = await self._publisher.publish(
                uid,
                key,
                outcome.subject,
                window_seconds=window,
                alertmanagers=factory.alertmanagers if factory is not None else (),
            )
            if again:
                self.scheduler.revisit(uid, again)
        except Exception:
            self._close_with_bug(uid, order)

    def _close_with_bug(self, uid: str, order: Order) -> Outcome:
        """Counts and logs a bug once a pool until a cycle succeeds; the pool's memory is dropped."""
        self._meter.count_bug()
        if uid not in self._broken:
            self._broken.add(uid)
            self._log.exception("a cycle failed", pool=str(order.resource.key))
        return close_with_bug(order, now=self._clock())

    def _order(self, uid: str, seen: SeenPool) -> Order:
        resource = seen.resource
        return Order(
            resource=resource,
            terms=self._terms(resource),
            neighbours=self._desk.neighbours(resource.key),
            withheld=self._withheld(uid, resource.key),
        )

    def _terms(self, resource: Resource) -> Terms:
        if not isinstance(resource, Pool):
            return BARE
        return resolve(resource, self._desk.usable_factories(), broken=self._desk.broken_factories())

    def _withheld(self, uid: str, key: PoolKey) -> str:
        """Why this pool is not scraped. Pools are taken in the order of their names, targets as they come."""
        limits = self._limits
        if self._desk.rank(key) >= limits.pools_per_namespace:
            return (
                f"this namespace has more than {limits.pools_per_namespace} pools and the others come first:"
                " delete some, or have --max-pools-per-namespace raised"
            )
        others = sum(count for other, count in self._targets.items() if other != uid)
        if others >= limits.targets:
            return f"{limits.targets} targets are scraped already: have --max-targets raised"
        return ""


def _count_targets(outcome: Outcome) -> int:
    fleet = outcome.subject.fleet
    if fleet is None:
        return 0
    engines = [engine.endpoint for replica in fleet.replicas for engine in replica.engines]
    beside = [companion.endpoint for companion in fleet.companions]
    return sum(endpoint is not None for endpoint in (*engines, *beside))
