"""Who may fetch now: fair between namespaces, bounded in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tokenfactory.telemetry.limits import FetchLimits


@dataclass(slots=True)
class _Lane:
    slots: asyncio.Semaphore
    users: int = 0


class Slots:
    """At most so many requests in all and so many per namespace.

    A namespace queues for its own slots first, so it never has more than those in the common queue:
    slow targets of one tenant can't hold up another's.
    """

    def __init__(self, limits: FetchLimits) -> None:
        self._per_namespace = limits.in_flight_per_namespace
        self._all = asyncio.Semaphore(limits.in_flight)
        self._lanes: dict[str, _Lane] = {}

    @asynccontextmanager
    async def take(self, namespace: str) -> AsyncIterator[None]:
        lane = self._lanes.setdefault(namespace, _Lane(asyncio.Semaphore(self._per_namespace)))
        lane.users += 1
        try:
            async with lane.slots, self._all:
                yield
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[namespace]
