"""The line on files: every frame a cycle, memory carried from one to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenfactory.cycle import Case, Line, Memory, Order, explain_case, keep_case
from tokenfactory.discovery.factory import read_factory
from tokenfactory.discovery.resource import read_pool
from tokenfactory.discovery.terms import resolve
from tokenfactory.errors import UnreadableInput
from tokenfactory.model import Factory, Pool, PoolKey, Resource, Terms
from tokenfactory.publishing.samples import samples
from tokenfactory.publishing.status import Subject, render
from tokenfactory.runtime.files import (
    FRAME_OBJECTS,
    FileClock,
    FileConfigMaps,
    FilePages,
    FileReferences,
    Frame,
    NoStopwatch,
    Stock,
    read_frames,
    read_objects,
)
from tokenfactory.runtime.sources import OneSource
from tokenfactory.telemetry.collect import Collector


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One pool at one frame: its status document and its unrounded figures."""

    at: float
    key: PoolKey
    subject: Subject
    status: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """As JSON: `t`, the pool, the status, and every figure as `/metrics` would show it, unrounded."""
        return {
            "t": self.at,
            "namespace": self.key.namespace,
            "name": self.key.name,
            "status": dict(self.status),
            "figures": [
                {"name": f"tokenfactory_pool_{name}", "labels": list(labels), "value": value}
                for name, labels, value in samples(self.subject)
            ],
        }

    def line(self) -> dict[str, Any]:
        """As a replayed movie prints it: the time, the status, and its findings."""
        return {"t": self.at, "status": dict(self.status), "findings": self.status.get("findings", [])}


class Replay:
    """Pools, objects and frames, run through the same line as the operator's.

    `interval` is the time between two frames where it is not the TokenFactory's scrape interval. Building
    one raises InvalidSpec for a bad TokenFactory.
    """

    def __init__(
        self,
        resources: Iterable[Mapping[str, Any]],
        objects: Iterable[Mapping[str, Any]],
        *,
        interval: float | None = None,
    ) -> None:
        self._interval = interval
        given = tuple(objects)
        bodies = tuple(resources)
        self._factories: dict[str, Factory] = {}
        for body in bodies:
            if body.get("kind") == "TokenFactory":
                factory = read_factory(body)
                self._factories[factory.name] = factory
        self._pools: tuple[Resource, ...] = tuple(
            read_pool(body) for body in bodies if body.get("kind") == "InferencePool" and _ours(body)
        )
        self._clock = FileClock()
        self._pages = FilePages(self._clock)
        self._stock = Stock()
        self._fill(given)
        self._line = Line(
            self._stock.inventory,
            OneSource(Collector(self._pages)),
            FileReferences((*given, *bodies)),
            FileConfigMaps((*given, *bodies)),
            self._stock.claims,
            clock=self._clock,
            watch=NoStopwatch(),
        )
        self._memories: dict[PoolKey, Memory] = {}
        self._cases: dict[PoolKey, Case | None] = {}

    def run(self, frames: Iterable[Frame]) -> tuple[Result, ...]:
        """Results of every frame in order, pools by name.

        A frame's own objects hold from that frame on. Raises UnreadableInput naming the file.
        """
        return asyncio.run(self._run(frames))

    def explain(self) -> dict[PoolKey, dict[str, Any]]:
        """Every pool's last cycle explained; those without numbers are left out."""
        return {
            key: {**explain_case(case), "pages": {"from": "Files"}}
            for key, case in self._cases.items()
            if case is not None
        }

    async def _run(self, frames: Iterable[Frame]) -> tuple[Result, ...]:
        results: list[Result] = []
        for frame in frames:
            self._clock.now = frame.at
            self._pages.frame = frame
            if isinstance(frame.objects, Path):
                self._fill(read_objects([frame.objects]))
            elif frame.objects is not None:
                self._fill(frame.objects)
            results += [
                await self._cycle(resource, frame.at)
                for resource in sorted(self._pools, key=lambda pool: pool.key)
            ]
        return tuple(results)

    def _fill(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Puts pods and nodes in place of those before."""
        pods = self._stock.fill(objects)
        selectors = tuple(
            selector
            for factory in (*self._factories.values(), Factory())
            for selector in factory.telemetry.dcgm_selectors
        )
        self._pages.know(pods, self._stock.inventory.exporters(selectors))

    async def _cycle(self, resource: Resource, at: float) -> Result:
        terms = resolve(resource, self._factories) if isinstance(resource, Pool) else Terms(factory=Factory())
        if self._interval is not None:
            terms = replace(terms, scrape_interval_seconds=self._interval)
        order = Order(resource=resource, terms=terms, neighbours=self._neighbours(resource))
        outcome = await self._line.run(order, self._memories.get(resource.key, Memory()))
        self._memories[resource.key] = outcome.memory
        self._cases[resource.key] = keep_case(order, outcome)
        return Result(at=at, key=resource.key, subject=outcome.subject, status=render(outcome.subject, None))

    def _neighbours(self, resource: Resource) -> tuple[Any, ...]:
        return tuple(
            (pool.key.name, pool.selector)
            for pool in self._pools
            if isinstance(pool, Pool)
            and pool.selector is not None
            and pool.key.namespace == resource.key.namespace
            and pool.key != resource.key
        )


def _ours(body: Mapping[str, Any]) -> bool:
    return str(body.get("apiVersion", "")).startswith("tokenfactory.dev/")


def open_files(
    resources: Sequence[Path], objects: Sequence[Path], metrics: Path | None
) -> tuple[Replay, tuple[Frame, ...]]:
    """A replay and its frames, from files. `objects` may be empty where the first frame has its own.

    Raises UnreadableInput naming what is missing or can't be read, and InvalidSpec.
    """
    if not resources or metrics is None:
        raise UnreadableInput("from files: give -f, --objects and --metrics")
    frames = read_frames(metrics)
    if not objects and frames[0].objects is None:
        raise UnreadableInput(f"give --objects, or put an {FRAME_OBJECTS} into the first frame")
    return Replay(read_objects(resources), read_objects(objects)), frames
