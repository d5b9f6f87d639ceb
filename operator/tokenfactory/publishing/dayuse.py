"""How the GPU time of the last day was spent, in hours: what `increase(…[1d])` is for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HOUR_SECONDS = 3600
HOURS = 24
UNUSED = ("idle", "loading")


@dataclass(frozen=True, slots=True)
class Hour:
    """GPU-seconds in one hour since the epoch."""

    number: int
    held: float
    unused: float


DayUse = tuple[Hour, ...]


def add(day: DayUse, gpu_seconds: Mapping[str, float], *, now: float) -> DayUse:
    """`day` with what a cycle at `now` (Unix seconds) accounted. At most 25 hours are kept."""
    number = int(now // HOUR_SECONDS)
    kept = tuple(hour for hour in day if number - HOURS <= hour.number < number)
    current = next((hour for hour in day if hour.number == number), Hour(number, 0.0, 0.0))
    held = current.held + sum(gpu_seconds.values())
    unused = current.unused + sum(gpu_seconds.get(share, 0.0) for share in UNUSED)
    return (*kept, Hour(number, held, unused))


def unused_share(day: DayUse, *, now: float) -> float | None:
    """The share of the GPU time that was idle or loading; None before a whole day was seen."""
    number = int(now // HOUR_SECONDS)
    seen = tuple(hour for hour in day if hour.number >= number - HOURS)
    held = sum(hour.held for hour in seen)
    if not seen or seen[0].number > number - HOURS or held <= 0:
        return None
    return sum(hour.unused for hour in seen) / held
