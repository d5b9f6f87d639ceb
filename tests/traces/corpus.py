"""The labelled traces: what happens, and what the judge should make of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from tests.traces.fleet import Curve, Server, Trace, always
from tokenfactory.model import Role

ONSET = 7.0
NEW = "bbbb2222"


class Kind(StrEnum):
    """QUIET: no alarm; LOW: no alarm, and nothing that pages whatever else happens. The others are alarms."""

    QUIET = "quiet"
    LOW = "low"
    DEGRADED = "degraded"
    COLLAPSE = "collapse"
    STALLED = "stalled"


@dataclass(frozen=True, kw_only=True)
class Case:
    """`onset` in windows. `resolved`: the alarm is over at the end of the trace."""

    name: str
    trace: Trace
    kind: Kind = Kind.QUIET
    onset: float = ONSET
    resolved: bool = False


def wave(mean: float, *, swing: float = 0.35, period: float = 3.0) -> Curve:
    return lambda at: mean * (1 + swing * math.sin(2 * math.pi * at / period))


def step(before: float, after: float, *, at: float = ONSET, until: float = 1e9) -> Curve:
    return lambda now: after if at < now <= until else before


def several(count: int, server: Server | None = None) -> tuple[Server, ...]:
    return (server or Server(),) * count


def quiet() -> Iterator[Case]:
    for seed in (1, 2):
        day = wave(2.0, swing=0.95, period=24.0)
        yield Case(name=f"diurnal {seed}", trace=_long(several(4), day, seed=seed))
        yield Case(name=f"weekend {seed}", trace=_long(several(4), _week, seed=seed))
    for seed, mean in ((3, 0.9), (4, 0.5)):
        ramp = _ramp(mean * 4)
        yield Case(name=f"launch ramp {seed}", trace=Trace(servers=several(4), demand=ramp, seed=seed))
    for count in (2, 4):
        grown = (*several(2), *several(count, Server(born=ONSET)))
        yield Case(name=f"autoscaling up by {count}", trace=Trace(servers=grown, demand=step(2, 2 + count)))
        shrunk = (*several(2), *several(count, Server(gone=ONSET)))
        yield Case(
            name=f"autoscaling down by {count}", trace=Trace(servers=shrunk, demand=step(2 + count, 2))
        )
        yield Case(name=f"rollout of {count}", trace=_rolled(count, peak=4000.0))
    yield Case(name="rollout that is better", trace=_rolled(4, peak=5500.0))
    for seed, down in ((5, ((ONSET, ONSET + 0.1),)), (6, ((ONSET, ONSET + 0.8),))):
        fallen = (Server(down=down), *several(3))
        yield Case(name=f"counter reset {seed}", trace=Trace(servers=fallen, demand=wave(3.0), seed=seed))
        alone = (Server(down=down),)
        yield Case(
            name=f"counter reset, alone {seed}", trace=Trace(servers=alone, demand=wave(0.8), seed=seed)
        )
    for seed, count in ((7, 1), (8, 4), (9, 8)):
        trace = Trace(servers=several(count), demand=wave(0.8 * count), lost=0.2, seed=seed)
        yield Case(name=f"a fifth of scrapes lost, {count} replicas", trace=trace)
    for seed in (10, 11):
        slow = (Server(speed=step(1.0, 0.4)), *several(7))
        yield Case(name=f"one of eight slow {seed}", trace=Trace(servers=slow, demand=wave(4.0), seed=seed))
    for seed in (12, 13):
        storm = step(3.0, 9.0, until=ONSET + 3)
        yield Case(name=f"retry storm {seed}", trace=Trace(servers=several(4), demand=storm, seed=seed))
        yield Case(name=f"bursts {seed}", trace=Trace(servers=several(4), demand=_bursts, seed=seed))
        noisy = Trace(servers=several(1), demand=wave(0.8), noise=0.15, seed=seed, per_window=6)
        yield Case(name=f"noise, six scrapes a window {seed}", trace=noisy)
    longer = several(2, Server(speed=step(1.0, 0.88)))
    yield Case(name="prompts a little longer", trace=Trace(servers=longer, demand=wave(1.6)))
    yield Case(name="prefill and decode", trace=Trace(servers=_split(always(1.0)), demand=wave(1.6)))


def low() -> Iterator[Case]:
    for seed, count in ((20, 1), (21, 4)):
        yield Case(
            name=f"zero traffic, {count} replicas",
            kind=Kind.LOW,
            trace=Trace(servers=several(count), demand=always(0.0), seed=seed),
        )
        stopped = step(0.8 * count, 0.0)
        yield Case(
            name=f"traffic stops, {count} replicas",
            kind=Kind.LOW,
            trace=Trace(servers=several(count), demand=stopped, seed=seed),
        )
        trickle = step(0.8 * count, 0.01 * count)
        yield Case(
            name=f"a trickle, {count} replicas",
            kind=Kind.LOW,
            trace=Trace(servers=several(count), demand=trickle, seed=seed),
        )
        cold = several(count, Server(speed=step(1.0, 0.4)))
        yield Case(
            name=f"a trickle on throttled GPUs, {count} replicas",
            kind=Kind.LOW,
            trace=Trace(servers=cold, demand=trickle, seed=seed),
        )


def bad() -> Iterator[Case]:
    yield from _throttled()
    yield from _revised()
    yield from _starved()
    yield from _frozen()


def _throttled() -> Iterator[Case]:
    """Clocks, acceptance, prompts: the curve falls while the configuration stays."""
    for seed, share, per_window in ((30, 0.3, 15), (31, 0.2, 15), (32, 0.3, 6), (33, 0.35, 20)):
        servers = several(4, Server(speed=step(1.0, share)))
        trace = Trace(servers=servers, demand=wave(4.0), seed=seed, per_window=per_window)
        name = f"clocks throttled to {share}, {per_window} scrapes a window"
        yield Case(name=name, kind=Kind.COLLAPSE, trace=trace)
    for seed, share, per_window in ((34, 0.6, 15), (35, 0.65, 15), (36, 0.6, 6)):
        servers = several(4, Server(speed=step(1.0, share)))
        trace = Trace(servers=servers, clients=wave(48.0), seed=seed, per_window=per_window)
        name = f"acceptance lost, {share} left, {per_window} scrapes a window"
        yield Case(name=name, kind=Kind.DEGRADED, trace=trace)
    for seed, share in ((37, 0.55), (38, 0.6)):
        servers = several(2, Server(speed=step(1.0, share)))
        name = f"prompts much longer, {share} left"
        yield Case(name=name, kind=Kind.DEGRADED, trace=Trace(servers=servers, clients=wave(16.0), seed=seed))
    for seed in (39, 40):
        servers = several(4, Server(speed=step(1.0, 0.3)))
        trace = Trace(servers=servers, demand=wave(4.0), lost=0.2, seed=seed)
        yield Case(name=f"throttled while scrapes are lost {seed}", kind=Kind.COLLAPSE, trace=trace)
        over = several(4, Server(speed=step(1.0, 0.3, until=ONSET + 4)))
        trace = Trace(servers=over, demand=wave(3.0), seed=seed, windows=18.0)
        name = f"throttled for four windows {seed}"
        yield Case(name=name, kind=Kind.COLLAPSE, trace=trace, resolved=True)
    most = (*several(3, Server(speed=step(1.0, 0.1))), Server())
    yield Case(name="three of four slow", kind=Kind.COLLAPSE, trace=Trace(servers=most, demand=wave(4.0)))
    for share, kind in ((0.3, Kind.COLLAPSE), (0.6, Kind.DEGRADED)):
        trace = Trace(servers=_split(step(1.0, share)), clients=wave(24.0 if share > 0.5 else 160.0))
        yield Case(name=f"decode at {share}", kind=kind, trace=trace)
    short = Trace(servers=several(2, Server(speed=step(1.0, 0.3))), demand=wave(2.0), window=30.0)
    yield Case(name="throttled, windows of 30 s", kind=Kind.COLLAPSE, trace=short)


def _revised() -> Iterator[Case]:
    """A flag removed: a rollout that costs throughput, all at once or pod by pod."""
    for count, peak, kind in ((1, 1200.0, Kind.COLLAPSE), (4, 1200.0, Kind.COLLAPSE)):
        name = f"a flag removed in a rollout of {count}, {peak / 4000} left"
        yield Case(name=name, kind=kind, trace=_rolled(count, peak=peak, demand=1.0), onset=_middle(count))
    for count, peak in ((2, 2400.0), (4, 2500.0)):
        trace = replace(_rolled(count, peak=peak), clients=wave(10.0 * count), windows=18.0)
        name = f"a flag removed in a rollout of {count}, {peak / 4000} left"
        yield Case(name=name, kind=Kind.DEGRADED, trace=trace, onset=_middle(count))
    poor = several(2, Server(epoch=NEW, peak=1200.0, born=ONSET, gone=ONSET + 4))
    back = (*several(2, Server(gone=ONSET)), *poor, *several(2, Server(born=ONSET + 4)))
    trace = Trace(servers=back, demand=wave(1.5), windows=18.0)
    yield Case(name="a flag removed, then rolled back", kind=Kind.COLLAPSE, trace=trace, resolved=True)
    kept = (*several(2, Server(gone=ONSET)), *several(2, Server(epoch=NEW, peak=2400.0, born=ONSET)))
    trace = Trace(servers=kept, clients=wave(24.0), windows=20.0, accept=(ONSET + 6, NEW))
    yield Case(name="a flag removed, then accepted", kind=Kind.DEGRADED, trace=trace, resolved=True)


def _starved() -> Iterator[Case]:
    """The KV cache is full of long contexts: few sequences run, the others wait and are preempted."""
    for seed, seats in ((50, 3.0), (51, 2.0)):
        servers = several(2, Server(seats=step(64.0, seats), speed=step(1.0, 0.7)))
        trace = Trace(servers=servers, demand=wave(2.0), seed=seed)
        yield Case(name=f"KV thrash, {seats} sequences fit", kind=Kind.COLLAPSE, trace=trace)
    servers = several(4, Server(seats=step(64.0, 12.0), speed=step(1.0, 0.45)))
    name = "KV thrash, twelve sequences fit"
    yield Case(name=name, kind=Kind.COLLAPSE, trace=Trace(servers=servers, demand=wave(4.0), seed=52))


def _frozen() -> Iterator[Case]:
    """Engines that hold their requests and do nothing."""
    for count, per_window in ((1, 15), (4, 15), (1, 6)):
        servers = several(count, Server(frozen=((ONSET, 1e9),)))
        trace = Trace(servers=servers, demand=wave(0.8 * count), per_window=per_window)
        name = f"{count} paused, {per_window} scrapes a window"
        yield Case(name=name, kind=Kind.STALLED, trace=trace)
    servers = (Server(frozen=((ONSET, 1e9),)), *several(3))
    yield Case(name="one of four paused", kind=Kind.STALLED, trace=Trace(servers=servers, demand=wave(3.0)))
    servers = several(2, Server(frozen=((ONSET, ONSET + 2),)))
    trace = Trace(servers=servers, demand=wave(1.6))
    yield Case(name="paused for two windows", kind=Kind.STALLED, trace=trace, resolved=True)


def _long(servers: tuple[Server, ...], demand: Curve, *, seed: int) -> Trace:
    return Trace(servers=servers, demand=demand, windows=50.0, per_window=6, seed=seed)


def _bursts(at: float) -> float:
    return 6.0 if math.sin(at * 5.0) > 0.8 else 1.6


def _week(at: float) -> float:
    return 0.05 if at % 24 > 16 else 2.4 + math.sin(at * 2.0)


def _ramp(end: float) -> Curve:
    return lambda at: end * min(1.0, at / 10) ** 2


def _middle(count: int) -> float:
    """When half of the pods are replaced."""
    return ONSET + 0.3 * (count - 1) / 2


def _rolled(count: int, *, peak: float, demand: float = 0.8) -> Trace:
    """Pods replaced one after the other, a third of a window apart."""
    old = tuple(Server(gone=ONSET + 0.3 * index) for index in range(count))
    new = tuple(Server(epoch=NEW, peak=peak, born=ONSET + 0.3 * index) for index in range(count))
    return Trace(servers=(*old, *new), demand=wave(demand * count), windows=16.0)


def _split(speed: Curve) -> tuple[Server, ...]:
    prefill = Server(role=Role.PREFILL, peak=8000.0)
    return (prefill, *several(2, Server(role=Role.DECODE, speed=speed)))


CASES = (*quiet(), *low(), *bad())
