"""A mixed fleet on files, and what is true of each of its pools over any span of time.

Truth comes from the rates, prices and moments written here. Pages are those of real servers, with counters
that advance at these rates; nothing of the operator's code makes or reads them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.story import Figures, Life
from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.objects import GpuNode, render_time
from tokenfactory.sandbox.workload import Odometer, Workload

CAPTURES = Path(__file__).parents[1] / "golden" / "captures" / "engines"
HICACHE = CAPTURES / "sglang" / "0.5.23-hicache-effective"
PAIR = CAPTURES / "dynamo" / "pd"
NAMESPACE = "serving"
LONG_AGO = 86400.0

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$")


@dataclass(slots=True, kw_only=True)
class Server(Life):
    """One pod that serves. `tells` is its page after so many seconds of serving, from zero.

    `counted`: its tokens are delivered ones; a prefill worker's are repeated by its decode worker.
    """

    pool: str
    gpus: float
    price: float
    watts: float
    limits: Mapping[str, str]
    container: Mapping[str, Any]
    tells: Callable[[float], str]
    labels: Mapping[str, str] = field(default_factory=dict)
    port: int = 8000
    counted: bool = True
    instance: str = ""

    def page(self, now: float) -> str:
        run = self.run_at(now)
        assert run is not None
        return self.tells(now - run.ready)

    def tokens(self, start: float, end: float) -> float:
        # Without super(): a slotted dataclass is another class than the one whose body it was written in.
        return Life.tokens(self, start, end) if self.counted else 0.0

    def body(self, now: float) -> dict[str, Any]:
        """The pod as the API server shows it at `now`."""
        run, truth = self.run_at(now), "True" if self.serves(now) else "False"
        status = {
            "name": "server",
            "image": self.container["image"],
            "imageID": self.container["image"],
            "ready": self.serves(now),
            "restartCount": max(0, sum(item.started <= now for item in self.runs) - 1),
            "state": {"running": {"startedAt": render_time(run.started)}} if run else {},
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name,
                "namespace": NAMESPACE,
                "uid": self.uid or self.name,
                "labels": {"app": self.pool, **self.labels},
                "creationTimestamp": render_time(self.created),
            },
            "spec": {
                "nodeName": self.node,
                "containers": [
                    {"name": "server", "resources": {"limits": dict(self.limits)}, **self.container}
                ],
            },
            "status": {
                "phase": "Running",
                "podIP": self.ip,
                "conditions": [{"type": "Ready", "status": truth}],
                "containerStatuses": [status],
            },
        }


def truth(servers: Iterable[Server], start: float, end: float, *, cycles: Iterable[float]) -> Figures:
    """$/Mtok, tokens/s/GPU, $/h and W of one pool, from rates, prices and moments alone."""
    moments = tuple(cycles)
    tokens = gpu_seconds = dollars = joules = per_hour = 0.0
    for server in servers:
        since, until = server.held(start, end, cycles=moments)
        held = (until - since) * server.gpus
        tokens += server.tokens(start, end)
        gpu_seconds += held
        dollars += held / 3600 * server.price
        joules += held * server.watts
        per_hour += server.gpus * server.price if server.exists(end) else 0.0
    return Figures(
        dollars_per_million=dollars / (tokens / 1e6),
        tokens_per_second_per_gpu=tokens / gpu_seconds,
        dollars_per_hour=per_hour,
        watts=joules / (end - start),
    )


def vllm_page(workload: Workload) -> Callable[[float], str]:
    """The page of a real vLLM 0.32.0."""
    return lambda elapsed: render_engine_page(Odometer(workload, started_at=0.0), now=elapsed)


def dynamo_page(workload: Workload, component: str) -> Callable[[float], str]:
    """A Dynamo worker's: vLLM's families beside those of a real one of that component."""
    captured = (PAIR / component / "t60.prom").read_text().splitlines()
    own = [line for line in captured if "dynamo_" in line]
    page = vllm_page(workload)
    return lambda elapsed: page(elapsed) + "\n".join(own) + "\n"


def sglang_page(elapsed: float) -> str:
    """SGLang 0.5.23 with HiCache: every counter of the capture at the capture's own pace, from zero."""
    return "\n".join(text if rate is None else f"{text} {rate * elapsed!r}" for text, rate in _paced(HICACHE))


@cache
def _paced(folder: Path) -> tuple[tuple[str, float | None], ...]:
    """(line, None), or (sample without its value, what it gains in a second), of two pages 60 s apart."""
    first = {m[1] + (m[2] or ""): float(m[3]) for m in _samples(folder / "t0.prom")}
    kinds: dict[str, str] = {}
    lines: list[tuple[str, float | None]] = []
    for line in (folder / "t60.prom").read_text().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            kinds[name] = kind
        match = _SAMPLE.match(line)
        family = re.sub(r"_(bucket|sum|count)$", "", match[1]) if match else ""
        if match and (kinds.get(match[1]) == "counter" or kinds.get(family) == "histogram"):
            key = match[1] + (match[2] or "")
            lines.append((key, (float(match[3]) - first.get(key, 0.0)) / 60.0))
        else:
            lines.append((line, None))
    return (*lines, ("", None))


def _samples(path: Path) -> Iterable[re.Match[str]]:
    return filter(None, map(_SAMPLE.match, path.read_text().splitlines()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One GPU on an exporter's page, or a MIG instance of one, and who holds it."""

    node: GpuNode
    index: int
    watts: float
    pod: str = ""
    instance: str = ""
    namespace: str = NAMESPACE

    def labels(self) -> str:
        mig = f',GPU_I_PROFILE="1g.18gb",GPU_I_ID="{self.instance}"' if self.instance else ""
        holder = f',container="server",namespace="{self.namespace}",pod="{self.pod}"' if self.pod else ""
        return (
            f'gpu="{self.index}",UUID="GPU-{self.node.name}-{self.index}",device="nvidia{self.index}",'
            f'modelName="{self.node.product.replace("-", " ")}"{mig},hostname="{self.node.name}"{holder}'
        )


def exporter_page(boards: Iterable[Board], *, elapsed: float) -> str:
    """dcgm-exporter 4.8.3, `elapsed` seconds after the story began. MIG repeats the board's energy."""
    shown = tuple(boards)
    millijoules = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
    lines = [f"# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n# TYPE {millijoules} counter"]
    lines += [f"DCGM_FI_DEV_POWER_USAGE{{{board.labels()}}} {board.watts!r}" for board in shown]
    lines += [
        f"{millijoules}{{{board.labels()}}} {math.floor(board.watts * (LONG_AGO + elapsed) * 1000)}"
        for board in shown
    ]
    return "\n".join(lines) + "\n"
