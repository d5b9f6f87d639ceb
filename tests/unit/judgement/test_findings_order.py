"""Findings: what they cost, their order, and that Ignored rows make none."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.unit.judgement.builders import economics, evidence, known, quote, replica
from tokenfactory.judgement.conditions import judge_price
from tokenfactory.judgement.denominator import Denominator
from tokenfactory.judgement.findings import find
from tokenfactory.judgement.telemetry_health import judge_telemetry
from tokenfactory.measure import Absence, Missing
from tokenfactory.model import (
    DenominatorState,
    Finding,
    Fleet,
    GpuFigures,
    OptimizationName,
    OptimizationRow,
    OptimizationState,
    Policy,
)

COLLAPSED = Denominator(
    lost_per_hour=known(Decimal("14.1")),
    state=DenominatorState.THROUGHPUT_COLLAPSED,
    message="collapsed",
    efficiency=known(0.3),
)
HEALTHY = Denominator(state=DenominatorState.HEALTHY, message="fine")


def row(state: OptimizationState, policy: Policy) -> OptimizationRow:
    return OptimizationRow(
        name=OptimizationName.FP4, policy=policy, state=state, declared="declared", evidence="why"
    )


def found(
    *, denominator: Denominator = HEALTHY, rows: tuple[OptimizationRow, ...] = (), **changes: Any
) -> tuple[Finding, ...]:
    picture = evidence(**changes)
    return find(
        picture,
        denominator=denominator,
        rows=rows,
        telemetry=judge_telemetry(picture),
        price=judge_price(picture.economics.price),
    )


def idle(share: float) -> Any:
    return economics(cost=replace(economics().cost, idle_share=known(share)))


def test_a_healthy_pool_has_none() -> None:
    assert found() == ()


def test_the_most_expensive_comes_first_and_costs_have_two_digits() -> None:
    both = found(denominator=COLLAPSED, money=idle(0.4321))
    assert [(item.cause, item.cost_per_hour) for item in both] == [
        ("ThroughputCollapsed", Decimal("14")),
        ("PaidIdle", Decimal("8.6")),
    ]
    most_idle = found(denominator=COLLAPSED, money=idle(0.9))
    assert [item.cause for item in most_idle] == ["PaidIdle", "ThroughputCollapsed"]


def test_little_idle_time_is_none() -> None:
    assert found(money=idle(0.05)) == ()


def test_idle_without_a_price_has_no_cost_and_the_price_is_a_finding() -> None:
    unpriced = quote(per_gpu_hour=Missing(Absence.PRICE_UNKNOWN), source=None)
    money = replace(idle(0.5), price=unpriced)
    money = replace(money, cost=replace(money.cost, per_hour=Missing(Absence.PRICE_UNKNOWN)))
    assert [(item.cause, item.cost_per_hour) for item in found(money=money)] == [
        ("PaidIdle", None),
        ("PriceUnknown", None),
    ]


def test_optimizations_count_by_their_policy() -> None:
    state = OptimizationState
    assert [item.cause for item in found(rows=(row(state.MISSING, Policy.REQUIRED),))] == ["OptimizationLost"]
    assert [item.cause for item in found(rows=(row(state.INEFFECTIVE, Policy.PREFERRED),))] == [
        "OptimizationIneffective"
    ]
    assert found(rows=(row(state.MISSING, Policy.PREFERRED), row(state.INEFFECTIVE, Policy.IGNORED))) == ()
    assert found(rows=(row(state.ACTIVE, Policy.REQUIRED), row(state.UNKNOWN, Policy.REQUIRED))) == ()


def test_shared_pods_lost_gpus_and_lost_telemetry_are_findings() -> None:
    fleet = Fleet(replicas=(replica("serving-0", shared_with=("beta", "alpha")),))
    money = economics(
        gpus=GpuFigures(held=known(8.0), observed=known(7.0)),
        gpu_coverage=replace(economics().gpu_coverage, scraped=7),
    )
    causes = {item.cause: item.message for item in found(fleet=fleet, money=money)}
    assert set(causes) == {"PodsShared", "GPUsUnobserved", "TelemetryMissing"}
    assert causes["PodsShared"].endswith("alpha, beta")


def test_there_are_at_most_twenty() -> None:
    rows = tuple(
        replace(row(OptimizationState.INEFFECTIVE, Policy.REQUIRED), evidence=f"why {index}")
        for index in range(40)
    )
    many = found(denominator=COLLAPSED, rows=rows)
    assert len(many) == 20
    assert many[0].cause == "ThroughputCollapsed"
