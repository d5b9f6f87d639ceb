"""The line, top to bottom: discover, inspect, scrape, cost, judge, and hand over what is to be published.

Memory goes in and comes out; nothing else is kept. The same line runs in the operator and on files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from tokenfactory.costing.assess import Situation, assess
from tokenfactory.costing.itemize import itemize
from tokenfactory.costing.ledger import Ledger
from tokenfactory.costing.prices import quote_fleet
from tokenfactory.discovery.claims import claims_of
from tokenfactory.discovery.configmaps import config_maps_of
from tokenfactory.discovery.endpoints import locate
from tokenfactory.discovery.engines import access_to
from tokenfactory.discovery.fleet import find, withhold
from tokenfactory.inspection.fleet import inspect
from tokenfactory.judgement.judge import (
    Evidence,
    JudgeMemory,
    judge,
    judge_internal_error,
    judge_invalid,
    judge_stalled,
    judge_suspended,
    pause,
)
from tokenfactory.model import (
    Economics,
    Fleet,
    FleetProblem,
    FleetReason,
    Inspected,
    InvalidPool,
    LabelSelector,
    NodePrices,
    Pool,
    PriceSource,
    PrometheusTerms,
    Readings,
    Resource,
    TelemetryMode,
    TelemetryTerms,
    Terms,
    Verdict,
)
from tokenfactory.ports import ClaimReader, ConfigMapReader, Inventory, PoolReferences, ReferencedPool
from tokenfactory.publishing.explanation import Explained, Recording, explain
from tokenfactory.publishing.status import Subject
from tokenfactory.telemetry.recorded import question_of, wanted_of
from tokenfactory.telemetry.wanted import PAGES_OF


class Collector(Protocol):
    """The scrape stage: every engine and exporter page of a fleet, as values."""

    async def collect(self, fleet: Fleet, *, now: float, max_age: float, timeout: float) -> Readings: ...


class Sources(Protocol):
    """What reads pages, and OpenCost's prices, in the way that a factory asks for."""

    def collector(self, telemetry: TelemetryTerms) -> Collector: ...

    async def node_prices(self, server: PrometheusTerms) -> NodePrices | None:
        """OpenCost's prices, read through this server; None where it is never asked."""
        ...


class Stopwatch(Protocol):
    """Measures how long each stage takes."""

    def stage(self, name: str) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one cycle leaves for the next: open segments, the learned baseline, the last verdict."""

    ledger: Ledger | None = None
    judge: JudgeMemory | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One pool to be cycled. `neighbours` are the other pools of its namespace and their selectors.

    `withheld` says why nothing of this pool is scraped (a limit of the installation); empty: it is.
    """

    resource: Resource
    terms: Terms
    neighbours: Sequence[tuple[str, LabelSelector]] = ()
    withheld: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a cycle found: the subject to publish, and the memory for the next cycle."""

    subject: Subject
    memory: Memory


class Line:
    """Runs cycles against the ports that it was built with."""

    def __init__(
        self,
        inventory: Inventory,
        sources: Sources,
        references: PoolReferences,
        configs: ConfigMapReader,
        claims: ClaimReader,
        *,
        clock: Callable[[], float],
        watch: Stopwatch,
    ) -> None:
        self._inventory = inventory
        self._sources = sources
        self._references = references
        self._configs = configs
        self._claims = claims
        self._clock = clock
        self._watch = watch

    async def run(self, order: Order, memory: Memory) -> Outcome:
        """One cycle of one pool. Raises Unavailable when the API server can't be asked for what it needs."""
        pool = order.resource
        if isinstance(pool, InvalidPool):
            return self._pause(order, judge_invalid(pool), memory)
        order = replace(order, terms=await self._price(order.terms))
        referenced = await self._refer(pool)
        if isinstance(referenced, FleetProblem):
            quote = quote_fleet(pool, order.terms, Fleet())
            return self._pause(order, judge_stalled(pool, referenced, quote), memory)
        fleet = await self._discover(order, pool, referenced)
        if pool.suspend:
            quote = quote_fleet(pool, order.terms, fleet)
            return self._pause(order, judge_suspended(pool, order.terms, quote), memory)
        with self._watch.stage("inspect"):
            inspected = inspect(fleet)
            if not order.withheld:
                fleet, inspected = locate(fleet, inspected, access_to(pool, order.terms, referenced))
        with self._watch.stage("scrape"):
            readings = await self._scrape(fleet, order.terms)
        return self._conclude(order, pool, memory, (fleet, inspected, readings))

    def _conclude(
        self,
        order: Order,
        pool: Pool,
        memory: Memory,
        seen: tuple[Fleet, tuple[Inspected, ...], Readings],
    ) -> Outcome:
        fleet, inspected, readings = seen
        now = self._clock()
        with self._watch.stage("cost"):
            ledger, economics = assess(
                Situation(
                    pool=pool, terms=order.terms, fleet=fleet, inspected=inspected, readings=readings, now=now
                ),
                memory.ledger,
            )
        with self._watch.stage("judge"):
            judged, verdict = judge(
                Evidence(
                    pool=pool,
                    terms=order.terms,
                    fleet=fleet,
                    inspected=inspected,
                    economics=economics,
                    now=now,
                ),
                memory.judge,
            )
        outcome = self._close(order, verdict, fleet=fleet, inspected=inspected, economics=economics)
        return replace(outcome, memory=Memory(ledger=ledger, judge=judged, verdict=verdict))

    async def _discover(self, order: Order, pool: Pool, referenced: ReferencedPool | None) -> Fleet:
        """The fleet; where its pods use ConfigMaps or ResourceClaims, once more with what these say."""
        look = partial(
            find, pool, order.terms, self._inventory, referenced=referenced, neighbours=order.neighbours
        )
        with self._watch.stage("discover"):
            fleet = look()
        names = () if pool.suspend or order.withheld else config_maps_of(fleet)
        wanted = {} if pool.suspend else claims_of(fleet)
        if names or wanted:
            read = {name: await self._configs.read(pool.key.namespace, name) for name in names}
            claims = await self._claims.read(pool.key.namespace, wanted) if wanted else {}
            with self._watch.stage("discover"):
                fleet = look(
                    configs={name: item for name, item in read.items() if item is not None}, claims=claims
                )
        return withhold(fleet, order.withheld) if order.withheld else fleet

    async def _price(self, terms: Terms) -> Terms:
        """The terms with OpenCost's prices, where the factory asks it."""
        factory = terms.factory
        if factory is None or PriceSource.OPENCOST not in factory.price_order:
            return terms
        server = factory.telemetry.prometheus
        if server is None:
            return terms
        return replace(terms, node_prices=await self._sources.node_prices(server))

    def _pause(self, order: Order, verdict: Verdict, memory: Memory) -> Outcome:
        """A cycle that looks at no engine: what the judge learned is kept for when it looks again."""
        outcome = self._close(order, verdict)
        return replace(outcome, memory=replace(outcome.memory, judge=pause(memory.judge)))

    async def _refer(self, pool: Pool) -> ReferencedPool | FleetProblem | None:
        if pool.pool_ref is None:
            return None
        found = await self._references.find(pool.key.namespace, pool.pool_ref)
        if isinstance(found, FleetReason):
            return FleetProblem(found, pool.pool_ref)
        return found

    async def _scrape(self, fleet: Fleet, terms: Terms) -> Readings:
        interval = terms.scrape_interval_seconds
        return await self._sources.collector(terms.telemetry).collect(
            fleet, now=self._clock(), max_age=interval / 2, timeout=min(5.0, interval / 2)
        )

    def _close(
        self,
        order: Order,
        verdict: Verdict,
        *,
        fleet: Fleet | None = None,
        inspected: tuple[Inspected, ...] = (),
        economics: Economics | None = None,
    ) -> Outcome:
        resource = order.resource
        subject = Subject(
            generation=resource.generation,
            pool=resource if isinstance(resource, Pool) else None,
            fleet=fleet,
            inspected=inspected,
            economics=economics,
            verdict=verdict,
            now=self._clock(),
        )
        return Outcome(subject=subject, memory=Memory(verdict=verdict))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is kept of a cycle so that it can be explained: nothing of it is copied.

    `recorded` is what was read from a Prometheus: namespaces, and the names asked for there.
    """

    pool: Pool
    terms: Terms
    economics: Economics
    verdict: Verdict
    ledger: Ledger
    names: Mapping[str, str]
    recorded: frozenset[tuple[str, frozenset[str]]] = frozenset()


def keep_case(order: Order, outcome: Outcome) -> Case | None:
    """The case of a cycle that was costed; None of any other (suspended, invalid, failed)."""
    subject, ledger = outcome.subject, outcome.memory.ledger
    if subject.pool is None or subject.fleet is None or subject.economics is None or ledger is None:
        return None
    return Case(
        pool=subject.pool,
        terms=order.terms,
        economics=subject.economics,
        verdict=subject.verdict,
        ledger=ledger,
        names={replica.pod.uid: replica.pod.name for replica in subject.fleet.replicas},
        recorded=wanted_of(subject.fleet) if _is_recorded(order.terms) else frozenset(),
    )


def explain_case(case: Case) -> dict[str, Any]:
    """Every published number of the case with its inputs, pod by pod, unrounded."""
    return explain(
        Explained(
            key=case.pool.key,
            economics=case.economics,
            verdict=case.verdict,
            account=itemize(case.pool, case.terms, case.ledger, case.economics),
            names=case.names,
            recording=_describe_recording(case),
        )
    )


def _is_recorded(terms: Terms) -> bool:
    return terms.telemetry.mode is TelemetryMode.PROMETHEUS


def _describe_recording(case: Case) -> Recording | None:
    """The Prometheus that the pages came from, and what it was asked; None: the pods themselves."""
    terms = case.terms.telemetry
    if terms.prometheus is None or not _is_recorded(case.terms):
        return None
    asked = sorted(
        (PAGES_OF[names], where, question_of(terms, where, names)) for where, names in case.recorded
    )
    return Recording(
        url=terms.prometheus.url,
        tenant=terms.prometheus.tenant,
        queries=tuple((of, where, question.query()) for of, where, question in asked),
    )


def close_with_bug(order: Order, *, now: float) -> Outcome:
    """The outcome of a cycle that raised: Unknown/InternalError, memory dropped, no other pool notices."""
    verdict = judge_internal_error(order.resource)
    pool = order.resource if isinstance(order.resource, Pool) else None
    subject = Subject(
        generation=order.resource.generation,
        pool=pool,
        fleet=None,
        inspected=(),
        economics=None,
        verdict=verdict,
        now=now,
    )
    return Outcome(subject=subject, memory=Memory(verdict=verdict))
