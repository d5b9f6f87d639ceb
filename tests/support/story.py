"""A fleet whose pods restart, load, vanish and come back, and what is true of it over any span of time.

Nothing of the operator's code is used: rates, watts and moments are the story's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.exporter_page import Board, render_exporter_page
from tokenfactory.sandbox.objects import GpuNode, ServingPod
from tokenfactory.sandbox.workload import Odometer, Workload

FOREVER = math.inf
SERVING_WATTS = 525.0
IDLE_WATTS = 236.0
LONG_AGO = 86400.0


@dataclass(slots=True)
class Run:
    """One run of a container: it loads from `started`, serves from `ready`, and is gone at `ended`."""

    started: float
    ready: float = FOREVER
    ended: float = FOREVER


@dataclass(slots=True)
class Life:
    """One pod, while it holds its GPUs: until it is deleted. `scrapes`: when its page was read."""

    name: str
    node: str
    ip: str
    workload: Workload
    created: float
    runs: list[Run]
    deleted: float = FOREVER
    uid: str = ""
    scrapes: list[float] = field(default_factory=list)

    def run_at(self, now: float) -> Run | None:
        """The last run that began by `now`."""
        return next((run for run in reversed(self.runs) if run.started <= now), None)

    def serves(self, now: float) -> bool:
        run = self.run_at(now)
        return now < self.deleted and run is not None and run.ready <= now < run.ended

    def exists(self, now: float) -> bool:
        return self.created <= now < self.deleted

    def page(self, now: float) -> str:
        """The engine's page at `now`; only while it serves."""
        run = self.run_at(now)
        assert run is not None
        return render_engine_page(Odometer(self.workload, started_at=run.ready), now=now)

    def pod(self, now: float, *, namespace: str, labels: dict[str, str], gpus: int) -> ServingPod:
        """The pod as its kubelet reports it at `now`."""
        run = self.run_at(now)
        begun = sum(run.started <= now for run in self.runs)
        return ServingPod(
            name=self.name,
            namespace=namespace,
            node=self.node,
            ip=self.ip,
            gpus=gpus,
            labels=labels,
            args=("--model", self.workload.model),
            ready=self.serves(now),
            restarts=max(0, begun - 1),
            started_at=run.started if run is not None else now,
        )

    def tokens(self, start: float, end: float) -> float:
        """Tokens made in the span and seen: what follows a run's last good scrape is unobservable (§1)."""
        total = 0.0
        for run in self.runs:
            gone = min(run.ended, self.deleted)
            seen = max((at for at in self.scrapes if run.ready <= at < gone), default=-FOREVER)
            until = min(end, seen if gone < FOREVER else end)
            total += self.workload.total * max(0.0, until - max(start, run.ready))
        return total

    def held(self, start: float, end: float, *, cycles: Iterable[float]) -> tuple[float, float]:
        """When in the span it is known to hold its GPUs; a deleted one until the last cycle before."""
        last = max((at for at in cycles if at < self.deleted), default=-FOREVER)
        begin = max(start, self.created)
        return begin, max(begin, min(end, last if self.deleted < FOREVER else end))


@dataclass(frozen=True, slots=True)
class Figures:
    """What is true of the pool over a span."""

    dollars_per_million: float
    tokens_per_second_per_gpu: float
    dollars_per_hour: float
    watts: float


@dataclass(slots=True)
class Story:
    """Pods of one pool, each alone on its node with `gpus` GPUs. `cycles`: when the pool was looked at."""

    gpus: int
    per_gpu_hour: float
    began: float
    lives: list[Life] = field(default_factory=list)
    cycles: list[float] = field(default_factory=list)

    def watts(self, node: str, now: float) -> float:
        """Each board of the node: full power while a pod serves there."""
        busy = any(life.node == node and life.serves(now) for life in self.lives)
        return SERVING_WATTS if busy else IDLE_WATTS

    def joules(self, node: str, start: float, end: float) -> float:
        """Energy of one board of the node over the span."""
        moments = sorted({start, end, *(at for at in self._turns(node) if start < at < end)})
        return sum(self.watts(node, (left + right) / 2) * (right - left) for left, right in pairwise(moments))

    def exporter_page(self, node: GpuNode, *, namespace: str, now: float) -> str:
        """The dcgm page of the node: energy since the driver was loaded, a day before the story."""
        holder = next((life for life in self.lives if life.node == node.name and life.exists(now)), None)
        elapsed = LONG_AGO + now - self.began
        joules = IDLE_WATTS * LONG_AGO + self.joules(node.name, self.began, now)
        boards = tuple(
            Board(
                node=node.name,
                index=index,
                product=node.product,
                pod=holder.name if holder else "",
                namespace=namespace if holder else "",
                container="vllm" if holder else "",
                watts=joules / elapsed,
            )
            for index in range(node.gpus)
        )
        return render_exporter_page(boards, elapsed=elapsed)

    def truth(self, start: float, end: float) -> Figures:
        """$/Mtok, tokens/s/GPU, $/h and W from rates, prices and moments alone."""
        tokens = sum(life.tokens(start, end) for life in self.lives)
        held = [(life, *life.held(start, end, cycles=self.cycles)) for life in self.lives]
        gpu_seconds = sum(until - since for _, since, until in held) * self.gpus
        joules = sum(self.joules(life.node, since, until) for life, since, until in held) * self.gpus
        dollars = gpu_seconds / 3600 * self.per_gpu_hour
        return Figures(
            dollars_per_million=dollars / (tokens / 1e6),
            tokens_per_second_per_gpu=tokens / gpu_seconds,
            dollars_per_hour=sum(life.exists(end) for life in self.lives) * self.gpus * self.per_gpu_hour,
            watts=joules / (end - start),
        )

    def _turns(self, node: str) -> Iterator[float]:
        for life in self.lives:
            if life.node == node:
                yield life.deleted
                for run in life.runs:
                    yield from (run.ready, run.ended)


def off_by(seen: float, true: float) -> float:
    """The relative error."""
    return abs(seen - true) / true


def figures_of(document: Mapping[str, Any]) -> Figures:
    """The unrounded figures of one document of `once`."""

    def value(name: str, *labels: str) -> float:
        rows = [row for row in document["figures"] if row["name"] == f"tokenfactory_pool_{name}"]
        return next(float(row["value"]) for row in rows if row["labels"][: len(labels)] == list(labels))

    return Figures(
        dollars_per_million=value("cost_per_million_tokens", "total"),
        tokens_per_second_per_gpu=value("tokens_per_second_per_gpu"),
        dollars_per_hour=value("cost_per_hour"),
        watts=value("power_watts", "measured"),
    )
