from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tokenfactory.discovery.factory import read_factory
from tokenfactory.discovery.poolref import read_referenced_pool
from tokenfactory.discovery.resource import read_pool
from tokenfactory.errors import InvalidSpec
from tokenfactory.model import (
    CollapseRule,
    CostBasis,
    Factory,
    HardwareMatch,
    InvalidPool,
    LabelSelector,
    OptimizationName,
    Policy,
    Pool,
    PoolKey,
    PriceSource,
    Requirement,
    SelectorOperator,
    SelectorRule,
    TelemetryTerms,
)

METADATA = {"namespace": "serving", "name": "r1", "uid": "u", "generation": 3}
FULL: dict[str, Any] = {
    "selector": {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["x", "y"]}],
    },
    "factoryName": "gold",
    "optimizations": [
        {"name": "FP4", "policy": "Required"},
        {"name": "SpeculativeDecoding", "minimumAcceptanceLength": "1.5"},
    ],
    "objectives": {
        "costBasis": "Output",
        "maxCostPerMillionTokens": "0.20",
        "maxTimeToFirstTokenSeconds": "2",
    },
    "price": {"perGPUHour": "2.65"},
    "reference": {"name": "curve"},
    "metrics": {"port": 9000, "path": "/m"},
    "windowSeconds": 60,
    "collapse": {"fractionOfBaseline": "0.4", "forSeconds": 20},
    "projection": {"tokensPerMonth": 10_000_000_000},
    "suspend": True,
}


def test_every_field_of_a_pool_arrives() -> None:
    pool = read_pool({"metadata": METADATA, "spec": FULL})
    assert isinstance(pool, Pool)
    assert (pool.key, pool.uid, pool.generation) == (PoolKey("serving", "r1"), "u", 3)
    rule = SelectorRule("tier", SelectorOperator.IN, ("x", "y"))
    assert pool.selector == LabelSelector((("a", "1"), ("b", "2")), (rule,))
    assert pool.optimizations == (
        Requirement(name=OptimizationName.FP4, policy=Policy.REQUIRED),
        Requirement(name=OptimizationName.SPECULATIVE_DECODING, minimum_acceptance_length=1.5),
    )
    assert pool.objectives is not None
    assert (pool.objectives.cost_basis, pool.objectives.max_cost_per_million_tokens) == (
        CostBasis.OUTPUT,
        Decimal("0.20"),
    )
    assert pool.objectives.max_time_to_first_token_seconds == 2.0
    assert (pool.factory_name, pool.price_per_gpu_hour, pool.reference_name) == (
        "gold",
        Decimal("2.65"),
        "curve",
    )
    assert (pool.metrics_port, pool.metrics_path, pool.window_seconds) == (9000, "/m", 60)
    assert pool.collapse == CollapseRule(fraction_of_baseline=0.4, for_seconds=20)
    assert (pool.tokens_per_month, pool.suspend) == (10_000_000_000, True)


def test_what_a_pool_leaves_out_stays_out() -> None:
    pool = read_pool({"metadata": METADATA, "spec": {"poolRef": {"name": "gie"}}})
    assert pool == Pool(key=PoolKey("serving", "r1"), uid="u", generation=3, pool_ref="gie")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec"),
        (None, "spec"),
        ([], "spec"),
        ({"selector": {}}, "spec.selector"),
        ({"selector": {"matchLabels": {"a": "1"}}, "poolRef": {"name": "x"}}, "spec"),
        ({"selector": {"matchLabels": {"a": "1"}}, "windowSeconds": 5}, "spec.windowSeconds"),
        ({"selector": {"matchLabels": {"a": "1"}}, "price": {"perGPUHour": 2.65}}, "spec.price.perGPUHour"),
        ({"selector": {"matchLabels": {"a": "1"}}, "price": {"perGPUHour": "-1"}}, "spec.price.perGPUHour"),
    ],
)
def test_a_spec_that_can_not_be_served_names_its_field(spec: Any, field: str) -> None:
    invalid = read_pool({"metadata": METADATA, "spec": spec})
    assert isinstance(invalid, InvalidPool)
    assert (invalid.key, invalid.generation, invalid.field) == (PoolKey("serving", "r1"), 3, field)
    assert invalid.message


def test_every_field_of_a_factory_arrives() -> None:
    spec = {
        "currency": "EUR",
        "usdExchangeRate": {"perUSD": "0.92", "asOf": "2026-11-01"},
        "prices": [
            {
                "match": {"gpuProduct": "NVIDIA-H200", "instanceType": ""},
                "perGPUHour": "2.5",
                "asOf": "2026-01-01",
            }
        ],
        "ownership": [
            {
                "match": {"capacityType": "Reserved", "gpuProduct": ""},
                "purchasePricePerGPU": "32000",
                "amortizationYears": 4,
            }
        ],
        "priceOrder": ["Factory"],
        "priceBounds": {"minimumPerGPUHour": "0.1"},
        "allowPoolPrices": False,
        "power": {
            "pricePerKilowattHour": "0.08",
            "pue": "1.2",
            "provisionedKilowattsPerGPU": [{"gpuProduct": "NVIDIA-H200", "kilowatts": "1.73"}],
        },
        "references": [
            {
                "name": "c",
                "gpuProduct": "NVIDIA-GB200",
                "model": "R1",
                "precision": "FP4",
                "inputLength": 8192,
                "outputLength": 1024,
                "asOf": "2026-02-01",
                "source": "us",
                "points": [
                    {"tokensPerSecondPerUser": "75", "tokensPerSecondPerGPU": "12503"},
                    {"tokensPerSecondPerUser": "120", "tokensPerSecondPerGPU": "9356"},
                ],
            }
        ],
        "telemetry": {
            "scrapeIntervalSeconds": 20,
            "allowHostNetwork": True,
            "dcgm": {"selector": {"matchLabels": {"app": "d"}}, "port": 9401, "sampleIntervalSeconds": 10},
        },
        "defaults": {"windowSeconds": 120, "optimizations": [{"name": "FP4"}]},
    }
    factory = read_factory({"metadata": {"name": "gold", "uid": "f", "generation": 2}, "spec": spec})
    assert (factory.name, factory.uid, factory.generation, factory.currency) == ("gold", "f", 2, "EUR")
    assert factory.usd_exchange_rate is not None
    assert factory.usd_exchange_rate.per_usd == Decimal("0.92")
    assert factory.prices[0].match == HardwareMatch(gpu_product="NVIDIA-H200")
    assert (factory.prices[0].per_gpu_hour, factory.prices[0].as_of) == (Decimal("2.5"), "2026-01-01")
    assert factory.ownership[0].match == HardwareMatch(capacity_type="Reserved")
    assert (factory.ownership[0].amortization_years, factory.ownership[0].yearly_maintenance_fraction) == (
        4,
        0,
    )
    assert factory.price_order == (PriceSource.FACTORY,)
    assert (factory.minimum_per_gpu_hour, factory.maximum_per_gpu_hour) == (Decimal("0.1"), None)
    assert factory.allow_pool_prices is False
    assert factory.power.provisioned_kilowatts_per_gpu == (("NVIDIA-H200", 1.73),)
    assert factory.power.pue == 1.2
    assert [point.tokens_per_second_per_gpu for point in factory.references[0].points] == [12503.0, 9356.0]
    assert factory.telemetry == TelemetryTerms(
        scrape_interval_seconds=20,
        allow_host_network=True,
        dcgm_selectors=(LabelSelector((("app", "d"),)),),
        dcgm_port=9401,
        dcgm_sample_interval_seconds=10,
    )
    assert factory.default_window_seconds == 120
    assert factory.default_optimizations == (Requirement(name=OptimizationName.FP4),)


def test_an_empty_factory_is_the_built_in_one_under_its_own_name() -> None:
    assert read_factory({"metadata": {"name": "default"}, "spec": {}}) == Factory(name="default")


def test_an_invalid_factory_is_refused() -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_factory({"spec": {"currency": "euro"}})
    assert caught.value.field == "spec.currency"


def test_a_referenced_pool_gives_selector_and_ports() -> None:
    body = {
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "targetPorts": [
                {"number": 8000},
                {"number": 8001},
                {"number": 8000},
                {"number": 0},
                {"number": "x"},
            ],
        }
    }
    found = read_referenced_pool(body)
    assert (found.selector, found.ports) == (LabelSelector((("app", "web"),)), (8000, 8001))


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {"selector": "all"},
        {"selector": {"matchLabels": {"app": 1}}},
        {"selector": {"matchLabels": {}}},
    ],
)
def test_an_unreadable_selector_of_a_referenced_pool_selects_nothing(spec: Any) -> None:
    assert read_referenced_pool({"spec": spec}).selector.matches({"app": "1"}) is False


def test_a_label_that_can_not_be_read_does_not_widen_the_selection() -> None:
    spec = {"selector": {"matchLabels": {"app": "web", "tier": 7}}}
    assert read_referenced_pool({"spec": spec}).selector.matches({"app": "web"}) is False


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("7f3a91c2", "7f3a91c2"),
        ("7f3", ""),
        ("7F3A91C2", ""),
        ("a; b", ""),
        ("a" * 65, ""),
        (7, ""),
        (None, ""),
    ],
)
def test_the_annotation_that_accepts_a_baseline_is_an_epoch_or_nothing(written: Any, read: str) -> None:
    metadata = {**METADATA, "annotations": {"tokenfactory.dev/accept-baseline": written}}
    pool = read_pool({"metadata": metadata, "spec": {"selector": {"matchLabels": {"a": "b"}}}})
    assert isinstance(pool, Pool)
    assert pool.accept_baseline == read
