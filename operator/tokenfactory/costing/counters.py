"""Counter deltas per series, reset-aware, summed per signal only afterwards (docs/cost-model.md §2)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from types import MappingProxyType

from tokenfactory.model import EngineReading, Histogram, SeriesKey, Signal

SIGNALS = tuple(Signal)
SLOT = {signal: slot for slot, signal in enumerate(SIGNALS)}

Bucket = tuple[Histogram, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """Where each series of one page shape goes: signals into slots, buckets by histogram and bound."""

    layout: tuple[SeriesKey, ...]
    signals: tuple[tuple[int, int], ...]
    buckets: tuple[tuple[int, Bucket], ...]


def plan_of(layout: tuple[SeriesKey, ...]) -> Plan:
    signals = tuple((i, SLOT[key.signal]) for i, key in enumerate(layout) if isinstance(key.signal, Signal))
    buckets = tuple(
        (i, (key.signal, inf if key.bound is None else key.bound))
        for i, key in enumerate(layout)
        if isinstance(key.signal, Histogram)
    )
    return Plan(layout, signals, buckets)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters of one good page, kept until the next one."""

    plan: Plan
    values: array[float]


def take_snapshot(reading: EngineReading, known: Mapping[int, Plan] = MappingProxyType({})) -> Snapshot:
    """The reading's counters; `known` holds plans by the id of their layout object, to be used again."""
    plan = known.get(id(reading.layout))
    if plan is None or plan.layout is not reading.layout:
        plan = plan_of(reading.layout)
    return Snapshot(plan, array("d", reading.counters))


@dataclass(frozen=True, slots=True)
class Deltas:
    """`signals[SLOT[s]]` is what signal `s` gained; `reset` tells that a counter fell."""

    signals: array[float]
    buckets: tuple[tuple[Bucket, float], ...]
    reset: bool


def count_since(previous: Snapshot | None, current: Snapshot) -> Deltas:
    """What each series gained; without `previous` (or after a fall) that is its new value."""
    gains, reset = _gains(previous, current)
    signals = array("d", bytes(8 * len(SIGNALS)))
    for index, slot in current.plan.signals:
        signals[slot] += gains[index]
    buckets = tuple((bucket, gains[index]) for index, bucket in current.plan.buckets if gains[index])
    return Deltas(signals, buckets, reset)


def nothing_counted() -> array[float]:
    return array("d", bytes(8 * len(SIGNALS)))


def _gains(previous: Snapshot | None, current: Snapshot) -> tuple[Sequence[float], bool]:
    if previous is None:
        return [max(value, 0.0) for value in current.values], False
    if previous.plan.layout is current.plan.layout:
        before: Sequence[float] = previous.values
    else:
        before = _realign(previous, current)
    gains = [now - was if now >= was else now for now, was in zip(current.values, before, strict=True)]
    reset = any(now < was for now, was in zip(current.values, before, strict=True))
    return gains, reset


def _realign(previous: Snapshot, current: Snapshot) -> list[float]:
    """The previous values in the current order; a series that was not there began at zero."""
    was = dict(zip(previous.plan.layout, previous.values, strict=True))
    return [was.get(key, 0.0) for key in current.plan.layout]
