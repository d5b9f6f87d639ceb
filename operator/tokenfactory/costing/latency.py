"""Quantiles from bucket gains, as Prometheus' histogram_quantile computes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf, isinf
from operator import add

from tokenfactory.costing.counters import Snapshot
from tokenfactory.costing.ledger import LatencySlice
from tokenfactory.costing.window import Span, overlap
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing
from tokenfactory.model import WINDOWED, Bucket, Histogram, Quantiles, Signal

SOURCE = "engine histogram, docs/cost-model.md §15"
OF_CLIENTS = "frontend histogram, docs/cost-model.md §15"
SLOWEST, LEAST_REQUESTS = 0.99, 100.0
SEEN_BY_CLIENTS = (Histogram.TIME_TO_FIRST_TOKEN, Histogram.INTER_TOKEN_LATENCY)


def sum_slices(slices: Iterable[LatencySlice], span: Span) -> dict[Bucket, float]:
    """Bucket gains within the span."""
    sums: dict[int, tuple[tuple[Bucket, ...], list[float]]] = {}
    for piece in slices:
        fraction = overlap(piece.start, piece.end, span)
        for names, gains in piece.parts if fraction > 0 else ():
            part = gains if fraction == 1.0 else [gain * fraction for gain in gains]
            before = sums.get(id(names))
            sums[id(names)] = (names, list(part) if before is None else list(map(add, before[1], part)))
    total: dict[Bucket, float] = {}
    for names, gains_of in sums.values():
        for bucket, gain in zip(names, gains_of, strict=True):
            total[bucket] = total.get(bucket, 0.0) + gain
    return total


def find_latency(
    gains: Mapping[Bucket, float], *, families: frozenset[Signal | Histogram], seconds: float
) -> dict[Histogram, Quantiles]:
    """p50 and p99 in seconds of every histogram of the window; absent without observations."""
    found: dict[Histogram, Quantiles] = {}
    for histogram in WINDOWED:
        buckets = sorted((bound, gain) for (kind, bound), gain in gains.items() if kind is histogram)
        if not buckets and histogram not in families:
            absent = Missing(Absence.NOT_EXPORTED)
            found[histogram] = Quantiles(p50=absent, p99=absent)
            continue
        read = _measure_wait if histogram is Histogram.QUEUE else _measure
        found[histogram] = Quantiles(
            p50=read(0.5, buckets, seconds=seconds), p99=read(0.99, buckets, seconds=seconds)
        )
    return found


def find_slowest(snapshot: Snapshot | None) -> float | None:
    """The 99th percentile of whole requests since the engine started; None until a hundred have finished.

    Over its whole life, not over the window: an engine that hangs finishes none.
    """
    if snapshot is None:
        return None
    sums: dict[float, float] = {}
    rows = zip(snapshot.layout.outline.rows, snapshot.values, strict=True)
    for (kind, _, bound), value in rows:
        if kind is Histogram.END_TO_END and bound is not None:
            sums[bound] = sums.get(bound, 0.0) + value
    buckets = sorted(sums.items())
    if not buckets or buckets[-1][1] < LEAST_REQUESTS:
        return None
    found = interpolate(SLOWEST, buckets)
    return found[0] if found else None


def as_clients_see_it(
    found: Mapping[Histogram, Quantiles], gains: Mapping[Bucket, float], *, seconds: float
) -> dict[Histogram, Quantiles]:
    """The latency with the frontends' histograms in place of the engines', as far as they observed any."""
    seen = find_latency(gains, families=frozenset(SEEN_BY_CLIENTS), seconds=seconds)
    return {
        histogram: Quantiles(p50=_resource(own.p50), p99=_resource(own.p99))
        if histogram in SEEN_BY_CLIENTS and isinstance((own := seen[histogram]).p50, Known)
        else quantiles
        for histogram, quantiles in found.items()
    }


def _resource(measure: Measure[float]) -> Measure[float]:
    return replace(measure, source=OF_CLIENTS) if isinstance(measure, Known) else measure


def interpolate(quantile: float, buckets: Sequence[tuple[float, float]]) -> tuple[float, Grade] | None:
    """The quantile of cumulative (upper bound, count) pairs in rising order; None without observations.

    Linear within a bucket, the first one beginning at 0. In the +Inf bucket the answer is the highest
    finite bound, which is an estimate from below. Counts are made monotone first.
    """
    steady: list[tuple[float, float]] = []
    highest = 0.0
    for bound, count in buckets:
        highest = max(highest, count)
        steady.append((bound, highest))
    if len(steady) < 2 or not isinf(steady[-1][0]) or highest <= 0:
        return None
    rank = quantile * highest
    index = next(i for i, (_, count) in enumerate(steady) if count >= rank)
    if isinf(steady[index][0]):
        return steady[-2][0], Grade.ESTIMATED
    bound, count = steady[index]
    lower, below = steady[index - 1] if index else (min(0.0, bound), 0.0)
    if index == 0 and bound <= 0:
        return bound, Grade.MEASURED
    width = count - below
    return lower + (bound - lower) * ((rank - below) / width if width > 0 else 1.0), Grade.MEASURED


def _measure(quantile: float, buckets: list[tuple[float, float]], *, seconds: float) -> Measure[float]:
    if buckets and buckets[-1][0] != inf:
        buckets = [*buckets, (inf, buckets[-1][1])]
    found = interpolate(quantile, buckets)
    if found is None:
        return Missing(Absence.NO_TRAFFIC)
    value, grade = found
    return Known(value=value, basis="seconds", source=SOURCE, grade=grade, window_seconds=seconds)


def _measure_wait(quantile: float, buckets: list[tuple[float, float]], *, seconds: float) -> Measure[float]:
    """A wait that the first bucket holds is not told: most requests do not wait at all, and vLLM's first
    bound is 0.3 s, so that interpolating from 0 would make 0.15 s of no queue.
    """
    found = _measure(quantile, buckets, seconds=seconds)
    if isinstance(found, Known) and found.value <= buckets[0][0]:
        return Missing(Absence.BELOW_RESOLUTION, f"within the first bucket, up to {buckets[0][0]:g} s")
    return found
