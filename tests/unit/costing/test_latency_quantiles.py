"""Quantiles as Prometheus computes them."""

from __future__ import annotations

from array import array
from math import inf

import pytest

from tokenfactory.costing.latency import find_latency, interpolate, sum_slices
from tokenfactory.costing.ledger import Gains, LatencySlice
from tokenfactory.costing.window import Span
from tokenfactory.measure import Absence, Grade, Known, Missing
from tokenfactory.model import Histogram

BUCKETS = ((0.1, 10.0), (0.2, 30.0), (0.4, 40.0), (inf, 40.0))


@pytest.mark.parametrize(
    ("quantile", "expected"), [(0.25, 0.1), (0.5, 0.15), (0.125, 0.05), (0.875, 0.3), (1.0, 0.4)]
)
def test_a_quantile_is_interpolated_within_its_bucket(quantile: float, expected: float) -> None:
    assert interpolate(quantile, BUCKETS) == (pytest.approx(expected), Grade.MEASURED)


def test_beyond_the_last_finite_bound_the_answer_is_that_bound_and_an_estimate() -> None:
    assert interpolate(0.99, ((0.1, 1.0), (0.2, 2.0), (inf, 100.0))) == (0.2, Grade.ESTIMATED)


@pytest.mark.parametrize("buckets", [(), ((inf, 5.0),), ((0.1, 0.0), (inf, 0.0))])
def test_without_observations_there_is_no_quantile(buckets: tuple[tuple[float, float], ...]) -> None:
    assert interpolate(0.5, buckets) is None


def test_a_dip_between_buckets_of_different_engines_is_made_monotone() -> None:
    assert interpolate(0.5, ((0.1, 10.0), (0.2, 8.0), (inf, 10.0))) == (pytest.approx(0.05), Grade.MEASURED)


def test_no_observation_is_no_traffic_and_no_family_is_not_exported() -> None:
    found = find_latency({}, families=frozenset({Histogram.QUEUE}), seconds=300)
    assert found[Histogram.QUEUE].p50 == Missing(Absence.NO_TRAFFIC)
    assert found[Histogram.TIME_TO_FIRST_TOKEN].p99 == Missing(Absence.NOT_EXPORTED)


def test_gains_of_the_window_alone_make_the_quantile() -> None:
    ttft = Histogram.TIME_TO_FIRST_TOKEN
    names = ((ttft, 1.0), (ttft, 2.0), (ttft, inf))
    old = LatencySlice(0, 10, (Gains(names, array("d", (100, 100, 100))),))
    few = array("d", (0, 2, 2))
    new = LatencySlice(20, 30, (Gains(names, few), Gains(names[:2] + names[2:], few)))
    gains = sum_slices((old, new), Span(15, 30))
    p50 = find_latency(gains, families=frozenset({ttft}), seconds=15)[ttft].p50
    assert isinstance(p50, Known)
    assert p50.value == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("in_first", "in_second", "p50", "p99"),
    [(100.0, 100.0, None, None), (98.0, 100.0, None, 0.4), (10.0, 100.0, 0.3 + 0.2 * 40 / 90, 0.4978)],
    ids=["nobody waits", "a few wait", "most wait"],
)
def test_a_wait_within_the_first_bucket_is_not_told(
    in_first: float, in_second: float, p50: float | None, p99: float | None
) -> None:
    queue = Histogram.QUEUE
    gains = {(queue, 0.3): in_first, (queue, 0.5): in_second, (queue, inf): in_second}
    found = find_latency(gains, families=frozenset({queue}), seconds=60)[queue]
    for measure, value in ((found.p50, p50), (found.p99, p99)):
        if value is None:
            assert measure == Missing(Absence.BELOW_RESOLUTION, "within the first bucket, up to 0.3 s")
        else:
            assert isinstance(measure, Known)
            assert measure.value == pytest.approx(value, rel=1e-3)
