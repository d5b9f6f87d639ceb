"""How a pool compares with a dated curve (docs/cost-model.md §9)."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pytest

from tests.unit.costing.synthetic import POOL, TERMS
from tokenfactory.costing.curves import CURVES
from tokenfactory.costing.reference import Demand, compare, find_reference, interpolate_curve
from tokenfactory.measure import Absence, Known, Measure, Missing
from tokenfactory.model import ReferencePoint

NAME = "inferencex-deepseek-r1-fp4-8k1k-gb200-nvl72"
BUSY = Demand(waited=True, idle_share=0.0, concurrency=32.0)


def known(value: float) -> Known[float]:
    return Known(value=value, basis="", source="")


PER_GPU, PER_USER = known(6000.0), known(120.0)


def ask(
    *,
    name: str | None = NAME,
    products: tuple[str, ...] = ("NVIDIA-GB200",),
    per_gpu: Measure[float] = PER_GPU,
    per_user: Measure[float] = PER_USER,
    demand: Demand = BUSY,
) -> Measure[float]:
    pool = replace(POOL, reference_name=name)
    return compare(pool, TERMS, products=products, per_gpu=per_gpu, per_user=per_user, demand=demand)


def test_at_a_measured_point_the_ratio_is_plain() -> None:
    found = ask()
    assert isinstance(found, Known)
    assert found.value == pytest.approx(6000 / 9356)


def test_between_two_points_the_curve_is_straight_in_logarithms() -> None:
    points = (
        ReferencePoint(tokens_per_second_per_user=10, tokens_per_second_per_gpu=1000),
        ReferencePoint(tokens_per_second_per_user=40, tokens_per_second_per_gpu=10),
    )
    assert interpolate_curve(points, 20) == pytest.approx(sqrt(1000 * 10))
    assert interpolate_curve(points, 9.99) is None
    assert interpolate_curve(points, 40.01) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (ask(name=None), Absence.NOT_CONFIGURED),
        (ask(name="nobody"), Absence.REFERENCE_NOT_FOUND),
        (ask(products=("NVIDIA-GB200", "NVIDIA-H200")), Absence.REFERENCE_NOT_FOUND),
        (ask(products=()), Absence.REFERENCE_NOT_FOUND),
        (ask(per_user=known(20.0)), Absence.OUTSIDE_CURVE),
        (ask(per_user=known(200.0)), Absence.OUTSIDE_CURVE),
        (ask(per_user=Missing(Absence.NO_TRAFFIC)), Absence.NO_TRAFFIC),
        (ask(demand=Demand(waited=False, idle_share=0.5, concurrency=32.0)), Absence.DEMAND_LIMITED),
        (ask(demand=Demand(waited=False, idle_share=0.0, concurrency=0.4)), Absence.DEMAND_LIMITED),
    ],
    ids=[
        "no reference is named",
        "the name is unknown",
        "one product of the pool is another one",
        "the product is not known",
        "slower than the curve",
        "faster than the curve",
        "no traffic",
        "idle and nothing waits",
        "less than one sequence and nothing waits",
    ],
)
def test_without_a_fair_comparison_there_is_none(found: Measure[float], reason: Absence) -> None:
    assert isinstance(found, Missing)
    assert found.reason is reason


def test_waiting_requests_show_that_demand_is_not_the_limit() -> None:
    assert isinstance(ask(demand=Demand(waited=True, idle_share=0.5, concurrency=0.4)), Known)


def test_the_factorys_own_curve_comes_before_a_built_in_one() -> None:
    own = replace(CURVES[0], name=NAME)
    assert TERMS.factory is not None
    assert find_reference(NAME, replace(TERMS.factory, references=(own,))) is own
    assert find_reference(NAME, None) is not own


def test_every_built_in_curve_is_dated_and_speaks_of_speed_per_user() -> None:
    assert len({curve.name for curve in CURVES}) == len(CURVES)
    for curve in CURVES:
        assert curve.as_of
        assert all(p.tokens_per_second_per_user > 0 and p.tokens_per_second_per_gpu > 0 for p in curve.points)
