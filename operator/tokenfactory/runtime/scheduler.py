"""One task a pool, hash-spread over its interval. A pool that fails or hangs delays nobody else."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

STALE_INTERVALS = 3.0

Cycle = Callable[[str], Awaitable[float]]
"""Cycles the pool with this UID and returns the seconds until its next cycle is due."""


@dataclass(slots=True)
class _Tended:
    task: asyncio.Task[None]
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    interval: float = 15.0
    done_at: float | None = None


class Scheduler:
    """Runs `cycle` for every known pool, each at its own pace, at most `concurrent` at once."""

    def __init__(self, cycle: Cycle, *, clock: Callable[[], float], concurrent: int) -> None:
        self._cycle = cycle
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrent)
        self._tended: dict[str, _Tended] = {}
        self._started_at = clock()

    def tend(self, uid: str) -> None:
        """Starts a pool, or cycles it at once when it is known already."""
        known = self._tended.get(uid)
        if known is not None:
            known.wake.set()
            return
        task = asyncio.get_running_loop().create_task(self._loop(uid), name=f"pool-{uid}")
        self._tended[uid] = _Tended(task)

    def revisit(self, uid: str, seconds: float) -> None:
        """Cycles a known pool once more, so many seconds from now, between its slots."""
        known = self._tended.get(uid)
        if known is not None:
            asyncio.get_running_loop().call_later(seconds, known.wake.set)

    def forget(self, uid: str) -> None:
        """Stops a pool's task."""
        known = self._tended.pop(uid, None)
        if known is not None:
            known.task.cancel()

    def last_sweep(self) -> float:
        """The time by which every pool had been cycled; with no pool, now."""
        times = [tended.done_at or self._started_at for tended in self._tended.values()]
        return min(times, default=self._clock())

    def overdue(self) -> tuple[str, ...]:
        """UIDs of pools whose last cycle is older than three of their intervals."""
        now = self._clock()
        return tuple(
            uid
            for uid, tended in self._tended.items()
            if now - (tended.done_at or self._started_at) > STALE_INTERVALS * tended.interval
        )

    async def stop(self) -> None:
        """Cancels every task and waits until all are gone."""
        tasks = [tended.task for tended in self._tended.values()]
        self._tended.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _loop(self, uid: str) -> None:
        await asyncio.sleep(0)
        while (tended := self._tended.get(uid)) is not None:
            tended.wake.clear()
            async with self._slots:
                tended.interval = await self._cycle(uid)
            tended.done_at = self._clock()
            pause = until_slot(uid, self._clock(), interval=tended.interval)
            try:
                async with asyncio.timeout(pause):
                    await tended.wake.wait()
            except TimeoutError:
                pass


def until_slot(uid: str, now: float, *, interval: float) -> float:
    """Seconds until the pool's next slot: slots are `interval` apart, offset by a hash of the UID.

    A slot nearer than half an interval is passed over, so that the first gap is never too short to measure.
    """
    offset = (zlib.crc32(uid.encode()) / 2**32) * interval
    wait = (offset - now) % interval
    return wait if wait >= interval / 2 else wait + interval
