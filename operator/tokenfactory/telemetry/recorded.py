"""The scrape stage on what a Prometheus has scraped already (`telemetry.mode: Prometheus`).

One query brings the pages of a whole namespace, and every pool in it reads from the same answer: the number
of queries grows with what a namespace holds, never with its pools. The pages then go through the very
collector and parsers of direct scraping, with the time at which they were scraped.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from tokenfactory.model import (
    Container,
    Endpoint,
    Failure,
    FailureReason,
    Fleet,
    Pod,
    PrometheusTerms,
    Readings,
    TelemetryTerms,
)
from tokenfactory.ports import Page
from tokenfactory.telemetry.collect import Collector
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.pace import Pace, follow
from tokenfactory.telemetry.queries import ALL, SLICES, select_pages
from tokenfactory.telemetry.rebuild import Target, rebuild
from tokenfactory.telemetry.wanted import ENGINE_NAMES, EXPORTER_NAMES

T = TypeVar("T")
Answer = tuple[Target, ...] | Failure

LOOKBACK_INTERVALS = 2.5
START_STAMP_SECONDS = 1.0
MOST_PACES = 1000


class Asker(Protocol):
    """Asks a Prometheus; filled by promql.Prometheus."""

    async def ask(
        self, server: PrometheusTerms, query: str, *, timeout: float, read: Callable[[Sequence[Any]], T]
    ) -> T | Failure: ...


@dataclass(frozen=True, slots=True)
class Question:
    """Which pages: of the engines or of the exporters of one namespace, at most `seconds` old."""

    server: PrometheusTerms
    namespace: str
    names: frozenset[str]
    seconds: int

    def query(self, part: str = ALL) -> str:
        """The query, or one of its slices. Raises ValueError for what no API server calls a namespace."""
        return select_pages(
            self.names,
            namespace=self.namespace,
            namespace_label=self.server.namespace_label,
            pod_label=self.server.pod_label,
            part=part,
            seconds=self.seconds,
        )


def question_of(terms: TelemetryTerms, namespace: str, names: frozenset[str]) -> Question:
    """What is asked for these pages of a namespace. `terms` name a Prometheus."""
    assert terms.prometheus is not None
    return Question(
        terms.prometheus, namespace, names, math.ceil(LOOKBACK_INTERVALS * terms.scrape_interval_seconds)
    )


def wanted_of(fleet: Fleet) -> frozenset[tuple[str, frozenset[str]]]:
    """(namespace, names of engines' or of exporters' pages) that a fleet is read from."""
    endpoints = {engine.endpoint for replica in fleet.replicas for engine in replica.engines}
    endpoints |= {companion.endpoint for companion in fleet.companions}
    engines = {(endpoint.namespace, ENGINE_NAMES) for endpoint in endpoints if endpoint is not None}
    return frozenset(engines | {(item.endpoint.namespace, EXPORTER_NAMES) for item in fleet.exporters})


class Library:
    """Answers shared by all pools that ask the same within a short time, failures like pages."""

    def __init__(self, asker: Asker, *, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self._asker = asker
        self._monotonic = monotonic
        self._wall = wall
        self._held: dict[Question, tuple[float, float, asyncio.Task[Answer]]] = {}
        self._cuts: dict[Question, int] = {}
        self._paces: dict[Question, Pace] = {}

    async def targets(self, question: Question, *, max_age: float, timeout: float) -> Answer:
        """The targets of a namespace; an answer that was asked for `max_age` seconds ago will do."""
        now = self._monotonic()
        self._held = {key: item for key, item in self._held.items() if now < item[1] or not item[2].done()}
        held = self._held.get(question)
        if held is None or now - held[0] > max_age:
            task = asyncio.create_task(self._look_up(question, timeout=timeout))
            held = self._held[question] = now, now + max_age, task
        return await asyncio.shield(held[2])

    async def _look_up(self, question: Question, *, timeout: float) -> Answer:
        """Asks for all at once; where that is too much, in slices, and from then on always so."""
        while True:
            cut = self._cuts.get(question, 0)
            answer = await self._ask_slices(question, SLICES[cut], timeout=timeout)
            too_large = isinstance(answer, Failure) and answer.reason is FailureReason.PROMETHEUS_TOO_LARGE
            if not too_large or cut + 1 >= len(SLICES):
                return answer if isinstance(answer, Failure) else self._judge_pace(question, answer)
            self._cuts[question] = cut + 1

    def _judge_pace(self, question: Question, answer: tuple[Target, ...]) -> Answer:
        """The answer, or that its pages come and go because they are scraped less often than is said."""
        pace = follow(self._paces.pop(question, Pace()), answer)
        self._paces[question] = pace
        if len(self._paces) > MOST_PACES:
            del self._paces[next(iter(self._paces))]
        if pace.is_over(question.seconds):
            return Failure(at=self._wall(), reason=FailureReason.SELDOM_IN_PROMETHEUS)
        return answer

    async def _ask_slices(self, question: Question, slices: Iterable[str], *, timeout: float) -> Answer:
        server = question.server
        try:
            queries = [question.query(part) for part in slices]
        except ValueError:
            return Failure(
                at=self._wall(), reason=FailureReason.ADDRESS_REFUSED, detail="no namespace's name"
            )
        read = partial(rebuild, pod_label=server.pod_label)
        answers = await asyncio.gather(
            *(self._asker.ask(server, query, timeout=timeout, read=read) for query in queries)
        )
        found: list[Target] = []
        for answer in answers:
            if isinstance(answer, Failure):
                return answer
            found += answer
        return tuple(found)


class RecordedCollector:
    """Fills `cycle.Collector` for the factories that name one Prometheus in one way."""

    def __init__(self, library: Library, terms: TelemetryTerms, *, layouts: Layouts) -> None:
        self._library = library
        self._terms = terms
        self._layouts = layouts

    async def collect(self, fleet: Fleet, *, now: float, max_age: float, timeout: float) -> Readings:
        """As `Collector.collect`, from the pages that Prometheus scraped last."""
        wanted = wanted_of(fleet)
        questions = {(where, names): question_of(self._terms, where, names) for where, names in wanted}
        answers = await asyncio.gather(
            *(
                self._library.targets(question, max_age=max_age, timeout=timeout)
                for question in questions.values()
            )
        )
        shelf = _Shelf(fleet, dict(zip(questions, answers, strict=True)), now=now)
        collector = Collector(shelf, layouts=self._layouts)
        return await collector.collect(fleet, now=now, max_age=max_age, timeout=timeout)


@dataclass(frozen=True, slots=True)
class _Wish:
    """Whose page an endpoint stands for.

    `container` is empty where nothing but the address tells; `only`: of the pod's only engine. Pages from
    before `since` (Unix seconds) are another container's, or those of a pod of that name that is gone.
    """

    answer: Answer
    pod: str = ""
    container: str = ""
    only: bool = False
    since: float = 0.0
    node: str = ""


class _Shelf:
    """Fills `ports.PageSource` for one cycle: pages by endpoint, out of the answers."""

    def __init__(
        self, fleet: Fleet, answers: Mapping[tuple[str, frozenset[str]], Answer], *, now: float
    ) -> None:
        self._now = now
        self._wishes: dict[Endpoint, _Wish] = {}
        for exporter in fleet.exporters:
            endpoint = exporter.endpoint
            self._wishes[endpoint] = _Wish(
                answers[endpoint.namespace, EXPORTER_NAMES], node=exporter.node_name
            )
        for item in fleet.companions:
            if item.endpoint is not None:
                answer = answers[item.endpoint.namespace, ENGINE_NAMES]
                self._wishes[item.endpoint] = _wish(answer, item.pod, item.container)
        for replica in fleet.replicas:
            several = sum(engine.endpoint is not None for engine in replica.engines) > 1
            for engine in replica.engines:
                if engine.endpoint is not None:
                    answer = answers[engine.endpoint.namespace, ENGINE_NAMES]
                    own = _wish(answer, replica.pod, engine.container)
                    self._wishes[engine.endpoint] = replace(own, only=not several)
                    if engine.side is not None:
                        self._wishes[engine.side] = replace(own, container="")

    async def page(self, endpoint: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
        wish = self._wishes.get(endpoint)
        if wish is None:
            return self._fail(FailureReason.NOT_IN_PROMETHEUS)
        if isinstance(wish.answer, Failure):
            return wish.answer
        target = choose(wish.answer, endpoint, wish)
        if target is None:
            return self._fail(FailureReason.NOT_IN_PROMETHEUS)
        if target.page is None:
            if target.up:
                return self._fail(_NOTHING_OF[bool(wish.node)])
            return self._fail(FailureReason.DOWN_IN_PROMETHEUS)
        return Page(target.page, target.at)

    def _fail(self, reason: FailureReason) -> Failure:
        return Failure(at=self._now, reason=reason)


_NOTHING_OF = (FailureReason.NO_ENGINE_METRICS, FailureReason.NO_GPU_METRICS)


def _wish(answer: Answer, pod: Pod, container: Container) -> _Wish:
    """The container's page. Kubernetes cuts the times of a start and of a creation to whole seconds."""
    began = max(container.started_at or 0.0, pod.created_at)
    return _Wish(answer, pod.name, container.name, since=began + START_STAMP_SECONDS if began else 0.0)


def choose(targets: Iterable[Target], endpoint: Endpoint, wish: _Wish) -> Target | None:
    """The target that stands for this endpoint.

    The address says it best; where `instance` holds something else, the container does, and for a pod's only
    engine its fullest page. An exporter that is not known by address is known by the name of its node.
    """
    host = f"[{endpoint.ip}]" if ":" in endpoint.ip else endpoint.ip
    if wish.node:
        own = [target for target in targets if target.instance == f"{host}:{endpoint.port}"]
        found = own or [target for target in targets if wish.node in target.hosts]
    else:
        of_pod = [target for target in targets if target.pod == wish.pod and target.at >= wish.since]
        found = [target for target in of_pod if target.instance == f"{host}:{endpoint.port}"]
        if not found and wish.container:
            found = [target for target in of_pod if target.container == wish.container]
        if not found and wish.only:
            found = of_pod
    return max(found, key=lambda target: (target.samples, target.at), default=None)
