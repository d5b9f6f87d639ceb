"""Counter deltas per series, reset-aware, summed per signal only afterwards (docs/cost-model.md §2)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from operator import sub

from tokenfactory.model import SIGNALS, SLOT, EngineReading, Layout, Signal, layout_of


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters of one good page, kept until the next one."""

    layout: Layout
    values: array[float]


def take_snapshot(reading: EngineReading) -> Snapshot:
    return Snapshot(reading.layout, array("d", reading.counters))


@dataclass(frozen=True, slots=True)
class Deltas:
    """`signals[SLOT[s]]` is what signal `s` gained, `buckets` what the layout's did; `reset`: one fell."""

    signals: array[float]
    buckets: array[float]
    reset: bool


def count_since(previous: Snapshot | None, current: Snapshot) -> Deltas:
    """What each series gained; without `previous` (or after a fall) that is its new value."""
    gains, reset = _gains(previous, current)
    outline = current.layout.outline
    signals = array("d", (0.0,) * len(SIGNALS))
    for place, slot in outline.signals:
        signals[slot] += gains[place]
    return Deltas(signals, array("d", [gains[place] for place in outline.places]), reset)


def carry_over(previous: Snapshot | None, current: Snapshot) -> Snapshot:
    """The current counters, with those of signals that are not there at all this time as they last were.

    An engine's second page that could not be read comes back later, and its counters went on meanwhile.
    """
    if previous is None or previous.layout == current.layout:
        return current
    here = {key.signal for key in current.layout}
    kept = [
        (key, value)
        for key, value in zip(previous.layout, previous.values, strict=True)
        if isinstance(key.signal, Signal) and key.signal not in here
    ]
    if not kept:
        return current
    layout = layout_of((*current.layout, *(key for key, _ in kept)))
    return Snapshot(layout, array("d", (*current.values, *(value for _, value in kept))))


def shorten(signals: array[float]) -> array[float] | None:
    """The gains up to the last signal that moved; None when none did. Signals that are rare come last."""
    end = len(signals)
    while end and not signals[end - 1]:
        end -= 1
    return signals[:end] if end else None


def gain_of(signals: array[float] | None, signal: Signal) -> float:
    """What the signal gained, of gains that may be shortened."""
    slot = SLOT[signal]
    return signals[slot] if signals is not None and slot < len(signals) else 0.0


def sum_gains(some: array[float] | None, others: array[float] | None) -> array[float] | None:
    """Both gains together, as long as the longer one."""
    if some is None or others is None:
        return some if others is None else others
    return array("d", [a + b for a, b in zip_longest(some, others, fillvalue=0.0)])


def _gains(previous: Snapshot | None, current: Snapshot) -> tuple[Sequence[float], bool]:
    if previous is None:
        return [max(value, 0.0) for value in current.values], False
    if previous.layout == current.layout:
        before: Sequence[float] = previous.values
    else:
        before = _realign(previous, current)
    gains = list(map(sub, current.values, before))
    if min(gains, default=0.0) >= 0:
        return gains, False
    return [now if gain < 0 else gain for gain, now in zip(gains, current.values, strict=True)], True


def _realign(previous: Snapshot, current: Snapshot) -> list[float]:
    """The previous values in the current order; a series that was not there began at zero."""
    was = dict(zip(previous.layout, previous.values, strict=True))
    return [was.get(key, 0.0) for key in current.layout]
