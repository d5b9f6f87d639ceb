"""What is still to be told to one Alertmanager: bounded, the newest of each alert, each at its time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tokenfactory.publishing.alerts import POST_EVERY_SECONDS, Alert

MOST_ALERTS = 10_000
MOST_AT_ONCE = 64

Labels = tuple[tuple[str, str], ...]


class Outbox:
    """Alerts wait here until they were taken; a newer word on an alert replaces the older one."""

    def __init__(self) -> None:
        self._waiting: dict[Labels, Alert] = {}
        self._told: dict[Labels, float] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, alerts: Iterable[Alert], *, now: float) -> int:
        """Takes what is news or was told a minute ago; returns how many found no room."""
        dropped = 0
        for alert in alerts:
            told = self._told.get(alert.labels)
            if alert.labels not in self._waiting:
                if alert.ends_at > now and told is not None and now - told < POST_EVERY_SECONDS:
                    continue
                if len(self._waiting) >= MOST_ALERTS:
                    dropped += 1
                    continue
            self._waiting[alert.labels] = alert
            self._filled.set()
        return dropped

    async def batch(self) -> tuple[Alert, ...]:
        """The next alerts to post, the longest waiting first; waits until there are some."""
        await self._filled.wait()
        return tuple(self._waiting.values())[:MOST_AT_ONCE]

    def settle(self, batch: Iterable[Alert], *, now: float) -> None:
        """The batch was taken, or refused for good. What was replaced meanwhile still waits."""
        for alert in batch:
            if self._waiting.get(alert.labels) is alert:
                del self._waiting[alert.labels]
            if alert.ends_at > now:
                self._told[alert.labels] = now
            else:
                self._told.pop(alert.labels, None)
        if not self._waiting:
            self._filled.clear()
