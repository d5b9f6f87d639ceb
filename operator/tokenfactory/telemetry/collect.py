"""All pages of a fleet, fetched side by side and read one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from tokenfactory.model import (
    Companion,
    Endpoint,
    EngineId,
    EngineReading,
    Exporter,
    ExporterReading,
    Failure,
    Fleet,
    Readings,
    id_of,
    id_of_companion,
)
from tokenfactory.ports import Page, PageSource
from tokenfactory.telemetry import dcgm, kvbm
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.limits import FetchLimits
from tokenfactory.telemetry.slots import Slots
from tokenfactory.telemetry.systems import EngineParser, parser_beside, parser_of

Reading = EngineReading | ExporterReading
Parser = Callable[[Page], Reading | Failure]


class Collector:
    """Scrapes for every pool. It keeps nothing but what shapes of pages have in common (`Layouts`)."""

    __slots__ = ("_hands", "_layouts", "_source", "_turn")

    def __init__(
        self, source: PageSource, *, layouts: Layouts | None = None, limits: FetchLimits | None = None
    ) -> None:
        self._source = source
        self._layouts = layouts or Layouts()
        self._hands = Slots(limits or FetchLimits())
        self._turn = asyncio.Lock()

    async def collect(self, fleet: Fleet, *, now: float, max_age: float, timeout: float) -> Readings:
        """One reading or failure for each engine and companion with an endpoint, and each node's exporter.

        `now` is the cycle's Unix time, `max_age` (seconds) is how old a page may be that other pools read,
        too (an exporter's, and an engine's whose pod they share), `timeout` (seconds) bounds each fetch. An
        endpoint that several engines claim is fetched once and counts for the first of them; the others get
        no entry. Pages are read one at a time over all pools, and the event loop turns between two of them.
        No more pages are asked for than may be in flight until those that came have been read: a busy moment
        of the machine would otherwise pile up the pages of the whole fleet.
        """
        engines, exporters = dict(_find_engines(fleet)), tuple(dict.fromkeys(fleet.exporters))
        ages = {endpoint: max_age if item.shared else 0.0 for endpoint, item in engines.items()}
        parsers: dict[Endpoint, Parser] = {
            endpoint: _engine_parser(item.parser, self._layouts) for endpoint, item in engines.items()
        }
        for item in engines.values():
            if item.side is not None:
                parsers.setdefault(item.side, _engine_parser(kvbm.parse, self._layouts))
                ages[item.side] = max_age if item.shared else 0.0
        companions = dict(_find_companions(fleet, taken=parsers))
        for endpoint, companion in companions.items():
            parsers[endpoint] = _engine_parser(parser_beside(companion.kind), self._layouts)
        for exporter in exporters:
            parsers.setdefault(exporter.endpoint, _exporter_parser(exporter.node_name))
        async with asyncio.TaskGroup() as group:
            tasks = {
                endpoint: group.create_task(
                    self._read(endpoint, parser, max_age=ages.get(endpoint, max_age), timeout=timeout)
                )
                for endpoint, parser in parsers.items()
            }
        results = {endpoint: task.result() for endpoint, task in tasks.items()}
        return Readings(
            at=now,
            engines=dict(_pick_engines(engines, results, self._layouts)),
            exporters=_merge_exporters(exporters, results),
            companions=dict(_pick_companions(companions, results)),
        )

    async def _read(
        self, endpoint: Endpoint, parser: Parser, *, max_age: float, timeout: float
    ) -> Reading | Failure:
        async with self._hands.take(endpoint.namespace):
            page = await self._source.page(endpoint, max_age=max_age, timeout=timeout)
            if isinstance(page, Failure):
                return page
            async with self._turn:
                await asyncio.sleep(0)
                return parser(page)


@dataclass(frozen=True, slots=True)
class _Reader:
    """The engine that a page counts for, and how it is read; `shared`: another pool reads it, too.

    `side` is the engine's second page.
    """

    id: EngineId
    parser: EngineParser
    shared: bool
    side: Endpoint | None


def _find_engines(fleet: Fleet) -> Iterator[tuple[Endpoint, _Reader]]:
    claimed: set[Endpoint] = set()
    for replica in fleet.replicas:
        for engine in replica.engines:
            parser, endpoint = parser_of(engine.kind, engine.wrapper), engine.endpoint
            if parser is not None and endpoint is not None and endpoint not in claimed:
                claimed.add(endpoint)
                side = None if engine.side in claimed else engine.side
                claimed.update({side} if side else ())
                engine_id = id_of(replica.pod, engine)
                yield endpoint, _Reader(engine_id, parser, bool(replica.shared_with), side)


def _find_companions(
    fleet: Fleet, *, taken: Mapping[Endpoint, Parser]
) -> Iterator[tuple[Endpoint, Companion]]:
    """Companions by endpoint; an engine that claims the same one goes first."""
    for companion in fleet.companions:
        if companion.endpoint is not None and companion.endpoint not in taken:
            yield companion.endpoint, companion


def _pick_companions(
    companions: Mapping[Endpoint, Companion], results: Mapping[Endpoint, Reading | Failure]
) -> Iterator[tuple[EngineId, EngineReading | Failure]]:
    for endpoint, companion in companions.items():
        result = results[endpoint]
        if not isinstance(result, ExporterReading):
            yield id_of_companion(companion), result


def _engine_parser(parser: EngineParser, layouts: Layouts) -> Parser:
    return lambda page: parser(page.body, at=page.at, layouts=layouts)


def _exporter_parser(node_name: str) -> Parser:
    return lambda page: dcgm.parse(page.body, at=page.at, node_name=node_name)


def _pick_engines(
    engines: Mapping[Endpoint, _Reader], results: Mapping[Endpoint, Reading | Failure], layouts: Layouts
) -> Iterator[tuple[EngineId, EngineReading | Failure]]:
    for endpoint, reader in engines.items():
        result = results[endpoint]
        beside = results[reader.side] if reader.side is not None else None
        if isinstance(result, EngineReading) and isinstance(beside, EngineReading):
            yield reader.id, _put_together(result, beside, layouts)
        elif not isinstance(result, ExporterReading):
            yield reader.id, result


def _put_together(main: EngineReading, side: EngineReading, layouts: Layouts) -> EngineReading:
    """The engine's reading with the counters of its second page; of a signal on both, the second one's.

    A second page that failed is left out: the engine's own tokens are not lost with it, and its counters are
    taken up again where they were.
    """
    pairs = zip(main.layout, main.counters, strict=True)
    own = [(key, value) for key, value in pairs if key.signal not in side.families]
    return replace(
        main,
        layout=layouts.layout((*(key for key, _ in own), *side.layout)),
        counters=(*(value for _, value in own), *side.counters),
        families=main.families | side.families,
    )


def _merge_exporters(
    exporters: tuple[Exporter, ...], results: Mapping[Endpoint, Reading | Failure]
) -> dict[str, ExporterReading | Failure]:
    """One entry per node: the first exporter's page, with the GPUs that only later ones show.

    The order is the fleet's, so that the same exporter speaks for a GPU in every cycle.
    """
    merged: dict[str, ExporterReading | Failure] = {}
    for exporter in exporters:
        result = results[exporter.endpoint]
        if isinstance(result, EngineReading):
            continue
        before = merged.get(exporter.node_name)
        if before is None or isinstance(before, Failure):
            merged[exporter.node_name] = before if before and isinstance(result, Failure) else result
        elif isinstance(result, ExporterReading):
            merged[exporter.node_name] = _merge(before, result)
    return merged


def _merge(first: ExporterReading, second: ExporterReading) -> ExporterReading:
    known = {gpu.uuid for gpu in first.gpus}
    more = tuple(gpu for gpu in second.gpus if gpu.uuid not in known)
    return ExporterReading(at=first.at, node_name=first.node_name, gpus=first.gpus + more) if more else first
