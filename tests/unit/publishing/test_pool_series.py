"""The series of the pools on /metrics: names and labels of the design, absent instead of zero, bounded."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tests.support.subjects import (
    ABSENT,
    KEY,
    NOW,
    closed,
    economics,
    known,
    objective,
    subject,
    verdict,
)
from tokenfactory.model import FailureReason, Finding, Increments, PoolKey, PriceQuote, Tokens
from tokenfactory.publishing.metrics import PoolMetrics, exposition
from tokenfactory.publishing.operator_metrics import OperatorMetrics

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

NAMES = """
tokens_total type | cost_total currency share | gpu_seconds_total share | energy_joules_total basis
cost_per_million_tokens basis currency | cost_per_hour currency | price_per_gpu_hour source currency
tokens_per_second type | tokens_per_second_per_gpu | tokens_per_second_per_megawatt basis | gpus kind
power_watts basis | latency_seconds kind quantile | efficiency_ratio of | acceptance_length
optimization_state optimization state | denominator_state state | condition type status | replicas kind
objective_met objective | energy_coverage_ratio | energy_valid | findings cause
findings_cost_per_hour cause currency
last_observation_timestamp_seconds
"""


def page(registry: CollectorRegistry) -> Series:
    found: Series = {}
    for family in text_string_to_metric_families(exposition(registry).decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"twice on the page: {key}"
            found[key] = sample.value
    return found


def value(series: Series, name: str, **labels: str) -> float | None:
    wanted = {"namespace": "serving", "pool": "deepseek-r1", **labels}
    return series.get((f"tokenfactory_pool_{name}", tuple(sorted(wanted.items()))))


def increments(**changes: Any) -> Increments:
    found = Increments(
        tokens=Tokens(uncached_input=100.0, cached_input=20.0, output=80.0),
        cost_by_share={"serving": Decimal("0.1"), "idle": Decimal("0.2"), "loading": Decimal("0.3")},
        gpu_seconds_by_share={"serving": 10.0, "idle": 5.0, "loading": 1.0},
        joules_by_basis={"measured": 900.0, "provisioned": 2000.0},
    )
    return replace(found, **changes)


def full(**changes: Any) -> Any:
    told = verdict(
        objectives=(objective("cost", True), objective("ttft", False), objective("itl", None)),
    )
    return subject(economics=economics(increments=increments()), verdict=told, **changes)


def recorded(*subjects: Any, key: PoolKey = KEY) -> tuple[CollectorRegistry, PoolMetrics]:
    registry = CollectorRegistry()
    metrics = PoolMetrics(registry)
    for found in subjects:
        metrics.record(key, found)
    return registry, metrics


def test_the_names_and_labels_are_those_of_the_design_and_no_other() -> None:
    wanted = {}
    for entry in NAMES.replace("\n", "|").split("|"):
        if entry.strip():
            name, *labels = entry.split()
            wanted[f"tokenfactory_pool_{name}"] = {"namespace", "pool", *labels}
    series = page(recorded(full())[0])
    found = {name: {label for label, _ in labels} for name, labels in series}
    found.pop("tokenfactory_dropped_series_total")
    assert found == wanted


def test_values_are_unrounded() -> None:
    series = page(recorded(full())[0])
    assert value(series, "tokens_per_second", type="cached_input") == 48_000.0 * 0.1
    per_million = value(series, "cost_per_million_tokens", basis="total", currency="USD")
    assert per_million == pytest.approx(2.5 / (3000 * 0.0036), rel=1e-12)
    assert value(series, "price_per_gpu_hour", source="Pool", currency="USD") == 2.5
    assert value(series, "latency_seconds", kind="ttft", quantile="0.99") == 0.5
    assert value(series, "power_watts", basis="provisioned") == 27_680.0
    assert value(series, "acceptance_length") == 1.9
    assert value(series, "last_observation_timestamp_seconds") == NOW
    assert value(series, "denominator_state", state="Healthy") == 1
    assert value(series, "condition", type="Ready", status="True") == 1
    assert value(series, "energy_valid") == 1


def test_counters_add_up_over_cycles_and_exactly_for_money() -> None:
    series = page(recorded(*[full()] * 10)[0])
    assert value(series, "tokens_total", type="output") == 800
    assert value(series, "cost_total", currency="USD", share="serving") == 1.0
    assert value(series, "cost_total", currency="USD", share="loading") == 3.0
    assert value(series, "gpu_seconds_total", share="idle") == 50
    assert value(series, "energy_joules_total", basis="measured") == 9000


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")])
def test_a_counter_never_falls_and_never_takes_a_figure_that_is_none(amount: float) -> None:
    bad = subject(economics=economics(increments=increments(gpu_seconds_by_share={"serving": amount})))
    series = page(recorded(full(), bad)[0])
    assert value(series, "gpu_seconds_total", share="serving") == 10


def test_what_is_unknown_has_no_series() -> None:
    figures = economics(
        of_reference=ABSENT,
        price=PriceQuote(per_gpu_hour=ABSENT),
        cost=replace(economics().cost, per_hour=ABSENT, per_million={}),
        throughput=replace(economics().throughput, per_gpu=known(float("nan"))),
        measured=replace(economics().measured, watts=ABSENT),
    )
    series = page(recorded(subject(economics=figures))[0])
    names = {name.removeprefix("tokenfactory_pool_") for name, _ in series}
    assert not {"cost_per_hour", "cost_per_million_tokens", "price_per_gpu_hour"} & names
    assert "tokens_per_second_per_gpu" not in names
    assert value(series, "efficiency_ratio", of="reference") is None
    assert value(series, "efficiency_ratio", of="baseline") == 0.97
    assert value(series, "power_watts", basis="measured") is None
    assert value(series, "energy_valid") == 0


def test_an_objective_that_can_not_be_judged_is_absent() -> None:
    series = page(recorded(full())[0])
    assert value(series, "objective_met", objective="cost") == 1
    assert value(series, "objective_met", objective="ttft") == 0
    assert value(series, "objective_met", objective="itl") is None


@pytest.mark.parametrize("reason", ["Suspended", "InvalidSpec"])
def test_a_pool_that_is_not_measured_keeps_counters_and_conditions_and_drops_gauges(reason: str) -> None:
    series = page(recorded(full(), closed(reason))[0])
    names = {
        name.removeprefix("tokenfactory_pool_") for name, labels in series if ("pool", KEY.name) in labels
    }
    assert names == {
        "tokens_total",
        "cost_total",
        "gpu_seconds_total",
        "energy_joules_total",
        "condition",
        "denominator_state",
    }
    assert value(series, "tokens_total", type="output") == 80


def test_an_old_state_leaves_no_series_behind() -> None:
    from tokenfactory.model import DenominatorState

    later = subject(verdict=verdict(DenominatorState.THROUGHPUT_COLLAPSED))
    series = page(recorded(full(), later)[0])
    assert value(series, "denominator_state", state="Healthy") is None
    assert value(series, "denominator_state", state="ThroughputCollapsed") == 1


def test_churning_through_many_pools_leaves_nothing_behind() -> None:
    registry, metrics = recorded(full())
    before = page(registry)
    for index in range(2000):
        key = PoolKey("tenant", f"pool-{index}")
        metrics.record(key, full())
        metrics.forget(key)
    metrics.forget(PoolKey("tenant", "never-seen"))
    assert page(registry) == before


def test_series_over_the_cap_are_dropped_and_counted_and_come_back_with_room() -> None:
    registry = CollectorRegistry()
    alone = len(page(recorded(full())[0])) - 1
    metrics = PoolMetrics(registry, largest=alone + 10)
    metrics.record(KEY, full())
    other = PoolKey("tenant", "late")
    metrics.record(other, full())
    series = page(registry)
    assert len(series) - 1 == alone + 10
    assert series["tokenfactory_dropped_series_total", ()] == alone - 10
    metrics.forget(KEY)
    metrics.record(other, full())
    assert len(page(registry)) - 1 == alone


def test_hostile_words_never_become_label_values() -> None:
    told = verdict(
        findings=tuple(
            Finding(cause=cause, message="m")
            for cause in ('x"} 1\n', "sk-secret", "<script>", *(f"Made{index}Up" for index in range(100)))
        )
    )
    quote = replace(economics().price, currency='"}\n')
    series = page(recorded(subject(verdict=told, economics=economics(price=quote)))[0])
    causes = [dict(labels)["cause"] for name, labels in series if name.endswith("_findings")]
    assert len(causes) <= 20
    assert all(cause.isalnum() for cause in causes)
    assert value(series, "cost_per_hour", currency="XXX") == 40


def test_the_operators_own_series_have_the_names_of_the_design() -> None:
    registry = CollectorRegistry()
    own = OperatorMetrics(registry, version="0.1.0")
    own.observe_cycle(0.02)
    with own.stage("scrape"):
        pass
    own.count_scrape(None)
    own.count_scrape(FailureReason.TIMED_OUT)
    own.count_status_write("written")
    own.count_request("patch", "inferencepools", "200")
    own.count_request("brew", "a tenant's\nname", "error")
    own.count_bug()
    own.set_informer_age("pods", 2.5)
    own.set_last_sweep(NOW)
    own.set_leader(1)
    series = page(registry)
    assert {name for name, _ in series} == {
        *(f"tokenfactory_cycle_duration_seconds_{part}" for part in ("bucket", "count", "sum")),
        *(f"tokenfactory_stage_duration_seconds_{part}" for part in ("bucket", "count", "sum")),
        "tokenfactory_scrapes_total",
        "tokenfactory_status_writes_total",
        "tokenfactory_api_requests_total",
        "tokenfactory_internal_errors_total",
        "tokenfactory_informer_age_seconds",
        "tokenfactory_last_sweep_timestamp_seconds",
        "tokenfactory_leader",
        "tokenfactory_build_info",
    }
    requests = "tokenfactory_api_requests_total"
    known_one = (("code", "200"), ("resource", "inferencepools"), ("verb", "patch"))
    assert series[requests, known_one] == 1
    assert series[requests, (("code", "error"), ("resource", "other"), ("verb", "other"))] == 1
    assert series["tokenfactory_scrapes_total", (("outcome", "ok"),)] == 1
    assert series["tokenfactory_scrapes_total", (("outcome", "TimedOut"),)] == 1
    assert series["tokenfactory_informer_age_seconds", (("resource", "pods"),)] == 2.5
    assert series["tokenfactory_status_writes_total", (("outcome", "skipped"),)] == 0
    assert series["tokenfactory_leader", ()] == 1
    own.set_leader(0)
    assert page(registry)["tokenfactory_leader", ()] == 0
