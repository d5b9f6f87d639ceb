"""A replayed fleet whose pages a real Prometheus scrapes, and the line that reads either of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.prometheus import PrometheusServer, jobs_of
from tokenfactory.cycle import Collector as AnyCollector
from tokenfactory.cycle import Line, Memory, Order, Outcome
from tokenfactory.model import (
    Economics,
    Factory,
    HardwareMatch,
    LabelSelector,
    Pool,
    PoolKey,
    PriceEntry,
    PrometheusTerms,
    TelemetryMode,
    TelemetryTerms,
    Terms,
    Verdict,
)
from tokenfactory.ports import Credential
from tokenfactory.runtime.files import FileConfigMaps, FileReferences, NoStopwatch, Stock
from tokenfactory.runtime.sources import OneSource
from tokenfactory.sandbox.fleet import NAMESPACE, PoolPlan, ReplayedFleet
from tokenfactory.sandbox.site import Site, pick_network
from tokenfactory.telemetry.address import AddressRules, LoopbackPolicy
from tokenfactory.telemetry.collect import Collector
from tokenfactory.telemetry.fetch import Fetcher
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.limits import FetchLimits, QueryLimits
from tokenfactory.telemetry.promql import Prometheus
from tokenfactory.telemetry.recorded import Library, RecordedCollector

WINDOW_SECONDS = 10
INTERVAL_SECONDS = 1


class NoCredentials:
    """Fills `ports.Credentials` where nothing is mounted."""

    def find(self, name: str) -> Credential | None:
        return None


class CountedAsker:
    """Fills `recorded.Asker` and keeps every query that was asked."""

    def __init__(self, inner: Prometheus) -> None:
        self._inner = inner
        self.queries: list[str] = []

    async def ask(self, server: PrometheusTerms, query: str, **arguments: Any) -> Any:
        self.queries.append(query)
        return await self._inner.ask(server, query, **arguments)


@dataclass(slots=True)
class Reader:
    """One way to read the fleet: its line, and the memory of each pool."""

    line: Line
    terms: Terms
    memories: dict[PoolKey, Memory] = field(default_factory=dict)

    async def cycle(self, pool: Pool) -> Outcome:
        order = Order(resource=pool, terms=self.terms)
        outcome = await self.line.run(order, self.memories.get(pool.key, Memory()))
        self.memories[pool.key] = outcome.memory
        return outcome


@dataclass(slots=True)
class Stage:
    """A served fleet, its objects, and a Prometheus that scrapes it every second."""

    fleet: ReplayedFleet
    site: Site
    stock: Stock
    server: PrometheusServer

    def pools(self) -> tuple[Pool, ...]:
        return tuple(pool_of(plan) for plan in self.fleet.plans)

    def tell(self) -> None:
        """The informers hear how pods and nodes stand now."""
        self.stock.fill(objects_of(self.fleet))

    def terms(self, **server: Any) -> Terms:
        prometheus = PrometheusTerms(**{"url": self.server.url, **server})
        return terms_of(
            self.fleet.plans,
            TelemetryTerms(
                mode=TelemetryMode.PROMETHEUS,
                prometheus=prometheus,
                scrape_interval_seconds=INTERVAL_SECONDS,
                dcgm_sample_interval_seconds=INTERVAL_SECONDS,
            ),
        )

    def reader(self, collector: AnyCollector, terms: Terms) -> Reader:
        line = Line(
            self.stock.inventory,
            OneSource(collector),
            FileReferences(()),
            FileConfigMaps(()),
            self.stock.claims,
            clock=time.time,
            watch=NoStopwatch(),
        )
        return Reader(line, terms)

    def recorded(self, asker: CountedAsker, **server: Any) -> Reader:
        """A reader of what Prometheus scraped."""
        terms = self.terms(**server)
        library = Library(asker, monotonic=time.monotonic, wall=time.time)
        return self.reader(RecordedCollector(library, terms.telemetry, layouts=Layouts()), terms)

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[Reader]:
        """A reader of the pages themselves."""
        rules = AddressRules(loopback=LoopbackPolicy.SANDBOX)
        async with Fetcher(
            limits=FetchLimits(), rules=rules, wall=time.time, monotonic=time.monotonic
        ) as fetcher:
            terms = self.terms()
            telemetry = replace(terms.telemetry, mode=TelemetryMode.DIRECT)
            yield self.reader(Collector(fetcher), replace(terms, telemetry=telemetry))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader made of a pool at its last cycle."""

    economics: Economics
    verdict: Verdict


async def cycles(reader: Reader, pools: tuple[Pool, ...], seconds: float) -> Mapping[str, Seen]:
    """Cycles every pool once an interval for so long; the last outcomes by pool name."""
    ends = time.monotonic() + seconds
    seen: dict[str, Seen] = {}
    while time.monotonic() < ends:
        for pool in pools:
            subject = (await reader.cycle(pool)).subject
            assert subject.economics is not None
            seen[pool.key.name] = Seen(subject.economics, subject.verdict)
        await asyncio.sleep(INTERVAL_SECONDS / 2)
    return seen


def pool_of(plan: PoolPlan) -> Pool:
    return Pool(
        key=PoolKey(NAMESPACE, plan.name),
        uid=plan.name,
        generation=1,
        selector=LabelSelector((("app", plan.name),)),
        window_seconds=WINDOW_SECONDS,
    )


def terms_of(plans: tuple[PoolPlan, ...], telemetry: TelemetryTerms) -> Terms:
    prices = tuple(
        PriceEntry(match=HardwareMatch(gpu_product=plan.product), per_gpu_hour=Decimal(plan.per_gpu_hour))
        for plan in plans
    )
    return Terms(
        factory=Factory(name="default", prices=prices, telemetry=telemetry),
        window_seconds=WINDOW_SECONDS,
        scrape_interval_seconds=float(INTERVAL_SECONDS),
        telemetry=telemetry,
    )


def objects_of(fleet: ReplayedFleet) -> list[dict[str, Any]]:
    """Nodes and pods as the API server would show them."""
    found: list[dict[str, Any]] = []
    for node in fleet.nodes:
        found.append(node.body())
        found.append({**node.exporter(), "status": node.exporter_status()})
    for engine in fleet.engines.values():
        body = {**engine.pod.body(), "status": engine.pod.status()}
        body["metadata"] = {
            **body["metadata"],
            "uid": engine.pod.name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        found.append(body)
    return found


@pytest.fixture
def asker() -> Iterator[CountedAsker]:
    prometheus = Prometheus(NoCredentials(), wall=time.time, limits=QueryLimits())
    yield CountedAsker(prometheus)
    prometheus.close()


@pytest.fixture
def stage_of(tmp_path: Path) -> Iterator[Any]:
    """Makes a stage of some plans; its Prometheus and its pages end with the test."""
    open_stages: list[Stage] = []

    def make(*plans: PoolPlan, jobs: Any = jobs_of) -> Stage:
        site = Site().__enter__()
        fleet = ReplayedFleet(plans, network=pick_network())
        fleet.serve(site)
        server = PrometheusServer(tmp_path, jobs(fleet))
        stage = Stage(fleet, site, Stock(), server)
        open_stages.append(stage)
        server.start()
        stage.tell()
        return stage

    yield make
    for stage in open_stages:
        stage.server.__exit__()
        stage.site.__exit__()
