"""What stands in the status of a pool: the fields of the CRD, 4 digits, nothing that is not known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.support import subjects
from tests.support.subjects import ABSENT, NOW, closed, economics, known, subject, verdict
from tokenfactory.api.poolstatus import InferencePoolStatus
from tokenfactory.model import (
    CostBasis,
    DenominatorState,
    EngineEvidence,
    Finding,
    Fleet,
    OptimizationState,
    PriceQuote,
    Truth,
)
from tokenfactory.publishing.status import LARGEST_DOCUMENT, published_condition, render, size_of

STAMP = "2027-01-15T08:00:00Z"


def paths(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from paths(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, f"{path}[]")
    else:
        yield path, value


def test_a_full_status_says_all_that_is_known_in_the_crds_own_names() -> None:
    document = render(subject(), None)
    InferencePoolStatus.model_validate(document)
    assert document["observedGeneration"] == 1
    assert document["observationTime"] == STAMP
    assert document["windowSeconds"] == 300
    assert document["optimizationsActive"] == "3/4"
    assert document["serving"] == {
        "engine": "vllm",
        "engineVersion": "0.10.1",
        "model": "deepseek-ai/DeepSeek-R1",
        "roles": [{"name": "aggregated", "replicas": 2, "gpus": "16"}],
        "replicas": 2,
        "coverage": "2/2",
    }
    assert document["cost"]["perMillionTokens"] == "0.2315"
    assert document["cost"]["perGPUHour"] == "2.5"
    assert document["cost"]["priceSource"] == "Pool"
    assert document["throughput"] == {
        "tokensPerSecond": "48000",
        "inputTokensPerSecond": "28800",
        "outputTokensPerSecond": "19200",
        "tokensPerSecondPerGPU": "3000",
        "cachedInputShare": "0.1667",
        "tokensPerSecondPerUser": "75.25",
        "concurrency": "200",
    }
    assert document["energy"]["provisioned"]["kilowatts"] == "27.68"
    assert document["energy"]["measured"]["watts"] == "9000"
    assert document["latency"]["queueSeconds"] == {"p50": "0.1", "p99": "0.5"}
    assert document["efficiency"] == {"ofReference": "0.62", "ofBaseline": "0.97", "load": "0.5"}
    assert document["gpus"]["throttledShare"] == "0"


def test_every_field_of_the_schema_can_be_filled_and_no_other_is_made() -> None:
    full = subject(
        economics=economics(
            cost=replace(
                economics().cost,
                projected_per_month=known(Decimal("42000")),
                per_million_input=known(Decimal("0.1")),
                per_million_output=known(Decimal("0.9")),
            ),
            measured=replace(economics().measured, grams_co2_per_million_tokens=known(12.0)),
            provisioned=replace(economics().provisioned, grams_co2_per_million_tokens=known(12.0)),
        ),
        verdict=verdict(
            rows=tuple(
                replace(row, observed="method=mtp", saving=known(Decimal("0.04"))) for row in subjects.rows()
            )
        ),
        inspected=speculating(),
    )
    made = {path.replace("[]", "") for path, _ in paths(render(full, None))}
    assert made == {path for path in schema_leaves() if path != ".findings.pool"}


def speculating() -> Any:
    from tokenfactory.model import Declaration, DeclarationState, OptimizationName

    declared = Declaration(
        optimization=OptimizationName.MULTI_TOKEN_PREDICTION, state=DeclarationState.DECLARED, method="mtp"
    )
    return tuple(replace(item, declarations=(declared,)) for item in subjects.inspected())


def schema_leaves() -> set[str]:
    schema = InferencePoolStatus.model_json_schema(by_alias=True)

    def walk(node: Mapping[str, Any], path: str) -> Iterator[str]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].split("/")[-1]]
        options = [option for option in node.get("anyOf", [node]) if option.get("type") != "null"]
        for option in options:
            if "$ref" in option:
                yield from walk(option, path)
            elif option.get("type") == "array":
                yield from walk(option["items"], path)
            elif "properties" in option:
                for name, item in option["properties"].items():
                    yield from walk(item, f"{path}.{name}")
            else:
                yield path

    return set(walk(schema, ""))


def test_findings_come_most_expensive_first_and_those_without_a_price_last() -> None:
    causes = [row["cause"] for row in render(subject(), None)["findings"]]
    assert causes == ["PrefixCacheOff", "IdleGPUs", "PodsShared"]


def test_no_price_means_no_money_but_tokens_and_efficiency_are_there() -> None:
    costless = replace(economics().cost, per_million=dict.fromkeys(CostBasis, ABSENT), per_hour=ABSENT)
    found = economics(price=PriceQuote(per_gpu_hour=ABSENT), cost=costless)
    document = render(subject(economics=found), None)
    assert "cost" not in document
    assert document["throughput"]["tokensPerSecond"] == "48000"
    assert document["efficiency"]["ofReference"] == "0.62"


def test_an_idle_pool_has_no_cost_per_million_and_a_cost_per_hour() -> None:
    idle = replace(economics().cost, per_million=dict.fromkeys(CostBasis, ABSENT))
    cost = render(subject(economics=economics(cost=idle)), None)["cost"]
    assert "perMillionTokens" not in cost
    assert cost["perHour"] == "40"


@pytest.mark.parametrize("reason", ["Suspended", "InvalidSpec", "PoolRefNotFound"])
def test_a_pool_that_is_not_measured_keeps_conditions_and_loses_every_number(reason: str) -> None:
    document = render(closed(reason), render(subject(), None))
    InferencePoolStatus.model_validate(document)
    assert set(document) == {"observedGeneration", "conditions", "observationTime"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300, 1e-300])
def test_a_figure_that_can_not_be_real_is_absent(value: float) -> None:
    found = economics(throughput=replace(economics().throughput, per_gpu=known(value)))
    document = render(subject(economics=found), None)
    InferencePoolStatus.model_validate(document)
    assert "tokensPerSecondPerGPU" not in document["throughput"]


def test_nothing_rendered_is_null_empty_or_a_float() -> None:
    for path, value in paths(render(subject(), None)):
        assert value not in (None, ""), path
        assert not isinstance(value, float), path


@pytest.mark.parametrize(
    "name",
    [
        "s3://user:secret@bucket/model",
        "https://bucket.example/model",
        "model\nwith a second line",
        "\x1b[31mred",
        "m" * 400,
        "key=sk-secret",
    ],
)
def test_a_model_name_that_could_carry_a_secret_or_a_control_code_is_left_out(name: str) -> None:
    evidence = tuple(replace(item, model=name) for item in economics().evidence)
    document = render(
        subject(economics=economics(evidence=evidence), inspected=()),
        None,
    )
    assert "model" not in document["serving"]


def test_two_models_in_one_pool_are_both_named_in_one_scalar() -> None:
    (first,) = economics().evidence
    evidence: tuple[EngineEvidence, ...] = (first, replace(first, model="Qwen3"))
    serving = render(subject(economics=economics(evidence=evidence)), None)["serving"]
    assert serving["model"] == "Qwen3, deepseek-ai/DeepSeek-R1"


def test_a_hostile_and_huge_verdict_stays_within_32_kib_and_within_the_schema() -> None:
    nasty = '"\\\x00\x1b[2J\u202e' + "é" * 5000
    told = verdict(
        findings=tuple(
            Finding(cause="IdleGPUs", message=nasty, cost_per_hour=Decimal(index)) for index in range(500)
        ),
        conditions=tuple(replace(row, message=nasty) for row in verdict().conditions),
        rows=tuple(replace(row, evidence=nasty, declared=nasty, observed=nasty) for row in subjects.rows()),
    )
    document = render(subject(verdict=told, fleet=subjects.fleet(replicas=10_000)), None)
    InferencePoolStatus.model_validate(document)
    assert size_of(document) <= LARGEST_DOCUMENT
    assert len(document["findings"]) == 20
    assert document["findings"][0]["costPerHour"] == "499"
    text = json.dumps(document, ensure_ascii=False)
    assert "\\u0000" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert all(len(row["message"]) <= 1024 for row in document["conditions"])


def test_a_transition_time_stays_while_the_status_stays_and_moves_when_it_changes() -> None:
    first = render(subject(), None)
    second = render(
        subject(now=NOW + 100, verdict=verdict(DenominatorState.THROUGHPUT_COLLAPSED)),
        first,
    )
    assert published_condition(second, "Ready")["lastTransitionTime"] == STAMP
    assert published_condition(second, "DenominatorHealthy")["lastTransitionTime"] == "2027-01-15T08:01:40Z"


def test_a_transition_time_survives_another_reason_of_the_same_status() -> None:
    first = render(subject(), None)
    second = render(subject(now=NOW + 100, verdict=verdict(DenominatorState.LOW_DEMAND)), first)
    row = published_condition(second, "DenominatorHealthy")
    assert (row["reason"], row["lastTransitionTime"]) == ("LowDemand", STAMP)


@pytest.mark.parametrize(
    "broken",
    [
        {"conditions": "none"},
        {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "yesterday"}, 7]},
        {"conditions": {"Ready": True}},
    ],
)
def test_a_published_status_that_somebody_broke_is_rendered_anew(broken: dict[str, Any]) -> None:
    document = render(subject(), broken)
    InferencePoolStatus.model_validate(document)
    assert published_condition(document, "Ready")["lastTransitionTime"] == STAMP


@pytest.mark.parametrize(
    ("published", "generation", "lost", "shown"),
    [
        pytest.param(DenominatorState.HEALTHY, 1, False, "Healthy", id="a verdict outlives a restart"),
        pytest.param(
            DenominatorState.THROUGHPUT_COLLAPSED, 1, False, "ThroughputCollapsed", id="a bad one too"
        ),
        pytest.param(DenominatorState.HEALTHY, 1, True, "WarmingUp", id="a lost baseline ends it"),
        pytest.param(DenominatorState.BLIND, 1, False, "WarmingUp", id="Blind is no verdict to keep"),
        pytest.param(DenominatorState.HEALTHY, 2, False, "WarmingUp", id="nor is that of another spec"),
    ],
)
def test_warming_up_replaces_a_verdict_only_when_the_baseline_is_lost(
    published: DenominatorState, generation: int, lost: bool, shown: str
) -> None:
    previous = render(subject(verdict=verdict(published)), None)
    warming = verdict(DenominatorState.WARMING_UP, baseline_lost=lost)
    document = render(subject(generation=generation, verdict=warming), previous)
    row = published_condition(document, "DenominatorHealthy")
    assert row["reason"] == shown
    assert row["status"] == subjects.DENOMINATOR_TRUTH[DenominatorState(shown)].value


def test_a_pool_without_pods_says_zero_replicas_and_no_engine() -> None:
    found = economics(evidence=(), roles=())
    serving = render(subject(fleet=Fleet(), economics=found, inspected=()), None)["serving"]
    assert serving == {"replicas": 0, "coverage": "2/2"}


def test_an_ignored_row_is_reported_and_not_counted() -> None:
    ignored = tuple(replace(row, state=OptimizationState.ACTIVE) for row in subjects.rows())
    document = render(subject(verdict=verdict(rows=ignored)), None)
    assert document["optimizationsActive"] == "4/4"
    assert len(document["optimizations"]) == 5


def test_conditions_carry_the_generation_they_are_about() -> None:
    document = render(subject(generation=7), None)
    assert {row["observedGeneration"] for row in document["conditions"]} == {7}
    assert published_condition(document, "Ready")["status"] == Truth.TRUE
