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
from itertools import pairwise

BUCKETS_PER_OCTAVE = 2
SAMPLES_PER_BUCKET = 16
SAMPLES_FOR_A_KNOT = 6
SAMPLES_FOR_USE = 20
WINDOWS_FOR_USE = 4
WINDOWS_KEPT = 2016
MOST_WINDOWS_BETWEEN = 128
MAX_BUCKETS = 16
GROWN_FRACTION = 0.9
MOST_CONCURRENT, HIGHEST_LEVEL = 1e6, 1e9

PAIR = struct.Struct("<ff")
Knot = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Samples of one half octave, packed (concurrency, tokens/s/GPU) pairs, oldest first; `knot` is their
    median. Once it is full every other sample goes and the next ones come half as often (`stride` windows
    apart), so that it spans up to a week of windows of 300 s.
    """

    index: int
    samples: bytes
    at: float
    stride: int
    knot: Knot

    @property
    def size(self) -> int:
        return len(self.samples) // PAIR.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What one role did in one configuration epoch on one GPU product: at most 16 buckets of 16 samples.

    `accepted`: it is the pool's level, and not a candidate that is judged against its predecessor's.
    `knots` are (concurrency, level) of the well-filled buckets, by rising concurrency.
    """

    epoch: str
    role: str = ""
    product: str = ""
    accepted: bool = False
    count: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    buckets: tuple[Bucket, ...] = ()
    knots: tuple[Knot, ...] = ()


def median_of(samples: bytes) -> Knot:
    """(concurrency, level), each the median of the packed samples."""
    pairs = list(PAIR.iter_unpack(samples))
    return _median(pair[0] for pair in pairs), _median(pair[1] for pair in pairs)


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def find_knots(buckets: Iterable[Bucket]) -> tuple[Knot, ...]:
    return tuple(sorted(item.knot for item in buckets if item.size >= SAMPLES_FOR_A_KNOT))


def is_usable(baseline: Baseline, *, window: float) -> bool:
    """At least 20 samples that span at least 4 windows (seconds), six of them in one bucket."""
    return (
        baseline.count >= SAMPLES_FOR_USE
        and baseline.last_at - baseline.first_at >= WINDOWS_FOR_USE * window
        and bool(baseline.knots)
    )


def level_at(baseline: Baseline, concurrency: float) -> float:
    """Output tokens/s per ready GPU to expect at `concurrency` per replica. Needs a knot."""
    points = baseline.knots
    lowest, highest = points[0], points[-1]
    if concurrency <= lowest[0]:
        return lowest[1] * max(concurrency, 0.0) / lowest[0]
    if concurrency >= highest[0]:
        return highest[1]
    for (left, low), (right, high) in pairwise(points):
        if concurrency <= right:
            share = math.log2(concurrency / left) / math.log2(right / left)
            return low + (high - low) * share
    return highest[1]


def peak_of(baseline: Baseline) -> float:
    """The highest level that was learned."""
    return max(level for _, level in baseline.knots)


def saturation_of(baseline: Baseline) -> float:
    """The concurrency per replica from which the level is within 10 % of its maximum. Needs a knot."""
    enough = GROWN_FRACTION * peak_of(baseline)
    return next(concurrency for concurrency, level in baseline.knots if level >= enough)


def compare(baseline: Baseline, predecessor: Baseline) -> float:
    """The level of `baseline` over that of `predecessor` at the same concurrency: the median of its knots."""
    return _median(level / level_at(predecessor, concurrency) for concurrency, level in baseline.knots)


def learn(baseline: Baseline, *, at: float, concurrency: float, level: float, window: float) -> Baseline:
    """`baseline` with one more sample.

    Samples of a bucket come at least a tenth of a window apart, and further apart once there are enough, so
    that a bucket remembers more than the last few minutes. A candidate forgets what is older than its latest.
    """
    concurrency, level = min(concurrency, MOST_CONCURRENT), min(level, HIGHEST_LEVEL)
    index = math.floor(BUCKETS_PER_OCTAVE * math.log2(concurrency))
    old = next((item for item in baseline.buckets if item.index == index), None)
    if old is None:
        old = Bucket(index, b"", -math.inf, 1, (0.0, 0.0))
    young = old.size < SAMPLES_FOR_A_KNOT or not is_usable(baseline, window=window)
    if at - old.at < (window / 10 if young else window * old.stride):
        return baseline
    samples, stride = old.samples + PAIR.pack(concurrency, level), old.stride
    if len(samples) > SAMPLES_PER_BUCKET * PAIR.size:
        if baseline.accepted:
            samples, stride = _thin(samples), min(2 * stride, MOST_WINDOWS_BETWEEN)
        else:
            samples = samples[PAIR.size :]
    others = [item for item in baseline.buckets if item.index != index]
    latest = sorted(others, key=lambda item: item.at, reverse=True)[: MAX_BUCKETS - 1]
    grown = Bucket(index, samples, at, stride, median_of(samples))
    buckets = tuple(sorted((*latest, grown), key=lambda item: item.index))
    return replace(
        baseline,
        count=baseline.count + 1,
        first_at=baseline.first_at if baseline.count else at,
        last_at=at,
        buckets=buckets,
        knots=find_knots(buckets),
    )


def _thin(samples: bytes) -> bytes:
    """Every other sample, the newest kept."""
    pairs = [samples[i : i + PAIR.size] for i in range(0, len(samples), PAIR.size)]
    return b"".join(pairs[(len(pairs) + 1) % 2 :: 2])
