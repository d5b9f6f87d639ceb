"""Direct scraping costs what it did; what reads a Prometheus is made when one is named, and once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tokenfactory.model import Fleet, NodePrices, PrometheusTerms, Readings, TelemetryMode, TelemetryTerms
from tokenfactory.runtime.sources import OneSource, Sources
from tokenfactory.telemetry.opencost import OpenCost

SERVER = PrometheusTerms(url="http://prometheus:9090")
RECORDED = TelemetryTerms(mode=TelemetryMode.PROMETHEUS, prometheus=SERVER)


class Nothing:
    """Fills `cycle.Collector`."""

    async def collect(self, fleet: Fleet, *, now: float, max_age: float, timeout: float) -> Readings:
        return Readings(at=now, engines={}, exporters={})


class Empty:
    """Fills `recorded.Asker` with a Prometheus that holds nothing."""

    async def ask(
        self, server: PrometheusTerms, query: str, *, timeout: float, read: Callable[[Sequence[Any]], Any]
    ) -> Any:
        return read(())


def sources(made: list[TelemetryTerms]) -> tuple[Sources, Nothing]:
    def make(terms: TelemetryTerms) -> Nothing:
        made.append(terms)
        return Nothing()

    direct = Nothing()
    return Sources(direct, make, OpenCost(Empty(), monotonic=lambda: 0.0)), direct


def test_a_factory_that_names_a_prometheus_for_prices_only_is_read_directly() -> None:
    made: list[TelemetryTerms] = []
    chosen, direct = sources(made)
    assert chosen.collector(TelemetryTerms()) is direct
    assert chosen.collector(TelemetryTerms(prometheus=SERVER)) is direct
    assert made == []


def test_pools_of_one_factory_share_the_collector_of_its_prometheus() -> None:
    made: list[TelemetryTerms] = []
    chosen, direct = sources(made)
    first = chosen.collector(RECORDED)
    assert first is not direct
    assert chosen.collector(TelemetryTerms(mode=TelemetryMode.PROMETHEUS, prometheus=SERVER)) is first
    assert made == [RECORDED]


def test_factories_that_come_and_go_are_not_remembered_for_ever() -> None:
    made: list[TelemetryTerms] = []
    chosen, _ = sources(made)
    for number in range(200):
        server = PrometheusTerms(url=f"http://prometheus-{number}:9090")
        chosen.collector(TelemetryTerms(mode=TelemetryMode.PROMETHEUS, prometheus=server))
    assert len(made) == 200
    assert len(chosen._made) <= 64


async def test_a_prometheus_without_opencost_prices_no_node() -> None:
    chosen, _ = sources([])
    found = await chosen.node_prices(SERVER)
    assert found == NodePrices()


async def test_files_know_no_opencost_whatever_the_factory_says() -> None:
    assert await OneSource(Nothing()).node_prices(SERVER) is None
