"""What costing remembers of a pool between two cycles. It goes in and comes out; nothing is mutated."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from tokenfactory.costing.counters import Snapshot
from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.history import History
from tokenfactory.model import EMPTY, Bucket, EngineId, Histogram, Role, Signal, Standing

Tally = tuple[float, int]
"""A sum and of how many."""

NOTHING: Tally = (0.0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One engine of one pod; container "" stands for a pod that holds GPUs and runs no engine we know.

    GPU time is accounted up to `closed_at` (None: not begun). `read_at` is the last good scrape.
    `from_zero`: no token of its first page can predate the track. `born` is when it was first seen.
    `moved_at` is the last good scrape that showed tokens, decoding time or cache usage moving; `epoch` is
    the configuration that it runs.
    """

    id: EngineId
    role: Role
    facts: HardwareFacts
    gpus: float
    closed_at: float | None
    from_zero: bool = False
    born: float = 0.0
    started_at: float | None = None
    restarts: int = 0
    read_at: float | None = None
    snapshot: Snapshot | None = None
    families: frozenset[Signal | Histogram] = frozenset()
    running: float = 0.0
    waiting: float = 0.0
    kv_usage: float | None = None
    moved_at: float | None = None
    epoch: str = ""
    info: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    model: str = ""
    version: str = ""
    segments: History = field(default_factory=History)
    present: bool = True
    ready: bool = False


class Gains(NamedTuple):
    """What each of these buckets gained."""

    buckets: tuple[Bucket, ...]
    values: array[float]


@dataclass(frozen=True, slots=True)
class LatencySlice:
    """Bucket gains of all engines of the pool, closed in a cycle or two: one array per kind of page.

    The names of the buckets are the outline's own tuple, so that they are kept once.
    """

    start: float
    end: float
    parts: tuple[Gains, ...]


@dataclass(frozen=True, slots=True)
class Odometer:
    """A GPU's energy counter: when it last moved, when it was last seen, and whether a span was closed."""

    moved_at: float
    seen_at: float
    millijoules: float | None
    pods: tuple[tuple[str, float], ...]
    closed: bool = False
    estimated: bool = False
    xid: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """An XID code that appeared on a board of a pod while we watched it."""

    at: float
    pod_uid: str
    xid: int


@dataclass(frozen=True, slots=True)
class PodSample:
    """One pod's GPUs in one cycle: how many say why their clocks are low, and the sum of their clocks."""

    pod_uid: str
    explained: int = 0
    throttled: int = 0
    power_capped: int = 0
    thermal: int = 0
    clocked: int = 0
    clocks: float = 0.0

    def plus(self, more: PodSample) -> PodSample:
        """The pod's GPUs of both."""
        return PodSample(
            self.pod_uid,
            explained=self.explained + more.explained,
            throttled=self.throttled + more.throttled,
            power_capped=self.power_capped + more.power_capped,
            thermal=self.thermal + more.thermal,
            clocked=self.clocked + more.clocked,
            clocks=self.clocks + more.clocks,
        )


@dataclass(frozen=True, slots=True)
class EnergySpan:
    """Joules that `gpus` GPUs of one pod used between two moves of their counters."""

    pod_uid: str
    start: float
    end: float
    joules: float
    gpus: float
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """A pod's time as a holder of GPUs, up to when it was last seen: what comes after can't be observed."""

    since: float
    until: float
    gpus: float


@dataclass(frozen=True, slots=True)
class GpuSample:
    """Sums over the pool's GPUs of the DCGM page rounds from `since` to `at`, each with its count of GPUs."""

    since: float
    at: float
    busy: Tally = NOTHING
    tensor: Tally = NOTHING
    memory: Tally = NOTHING
    throttled: Tally = NOTHING
    megahertz: Tally = NOTHING
    pods: tuple[PodSample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """`at` is the last cycle, `first_at` the first; since `began` every engine is accounted for.

    `companions` and `client_latency` are of what runs beside the engines, and empty where nothing does.
    """

    first_at: float
    at: float
    window_seconds: float
    began: float | None = None
    full: bool = False
    tracks: Mapping[EngineId, Track] = field(default_factory=lambda: MappingProxyType({}))
    presence: Mapping[str, Presence] = field(default_factory=lambda: MappingProxyType({}))
    latency: tuple[LatencySlice, ...] = ()
    odometers: Mapping[str, Odometer] = field(default_factory=lambda: MappingProxyType({}))
    energy: tuple[EnergySpan, ...] = ()
    samples: tuple[GpuSample, ...] = ()
    standings: tuple[Standing, ...] = ()
    faults: tuple[Fault, ...] = ()
    companions: Mapping[EngineId, Track] = field(default_factory=lambda: MappingProxyType({}))
    client_latency: tuple[LatencySlice, ...] = ()
