from __future__ import annotations

from typing import Any

import pytest

from tests.unit.discovery.kube import pool
from tokenfactory.discovery.terms import resolve
from tokenfactory.model import (
    CollapseRule,
    Factory,
    OptimizationName,
    Policy,
    Requirement,
    TelemetryTerms,
)

ROW = Requirement(name=OptimizationName.FP4, policy=Policy.REQUIRED)
OTHER_ROW = Requirement(name=OptimizationName.FP4, policy=Policy.IGNORED)


def test_without_any_factory_the_built_in_terms_hold() -> None:
    terms = resolve(pool(), {})
    assert terms.factory == Factory()
    assert (terms.window_seconds, terms.scrape_interval_seconds) == (300, 15.0)
    assert (terms.collapse_fraction, terms.collapse_for_seconds) == (0.5, 60.0)
    assert [(row.name, row.policy) for row in terms.requirements] == [
        (name, Policy.PREFERRED) for name in OptimizationName
    ]


def test_the_factory_named_default_is_used_when_the_pool_names_none() -> None:
    assert resolve(pool(), {"default": Factory(name="default"), "x": Factory(name="x")}).factory == Factory(
        name="default"
    )


def test_a_named_factory_that_is_missing_has_no_fallback() -> None:
    terms = resolve(
        pool(factory_name="gone"), {"default": Factory(name="default", default_window_seconds=60)}
    )
    assert terms.factory is None
    assert terms.window_seconds == 300


@pytest.mark.parametrize(
    ("of_pool", "of_factory", "expected"),
    [
        pytest.param((ROW,), (OTHER_ROW,), (ROW,), id="the pool's rows win"),
        pytest.param(None, (OTHER_ROW,), (OTHER_ROW,), id="else the factory's"),
        pytest.param((), (OTHER_ROW,), (OTHER_ROW,), id="an empty list is the same as none"),
    ],
)
def test_whose_optimizations_hold(of_pool: Any, of_factory: Any, expected: Any) -> None:
    factory = Factory(name="default", default_optimizations=of_factory)
    assert resolve(pool(optimizations=of_pool), {"default": factory}).requirements == expected


@pytest.mark.parametrize(
    ("window", "interval", "expected"),
    [
        (300, 15, 15.0),
        (30, 15, 6.0),
        (30, 5, 5.0),
        (3600, 300, 300.0),
        (300, 300, 60.0),
        (30, 300, 6.0),
        (20, 15, 5.0),
    ],
)
def test_a_page_is_read_five_times_a_window_and_never_under_five_seconds(
    window: int, interval: int, expected: float
) -> None:
    factory = Factory(telemetry=TelemetryTerms(scrape_interval_seconds=interval))
    assert resolve(pool(window_seconds=window), {"default": factory}).scrape_interval_seconds == expected


@pytest.mark.parametrize(
    ("of_pool", "of_factory", "expected"),
    [
        (CollapseRule(), CollapseRule(), (0.5, 12.0)),
        (CollapseRule(), CollapseRule(fraction_of_baseline=0.3, for_seconds=9), (0.3, 9.0)),
        (CollapseRule(fraction_of_baseline=0.7), CollapseRule(fraction_of_baseline=0.3), (0.7, 12.0)),
        (CollapseRule(for_seconds=20), CollapseRule(for_seconds=9), (0.5, 20.0)),
    ],
)
def test_each_half_of_the_collapse_rule_falls_back_by_itself(
    of_pool: CollapseRule, of_factory: CollapseRule, expected: tuple[float, float]
) -> None:
    factory = Factory(default_collapse=of_factory, default_window_seconds=60)
    terms = resolve(pool(collapse=of_pool), {"default": factory})
    assert (terms.collapse_fraction, terms.collapse_for_seconds) == expected


@pytest.mark.parametrize("named", [None, "default"], ids=["not named", "named"])
def test_a_default_factory_that_is_refused_gives_no_price_and_no_fallback(named: str | None) -> None:
    assert resolve(pool(factory_name=named), {}, broken={"default"}).factory is None
    assert resolve(pool(factory_name=named), {}, broken={"another"}).factory == (None if named else Factory())
