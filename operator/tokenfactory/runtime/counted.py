"""The scrape stage with its outcomes counted."""

from __future__ import annotations

from itertools import chain
from typing import Protocol

from tokenfactory.cycle import Collector
from tokenfactory.model import Failure, FailureReason, Fleet, Readings


class ScrapeCounter(Protocol):
    def count_scrape(self, failure: FailureReason | None) -> None: ...


class CountedCollector:
    """Counts every reading of the collector that it wraps."""

    def __init__(self, inner: Collector, counter: ScrapeCounter) -> None:
        self._inner = inner
        self._counter = counter

    async def collect(self, fleet: Fleet, *, now: float, max_age: float, timeout: float) -> Readings:
        readings = await self._inner.collect(fleet, now=now, max_age=max_age, timeout=timeout)
        pages = (readings.engines, readings.companions, readings.exporters)
        for reading in chain.from_iterable(found.values() for found in pages):
            self._counter.count_scrape(reading.reason if isinstance(reading, Failure) else None)
        return readings
