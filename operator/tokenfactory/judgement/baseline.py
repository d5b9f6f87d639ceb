"""The pool's own level: output tokens/s per ready GPU, learned by concurrency (docs/cost-model.md §10).

Samples fall into half-octave buckets of concurrency per replica; a bucket's level is its median. Between
buckets the level is interpolated in log2 of the concurrency, below the lowest it is proportional to it and
above the highest it is flat.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import pairwise

BUCKETS_PER_OCTAVE = 2
SAMPLES_PER_BUCKET = 16
SAMPLES_FOR_A_KNOT = 6
SAMPLES_FOR_USE = 20
WINDOWS_FOR_USE = 4
MAX_BUCKETS = 10
GROWN_FRACTION = 0.9

_PAIR = struct.Struct("<ff")


@dataclass(frozen=True, slots=True)
class Bucket:
    """The latest samples of one half octave, packed (concurrency, tokens/s/GPU) pairs, oldest first."""

    index: int
    samples: bytes
    at: float

    @property
    def size(self) -> int:
        return len(self.samples) // _PAIR.size

    def median(self) -> tuple[float, float]:
        """(concurrency, level), each the median of the samples."""
        pairs = list(_PAIR.iter_unpack(self.samples))
        return _median(pair[0] for pair in pairs), _median(pair[1] for pair in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What one configuration epoch was seen to do. At most 10 buckets of 16 samples, under 3 KiB."""

    epoch: str
    count: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    buckets: tuple[Bucket, ...] = ()


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def name_epoch(epochs: Iterable[str]) -> str:
    """A short name of a set of configuration epochs; the order and repetitions don't matter."""
    digest = blake2b(digest_size=8)
    for epoch in sorted(set(epochs)):
        digest.update(epoch.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def is_usable(baseline: Baseline, *, window: float) -> bool:
    """At least 20 samples that span at least 4 windows (seconds), six of them in one bucket."""
    return (
        baseline.count >= SAMPLES_FOR_USE
        and baseline.last_at - baseline.first_at >= WINDOWS_FOR_USE * window
        and bool(knots(baseline))
    )


def knots(baseline: Baseline) -> tuple[tuple[float, float], ...]:
    """(concurrency, level) of each well-filled bucket, by rising concurrency."""
    return tuple(sorted(item.median() for item in baseline.buckets if item.size >= SAMPLES_FOR_A_KNOT))


def level_at(baseline: Baseline, concurrency: float) -> float | None:
    """Output tokens/s per ready GPU to expect at `concurrency` per replica; None when not learned."""
    points = knots(baseline)
    if not points or concurrency <= 0:
        return None
    lowest, highest = points[0], points[-1]
    if concurrency <= lowest[0]:
        return lowest[1] * concurrency / lowest[0]
    for (left, low), (right, high) in pairwise(points):
        if left < concurrency <= right:
            share = math.log2(concurrency / left) / math.log2(right / left)
            return low + (high - low) * share
    return highest[1]


def saturation_of(baseline: Baseline) -> float | None:
    """The concurrency per replica from which the level is within 10 % of its maximum."""
    points = knots(baseline)
    if not points:
        return None
    enough = GROWN_FRACTION * max(level for _, level in points)
    return next(concurrency for concurrency, level in points if level >= enough)


def learn(baseline: Baseline, *, at: float, concurrency: float, level: float, window: float) -> Baseline:
    """`baseline` with one more sample.

    Samples of a bucket closer together than a tenth of the window are left out, and closer than a window
    once there are enough, so that a bucket remembers more than the last few minutes.
    """
    index = math.floor(BUCKETS_PER_OCTAVE * math.log2(concurrency))
    old = next((item for item in baseline.buckets if item.index == index), Bucket(index, b"", -math.inf))
    young = not is_usable(baseline, window=window) or old.size < SAMPLES_FOR_A_KNOT
    if at - old.at < (window / 10 if young else window):
        return baseline
    packed = (old.samples + _PAIR.pack(concurrency, level))[-SAMPLES_PER_BUCKET * _PAIR.size :]
    others = [item for item in baseline.buckets if item.index != index]
    latest = sorted(others, key=lambda item: item.at, reverse=True)[: MAX_BUCKETS - 1]
    return replace(
        baseline,
        count=baseline.count + 1,
        first_at=baseline.first_at if baseline.count else at,
        last_at=at,
        buckets=tuple(sorted((*latest, Bucket(index, packed, at)), key=lambda item: item.index)),
    )
