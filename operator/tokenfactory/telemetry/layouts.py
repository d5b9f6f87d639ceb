"""What readings of one shape have in common, worked out once and shared: plans, their parts, and facts.

Held by the collector and handed to the parsers; bounded, so that a page of ever new labels costs time
but no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sized
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from tokenfactory.model import Histogram, Layout, Level, SeriesKey, Signal, layout_of


class Part(Hashable, Sized, Protocol):
    """A frozen value of several items."""


K = TypeVar("K", bound=Hashable)
P = TypeVar("P", bound=Part)
V = TypeVar("V")

Facts = tuple[tuple[str, str], ...]
Moves = tuple[tuple[int, int, float], ...]


class Kept(Generic[K, V]):
    """A map that holds at most `capacity` units of cost; the oldest entries go first."""

    __slots__ = ("_capacity", "_entries", "_held")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: dict[K, tuple[V, int]] = {}
        self._held = 0

    @property
    def held(self) -> int:
        """The units of cost kept now, never above the capacity."""
        return self._held

    def recall(self, key: K, *, cost: int, make: Callable[[], V]) -> V:
        """The value kept for `key`, else a new one, which is kept when it is small enough.

        Raises what `make` raises, keeping nothing.
        """
        entry = self._entries.get(key)
        if entry is not None:
            return entry[0]
        value = make()
        if cost * 4 <= self._capacity:
            while self._held + cost > self._capacity:
                self._held -= self._entries.pop(next(iter(self._entries)))[1]
            self._entries[key] = value, cost
            self._held += cost
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the samples of one page shape become counters and levels.

    A move is a sample's place on the page, its counter's place in `layout` and what the value is
    multiplied by; `levels` pairs samples with gauges. A place of `layout` without a move is a family that
    the page carries and has no sample of yet: zero. `counting`: it carries the signals that it has to.
    """

    layout: Layout
    moves: Moves
    levels: tuple[tuple[int, Level], ...]
    families: frozenset[Signal | Histogram]
    model: str
    counting: bool


class Layouts:
    """The collector's memory of page shapes, in units of samples (plans), items (their parts) and facts.

    Enough for the pages of 1,200 models.
    """

    __slots__ = ("_facts", "_parts", "plans")

    def __init__(self, *, capacity: int = 100_000) -> None:
        self.plans: Kept[Hashable, Plan] = Kept(capacity)
        self._parts: Kept[Part, Any] = Kept(capacity)
        self._facts: Kept[Facts, Mapping[str, str]] = Kept(capacity // 8)

    def share(self, part: P) -> P:
        """The part equal to this one that other plans hold: those of two models differ in names only."""
        shared: P = self._parts.recall(part, cost=len(part), make=lambda: part)
        return shared

    def layout(self, keys: Iterable[SeriesKey]) -> Layout:
        """The layout of these series, the same object for all readings that have it."""
        layout = layout_of(keys)
        return self.share(Layout(self.share(layout.outline), layout.ranks))

    def facts(self, facts: Facts) -> Mapping[str, str]:
        """The facts as a read-only mapping, one object for all engines that say the same."""
        return self._facts.recall(facts, cost=len(facts), make=lambda: MappingProxyType(dict(facts)))
