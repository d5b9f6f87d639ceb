"""Counter deltas per series, reset-aware, summed per signal only afterwards (docs/cost-model.md §2)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from operator import sub
from types import MappingProxyType

from tokenfactory.model import EngineReading, Histogram, SeriesKey, Signal

SIGNALS = tuple(Signal)
SLOT = {signal: slot for slot, signal in enumerate(SIGNALS)}

Bucket = tuple[Histogram, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """Where each series of a page shape goes: signals into slots; `buckets[j]` is series `places[j]`."""

    layout: tuple[SeriesKey, ...]
    signals: tuple[tuple[int, int], ...]
    places: tuple[int, ...]
    buckets: tuple[Bucket, ...]


def plan_of(layout: tuple[SeriesKey, ...]) -> Plan:
    signals = tuple((i, SLOT[key.signal]) for i, key in enumerate(layout) if isinstance(key.signal, Signal))
    places = tuple(i for i, key in enumerate(layout) if isinstance(key.signal, Histogram))
    buckets = tuple(
        (key.signal, inf if key.bound is None else key.bound)
        for key in layout
        if isinstance(key.signal, Histogram)
    )
    return Plan(layout, signals, places, buckets)


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
    """`signals[SLOT[s]]` is what signal `s` gained, `buckets` the plan's buckets; `reset`: one fell."""

    signals: array[float]
    buckets: array[float]
    reset: bool


def count_since(previous: Snapshot | None, current: Snapshot) -> Deltas:
    """What each series gained; without `previous` (or after a fall) that is its new value."""
    gains, reset = _gains(previous, current)
    signals = array("d", (0.0,) * len(SIGNALS))
    for index, slot in current.plan.signals:
        signals[slot] += gains[index]
    return Deltas(signals, array("d", [gains[index] for index in current.plan.places]), reset)


def carry_over(previous: Snapshot | None, current: Snapshot) -> Snapshot:
    """The current counters, with those of signals that are not there at all this time as they last were.

    An engine's second page that could not be read comes back later, and its counters went on meanwhile.
    """
    if previous is None or previous.plan.layout is current.plan.layout:
        return current
    here = {key.signal for key in current.plan.layout}
    kept = [
        (key, value)
        for key, value in zip(previous.plan.layout, previous.values, strict=True)
        if isinstance(key.signal, Signal) and key.signal not in here
    ]
    if not kept:
        return current
    layout = (*current.plan.layout, *(key for key, _ in kept))
    return Snapshot(plan_of(layout), array("d", (*current.values, *(value for _, value in kept))))


def _gains(previous: Snapshot | None, current: Snapshot) -> tuple[Sequence[float], bool]:
    if previous is None:
        return [max(value, 0.0) for value in current.values], False
    if previous.plan.layout is current.plan.layout:
        before: Sequence[float] = previous.values
    else:
        before = _realign(previous, current)
    gains = list(map(sub, current.values, before))
    if min(gains, default=0.0) >= 0:
        return gains, False
    return [now if gain < 0 else gain for gain, now in zip(gains, current.values, strict=True)], True


def _realign(previous: Snapshot, current: Snapshot) -> list[float]:
    """The previous values in the current order; a series that was not there began at zero."""
    was = dict(zip(previous.plan.layout, previous.values, strict=True))
    return [was.get(key, 0.0) for key in current.plan.layout]
