"""Which collector reads the pages of a pool: its TokenFactory's telemetry says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from tokenfactory.cycle import Collector
from tokenfactory.model import Failure, NodePrices, PrometheusTerms, TelemetryMode, TelemetryTerms
from tokenfactory.telemetry.opencost import OpenCost
from tokenfactory.telemetry.recorded import Asker

T = TypeVar("T")
MOST_REMEMBERED = 64


class ClosingAsker(Asker, Protocol):
    def close(self) -> None: ...


class Sources:
    """Fills `cycle.Sources`. `recorded` makes the collector of a Prometheus, once one is named."""

    def __init__(
        self, direct: Collector, recorded: Callable[[TelemetryTerms], Collector], opencost: OpenCost
    ) -> None:
        self._direct = direct
        self._opencost = opencost
        self._recorded = recorded
        self._made: dict[TelemetryTerms, Collector] = {}

    def collector(self, telemetry: TelemetryTerms) -> Collector:
        if telemetry.mode is TelemetryMode.DIRECT:
            return self._direct
        if telemetry not in self._made:
            if len(self._made) >= MOST_REMEMBERED:
                self._made.clear()
            self._made[telemetry] = self._recorded(telemetry)
        return self._made[telemetry]

    async def node_prices(self, server: PrometheusTerms) -> NodePrices | None:
        return await self._opencost.prices(server)


class OneSource:
    """Fills `cycle.Sources` with one collector, whatever the telemetry says: for files."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collector(self, telemetry: TelemetryTerms) -> Collector:
        return self._collector

    async def node_prices(self, server: PrometheusTerms) -> NodePrices | None:
        return None


class LateAsker:
    """Fills `recorded.Asker`. What asks is made for the first question, in a thread: most never have one."""

    def __init__(self, make: Callable[[], ClosingAsker]) -> None:
        self._make = make
        self._made: ClosingAsker | None = None
        self._turn = asyncio.Lock()

    async def ask(
        self, server: PrometheusTerms, query: str, *, timeout: float, read: Callable[[Sequence[Any]], T]
    ) -> T | Failure:
        async with self._turn:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
        return await self._made.ask(server, query, timeout=timeout, read=read)

    def close(self) -> None:
        if self._made is not None:
            self._made.close()
