"""The status of a TokenFactory: sums over all its pools, each pod once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.subjects import (
    ABSENT,
    NOW,
    closed,
    economics,
    pod_figures,
    subject,
    verdict,
)
from tokenfactory.api.factorystatus import TokenFactoryStatus
from tokenfactory.errors import InvalidSpec
from tokenfactory.model import (
    PROMETHEUS_ADVICE,
    CostBasis,
    DenominatorState,
    Economics,
    Factory,
    FailureReason,
    Finding,
    PodFigures,
    PoolKey,
    PowerTerms,
    PrometheusReason,
    ThroughputFigures,
)
from tokenfactory.publishing.fleet_status import (
    PoolReport,
    Roll,
    fleet_draft,
    render_fleet,
    render_refused,
)
from tokenfactory.publishing.gate import GateReason, adopt, decide, note
from tokenfactory.publishing.status import published_condition, render

CRDS = Path(__file__).parents[3] / "crds"


def report(
    name: str, found: Economics | None, state: DenominatorState = DenominatorState.HEALTHY
) -> PoolReport:
    return PoolReport(key=PoolKey("serving", name), economics=found, verdict=verdict(state))


def with_pods(*pods: PodFigures) -> Economics:
    return economics(pods=pods)


def roll(*reports: PoolReport, **changes: Any) -> Roll:
    power = PowerTerms(budget_megawatts=10.0)
    factory = Factory(name="default", generation=4, power=power)
    return replace(Roll(factory=factory, reports=reports, pools=len(reports), now=NOW), **changes)


A = pod_figures("a", rate=4000.0, cost="20")
B = pod_figures("b", rate=2000.0, cost="20")
C = pod_figures("c", rate=0.0, cost="40")


def test_a_fleet_adds_up_and_its_cost_is_all_cost_over_all_tokens() -> None:
    document = render_fleet(roll(report("one", with_pods(A, B)), report("two", with_pods(C))), None)
    TokenFactoryStatus.model_validate(document)
    assert document["pools"] == 2
    assert document["gpus"] == {"held": "24"}
    assert document["throughput"] == {"tokensPerSecond": "6000"}
    assert document["cost"] == {"currency": "USD", "perHour": "80", "perMillionTokens": "3.704"}
    assert document["energy"]["provisioned"] == {
        "megawatts": "0.04152",
        "tokensPerSecondPerMegawatt": "144500",
    }
    assert document["energy"]["measured"] == {"megawatts": "0.012", "tokensPerSecondPerMegawatt": "500000"}


def test_the_power_budget_carries_28_million_tokens_a_second_at_nvidias_efficiency() -> None:
    pod = replace(A, gpus=1.0, tokens_per_second=5880.0, provisioned_watts=2100.0)
    energy = render_fleet(roll(report("one", with_pods(pod))), None)["energy"]
    assert energy["provisioned"]["tokensPerSecondPerMegawatt"] == "2800000"
    assert energy["tokensPerHourAtBudget"] == "100800000000"


def test_without_a_budget_nothing_is_said_about_it() -> None:
    found = roll(report("one", with_pods(A)), factory=Factory(generation=1))
    assert "tokensPerHourAtBudget" not in render_fleet(found, None)["energy"]


def test_a_pod_that_several_pools_select_counts_once_whatever_the_order() -> None:
    one, two = report("one", with_pods(A, B)), report("two", with_pods(B, C))
    shared = render_fleet(roll(one, two), None)
    assert shared["gpus"] == {"held": "24"}
    assert shared["throughput"] == {"tokensPerSecond": "6000"}
    assert render_fleet(roll(two, one), None) == shared


def test_a_pool_without_figures_per_pod_counts_as_a_whole() -> None:
    document = render_fleet(roll(report("one", economics()), report("two", with_pods(A))), None)
    assert document["gpus"] == {"held": "24"}
    assert document["throughput"] == {"tokensPerSecond": "52000"}
    assert document["cost"]["perHour"] == "60"


def test_one_pool_and_the_fleet_of_it_agree() -> None:
    pool = render(subject(), None)
    fleet = render_fleet(roll(report("one", economics())), None)
    assert fleet["cost"]["perMillionTokens"] == pool["cost"]["perMillionTokens"]
    assert fleet["cost"]["perHour"] == pool["cost"]["perHour"]
    mine, its = fleet["energy"]["provisioned"], pool["energy"]["provisioned"]
    assert mine["tokensPerSecondPerMegawatt"] == its["tokensPerSecondPerMegawatt"]


def test_a_pool_that_can_not_be_read_is_missing_and_not_zero() -> None:
    dark = economics(
        throughput=ThroughputFigures(),
        measured=replace(economics().measured, watts=ABSENT),
        cost=replace(economics().cost, per_million=dict.fromkeys(CostBasis, ABSENT)),
    )
    document = render_fleet(roll(report("dark", dark)), None)
    assert "throughput" not in document
    assert "perMillionTokens" not in document["cost"]
    assert document["cost"]["perHour"] == "40"
    assert "measured" not in document["energy"]
    both = render_fleet(roll(report("dark", dark), report("one", with_pods(A))), None)
    assert both["cost"] == {"currency": "USD", "perHour": "60", "perMillionTokens": "1.389"}


def test_below_the_token_floor_there_is_no_cost_per_million() -> None:
    slow = replace(A, tokens_per_second=3.0)
    assert "perMillionTokens" not in render_fleet(roll(report("one", with_pods(slow))), None)["cost"]


def test_pools_are_counted_by_verdict_and_those_that_can_not_be_served_apart() -> None:
    refused = closed("InvalidSpec").verdict
    document = render_fleet(
        roll(
            report("one", economics()),
            report("two", economics(), DenominatorState.THROUGHPUT_COLLAPSED),
            report("three", economics(), DenominatorState.HEALTHY),
            PoolReport(key=PoolKey("serving", "wrong"), economics=None, verdict=refused),
            PoolReport(key=PoolKey("serving", "off"), economics=None, verdict=closed("Suspended").verdict),
        ),
        None,
    )
    counted = {name: count for name, count in document["verdicts"].items() if count}
    assert counted == {"healthy": 2, "throughputCollapsed": 1, "invalid": 1, "suspended": 1}
    assert set(document["verdicts"]) == set(
        TokenFactoryStatus.model_json_schema(by_alias=True)["$defs"]["Verdicts"]["properties"]
    )


def test_the_ten_most_expensive_findings_name_their_pools() -> None:
    told = [
        verdict(findings=(Finding(cause="IdleGPUs", message="idle", cost_per_hour=Decimal(index)),))
        for index in range(15)
    ]
    reports = [
        PoolReport(key=PoolKey("serving", f"pool-{index}"), economics=None, verdict=found)
        for index, found in enumerate(told)
    ]
    findings = render_fleet(roll(*reports), None)["findings"]
    assert len(findings) == 10
    assert findings[0] == {
        "cause": "IdleGPUs",
        "message": "idle",
        "costPerHour": "14",
        "pool": "serving/pool-14",
    }


def test_a_factory_that_no_pool_uses_has_zero_pools_and_no_numbers() -> None:
    document = render_fleet(roll(), None)
    TokenFactoryStatus.model_validate(document)
    assert document["pools"] == 0
    assert not {"gpus", "throughput", "cost", "energy"} & set(document)


def test_a_factory_that_must_be_edited_names_the_field() -> None:
    problem = InvalidSpec("spec.usdExchangeRate.asOf", "must be a date of the calendar")
    document = render_refused(problem, generation=2, now=NOW, previous=None)
    TokenFactoryStatus.model_validate(document)
    ready = published_condition(document, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "spec.usdExchangeRate.asOf" in ready["message"]


def test_after_a_restart_the_roll_up_stays_until_every_pool_was_cycled_with_a_full_window() -> None:
    whole = roll(report("one", with_pods(A)), report("two", with_pods(B)))
    document = render_fleet(whole, None)
    first = decide(None, fleet_draft(whole, document, window_seconds=300), now=NOW)
    assert first.write
    drafted = fleet_draft(whole, document, window_seconds=300)
    assert note(None, drafted, first, now=NOW).document == document
    adopted = adopt(document, now=NOW + 100)
    for part in (roll(report("one", with_pods(A)), pools=2), roll(pools=2)):
        drafted = fleet_draft(part, render_fleet(part, document), window_seconds=300)
        assert decide(adopted, drafted, now=NOW + 110).reason == GateReason.HELD
    drafted = fleet_draft(whole, render_fleet(whole, document), window_seconds=300)
    assert decide(adopted, drafted, now=NOW + 500).reason == GateReason.NOTHING_MOVED


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("inferencepools", render(subject(), None)),
        ("inferencepools", render(closed("InvalidSpec"), None)),
        ("tokenfactories", render_fleet(roll(report("one", with_pods(A, B))), None)),
    ],
)
def test_rendered_documents_pass_the_committed_crds(name: str, document: dict[str, Any]) -> None:
    crd = yaml.safe_load((CRDS / f"tokenfactory.dev_{name}.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    jsonschema.validate(document, schema)


def reachable(document: dict[str, Any]) -> tuple[str, str, str]:
    row = published_condition(document, "PrometheusReachable")
    return row.get("status", ""), row.get("reason", ""), row.get("message", "")


def test_a_factory_without_a_prometheus_has_no_condition_about_one() -> None:
    assert reachable(render_fleet(roll(), None)) == ("", "", "")


def test_a_prometheus_that_answers_or_is_not_asked_is_told_apart() -> None:
    told = [
        reachable(render_fleet(roll(prometheus=reason), None))[:2]
        for reason in (PrometheusReason.ANSWERS, PrometheusReason.NOT_ASKED)
    ]
    assert told == [("True", "Answers"), ("Unknown", "NotAsked")]


@pytest.mark.parametrize("reason", sorted(PROMETHEUS_ADVICE))
def test_a_prometheus_that_gives_nothing_says_which_field_to_mend(reason: FailureReason) -> None:
    document = render_fleet(roll(prometheus=PrometheusReason(reason.value)), None)
    TokenFactoryStatus.model_validate(document)
    status, said, message = reachable(document)
    assert (status, said) == ("False", reason.value)
    assert "spec.telemetry." in message
    assert len(message) < 300


def test_another_problem_of_the_prometheus_is_written_at_once() -> None:
    before = roll(prometheus=PrometheusReason.DENIED)
    document = render_fleet(before, None)
    published = adopt(document, now=NOW)
    after = roll(prometheus=PrometheusReason.UNTRUSTED)
    drafted = fleet_draft(after, render_fleet(after, document), window_seconds=300)
    assert decide(published, drafted, now=NOW + 5).reason is GateReason.CONDITION_CHANGED
