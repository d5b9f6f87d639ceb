"""Alerts for clusters without Prometheus: looks at every pool now and then, and posts what fires.

Runs beside the cycles and never delays one. Only the leader posts. When its term ends it says nothing: its
successor posts the same alerts again before they would expire.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from tokenfactory.model import AlertmanagerTerms, Condition, PoolKey
from tokenfactory.publishing import dayuse
from tokenfactory.publishing.alertmanager import Delivery, Outcome
from tokenfactory.publishing.alerts import Alert, Tracks, close, step
from tokenfactory.publishing.expressions import Sight, look_at
from tokenfactory.publishing.samples import samples
from tokenfactory.publishing.status import Subject
from tokenfactory.runtime.outbox import Outbox

SECONDS_BETWEEN_LOOKS = 5.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


class Poster(Protocol):
    async def post(self, alerts: Sequence[Alert]) -> Delivery: ...


class AlertMeter(Protocol):
    def count_alerts(self, outcome: str, number: int) -> None: ...


@dataclass(slots=True)
class _Watched:
    """A pool as its last cycle left it."""

    key: PoolKey
    servers: tuple[AlertmanagerTerms, ...]
    sight: Sight
    conditions: tuple[Condition, ...]
    day: dayuse.DayUse = ()
    tracks: Tracks = field(default_factory=dict)
    gone: bool = False


@dataclass(slots=True)
class _Line:
    """One Alertmanager that some pool's factory names: what waits for it, and who posts it."""

    outbox: Outbox
    task: asyncio.Task[None]


class Alerting:
    """One term of leadership. `poster` makes what posts to a server; `sleep` is there for tests."""

    def __init__(
        self,
        poster: Callable[[AlertmanagerTerms], Poster],
        meter: AlertMeter,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._poster = poster
        self._meter = meter
        self._clock = clock
        self._sleep = sleep
        self._pools: dict[str, _Watched] = {}
        self._lines: dict[AlertmanagerTerms, _Line] = {}
        self._log = structlog.get_logger("alerts")

    def record(
        self, uid: str, key: PoolKey, subject: Subject, servers: tuple[AlertmanagerTerms, ...]
    ) -> None:
        """Takes over one cycle of one pool, and who is to hear of it."""
        known = self._pools.get(uid)
        if known is not None and known.gone:
            return
        watched = _Watched(
            key=key,
            servers=servers,
            sight=look_at(samples(subject) if servers else (), now=subject.now),
            conditions=subject.verdict.conditions,
            day=known.day if known else (),
            tracks=known.tracks if known else {},
        )
        if subject.economics is not None:
            spent = subject.economics.increments.gpu_seconds_by_share
            watched.day = dayuse.add(watched.day, spent, now=subject.now)
        self._pools[uid] = watched

    def forget(self, uid: str) -> None:
        """The pool is deleted: the next look ends what fires of it."""
        if uid in self._pools:
            self._pools[uid].gone = True

    async def run(self) -> None:
        """Looks and posts until cancelled."""
        try:
            while True:
                try:
                    self.look()
                except Exception:
                    self._log.exception("a look at the pools failed")
                await self._sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            tasks = [line.task for line in self._lines.values()]
            self._lines.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def look(self) -> None:
        """One look at every pool: what fires and what ended waits for the servers from now on."""
        now = self._clock()
        self._keep_lines()
        for uid, watched in tuple(self._pools.items()):
            if watched.gone:
                self._put(watched, close(watched.key, tracks=watched.tracks, now=now), now)
                del self._pools[uid]
            elif watched.servers:
                self._step(watched, now)
            else:
                watched.tracks = {}

    def _step(self, watched: _Watched, now: float) -> None:
        unused = dayuse.unused_share(watched.day, now=now)
        sight = replace(watched.sight, now=now, unused_of_day=unused)
        found = step(watched.key, sight, tracks=watched.tracks, conditions=watched.conditions)
        watched.tracks = found.tracks
        self._put(watched, (*found.firing, *found.resolved), now)

    def _put(self, watched: _Watched, alerts: Sequence[Alert], now: float) -> None:
        for server in watched.servers:
            line = self._lines.get(server)
            if line is not None:
                self._meter.count_alerts("dropped", line.outbox.put(alerts, now=now))

    def _keep_lines(self) -> None:
        """A line for each server that a factory names; a removed one ends, with all that waits for it."""
        wanted = {server for watched in self._pools.values() for server in watched.servers}
        for server in self._lines.keys() - wanted:
            self._lines.pop(server).task.cancel()
        for server in wanted - self._lines.keys():
            outbox = Outbox()
            task = asyncio.get_running_loop().create_task(self._serve(server, outbox))
            self._lines[server] = _Line(outbox, task)

    async def _serve(self, server: AlertmanagerTerms, outbox: Outbox) -> None:
        """Posts what waits, batch by batch; after a failure with growing pauses, one log line a change."""
        poster, failures = self._poster(server), 0
        while True:
            batch = await outbox.batch()
            delivery = await poster.post(batch)
            self._meter.count_alerts(delivery.outcome.value, len(batch))
            if delivery.outcome is Outcome.FAILED:
                if not failures:
                    self._log.warning("alerts not posted", url=server.url, why=delivery.detail)
                failures += 1
                await self._sleep(pause(server.url, failures))
                continue
            if delivery.outcome is Outcome.REFUSED:
                self._log.warning("alerts refused", url=server.url, why=delivery.detail)
            elif failures:
                self._log.info("alerts are posted again", url=server.url)
            failures = 0
            outbox.settle(batch, now=self._clock())


def pause(url: str, failures: int) -> float:
    """Seconds before the next attempt: doubling up to a minute, spread by a hash over the last half."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
    spread = zlib.crc32(f"{url} {failures}".encode()) / 2**32
    return longest * (0.5 + spread / 2)
