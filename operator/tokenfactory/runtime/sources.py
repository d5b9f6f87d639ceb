"""Which collector reads the pages of a pool: its TokenFactory's telemetry says so."""

from __future__ import annotations

from collections.abc import Callable

from tokenfactory.cycle import Collector
from tokenfactory.model import NodePrices, PrometheusTerms, TelemetryMode, TelemetryTerms
from tokenfactory.telemetry.opencost import OpenCost

MOST_REMEMBERED = 64


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
