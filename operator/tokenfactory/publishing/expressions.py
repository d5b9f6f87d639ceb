"""Conditions of alerts, written once: each can be asked about a pool's series, and says itself in PromQL.

So Prometheus and the operator can't come to mean two things by one alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tokenfactory.publishing.families import GAUGES, PREFIX
from tokenfactory.publishing.samples import Sample

Row = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one pool shows at `now` (Unix seconds): its gauges by family, and how a whole day was spent.

    `unused_of_day`: share of the GPU time of the last day that was idle or loading; None: less than a day.
    """

    gauges: Mapping[str, tuple[Row, ...]]
    now: float
    unused_of_day: float | None = None

    def values(self, family: str, labels: Mapping[str, str]) -> tuple[float, ...]:
        """The values of the family's series that carry these labels."""
        return tuple(value for row, value in self.gauges.get(family, ()) if labels.items() <= row.items())


def look_at(samples: Iterable[Sample], *, now: float, unused_of_day: float | None = None) -> Sight:
    """A sight of the samples that are exported for a pool."""
    gauges: dict[str, list[Row]] = {}
    for family, values, value in samples:
        names = GAUGES[family][1]
        gauges.setdefault(family, []).append((dict(zip(names, values, strict=True)), value))
    return Sight(
        gauges={family: tuple(rows) for family, rows in gauges.items()}, now=now, unused_of_day=unused_of_day
    )


class Expression(Protocol):
    """A condition of one pool."""

    def holds(self, sight: Sight) -> bool: ...

    def promql(self) -> str:
        """The same in PromQL: a vector of the labels `namespace` and `pool`, whichever replica leads."""
        ...


@dataclass(frozen=True, slots=True)
class Series:
    """The series of a family that carry `labels`. The leader's counts: `max` bridges a change of leader."""

    family: str
    labels: tuple[tuple[str, str], ...] = ()

    def values(self, sight: Sight) -> tuple[float, ...]:
        return sight.values(self.family, dict(self.labels))

    def promql(self) -> str:
        matchers = ",".join(f'{name}="{value}"' for name, value in self.labels)
        selector = f"{PREFIX}{self.family}{{{matchers}}}" if matchers else f"{PREFIX}{self.family}"
        return f"max by (namespace, pool) ({selector})"


@dataclass(frozen=True, slots=True)
class Equals:
    series: Series
    value: int

    def holds(self, sight: Sight) -> bool:
        values = self.series.values(sight)
        return bool(values) and max(values) == self.value

    def promql(self) -> str:
        return f"{self.series.promql()} == {self.value}"


@dataclass(frozen=True, slots=True)
class Above:
    series: Series
    bound: float

    def holds(self, sight: Sight) -> bool:
        return any(value > self.bound for value in self.series.values(sight))

    def promql(self) -> str:
        return f"{self.series.promql()} > {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Older:
    """The series is a Unix time, more than `seconds` ago."""

    series: Series
    seconds: int

    def holds(self, sight: Sight) -> bool:
        values = self.series.values(sight)
        return bool(values) and sight.now - max(values) > self.seconds

    def promql(self) -> str:
        return f"time() - {self.series.promql()} > {self.seconds}"


@dataclass(frozen=True, slots=True)
class MostlyUnused:
    """Over a whole day more than `share` of the GPU time held was idle or loading (traps: T8).

    From counters, over the day: a quiet night does not reach a half. The pool was there a day ago.
    """

    share: float

    def holds(self, sight: Sight) -> bool:
        return sight.unused_of_day is not None and sight.unused_of_day > self.share

    def promql(self) -> str:
        held = f"{PREFIX}gpu_seconds_total"
        seen = f"{PREFIX}last_observation_timestamp_seconds"
        return (
            f'sum by (namespace, pool) (increase({held}{{share=~"idle|loading"}}[1d]))\n'
            f"  / sum by (namespace, pool) (increase({held}[1d])) > {self.share:g}\n"
            f"and max by (namespace, pool) (max_over_time({seen}[1h] offset 1d)) > 0"
        )


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Expression, ...]

    def holds(self, sight: Sight) -> bool:
        return any(part.holds(sight) for part in self.parts)

    def promql(self) -> str:
        return "\nor ".join(f"({part.promql()})" for part in self.parts)


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Expression, ...]

    def holds(self, sight: Sight) -> bool:
        return all(part.holds(sight) for part in self.parts)

    def promql(self) -> str:
        return "\nand ".join(f"({part.promql()})" for part in self.parts)


@dataclass(frozen=True, slots=True)
class Unless:
    part: Expression
    excuse: Expression

    def holds(self, sight: Sight) -> bool:
        return self.part.holds(sight) and not self.excuse.holds(sight)

    def promql(self) -> str:
        return f"({self.part.promql()})\nunless ({self.excuse.promql()})"
