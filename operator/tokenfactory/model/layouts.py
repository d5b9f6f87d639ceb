"""The layout of a reading: which series its counters are. Most of it is kept once for a whole fleet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf

from tokenfactory.model.signals import SLOT, WINDOWED, Histogram, Signal

Bucket = tuple[Histogram, float]
Row = tuple[Signal | Histogram, int, float | None]


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """One series of one page. `rank` is the engine's data-parallel rank, `bound` the bucket's upper bound."""

    signal: Signal | Histogram
    rank: str = ""
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """What pages count that differ in the names of their ranks only, such as those of two models.

    `rows` has each counter's signal, the number of its rank and its bound; the rest follows from it:
    `signals` pairs places of counters with slots, `places` are those of buckets that count for the window,
    `buckets` what these are.
    """

    rows: tuple[Row, ...]
    signals: tuple[tuple[int, int], ...] = field(compare=False, repr=False)
    places: tuple[int, ...] = field(compare=False, repr=False)
    buckets: tuple[Bucket, ...] = field(compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Layout:
    """The series of a page, in the order of its counters: an outline and the names of its ranks."""

    outline: Outline
    ranks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.outline)

    def __iter__(self) -> Iterator[SeriesKey]:
        return (SeriesKey(signal, self.ranks[rank], bound) for signal, rank, bound in self.outline.rows)


def layout_of(keys: Iterable[SeriesKey]) -> Layout:
    """The layout of these series in this order; their ranks are numbered as they come."""
    numbers: dict[str, int] = {}
    rows = tuple((key.signal, numbers.setdefault(key.rank, len(numbers)), key.bound) for key in keys)
    return Layout(_outline(rows), tuple(numbers))


def _outline(rows: tuple[Row, ...]) -> Outline:
    signals: list[tuple[int, int]] = []
    buckets: list[tuple[int, Bucket]] = []
    for place, (kind, _, bound) in enumerate(rows):
        if isinstance(kind, Signal):
            signals.append((place, SLOT[kind]))
        elif kind in WINDOWED:
            buckets.append((place, (kind, inf if bound is None else bound)))
    places, names = zip(*buckets, strict=True) if buckets else ((), ())
    return Outline(rows, tuple(signals), places, names)
