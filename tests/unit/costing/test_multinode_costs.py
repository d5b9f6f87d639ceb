"""Followers of a multi-node group are paid for, take part in their leader's role, and are no replicas."""

from __future__ import annotations

import pytest

from tests.unit.costing.synthetic import T0, Sim, SimPod
from tokenfactory.measure import Known, Measure
from tokenfactory.model import CostBasis, Economics, EngineKind, Role


def of(measure: Measure[float]) -> float:
    assert isinstance(measure, Known), measure
    return float(measure.value)


def follower(name: str, group: str, *, ready_at: float = T0 - 3600) -> SimPod:
    return SimPod(name=name, kind=EngineKind.NONE, group=group, follower=True, ready_at=ready_at)


def leader(name: str, group: str, role: Role = Role.AGGREGATED) -> SimPod:
    return SimPod(name=name, group=group, role=role)


def run(*pods: SimPod) -> Economics:
    return Sim(pods).run(T0, T0 + 600)


GROUP = (leader("a-0", "a"), follower("a-1", "a"))


def test_two_nodes_cost_twice_the_leader_alone() -> None:
    both, alone = run(*GROUP), run(leader("a-0", "a"))
    cost, half = (item.cost.per_million[CostBasis.TOTAL] for item in (both, alone))
    assert isinstance(cost, Known)
    assert isinstance(half, Known)
    assert float(cost.value) == pytest.approx(2 * float(half.value))
    assert of(both.gpus.held) == 16.0


def test_a_group_is_one_replica_whose_page_is_all_that_is_expected() -> None:
    economics = run(*GROUP)
    assert [(role.role, role.replicas, role.gpus) for role in economics.roles] == [(Role.AGGREGATED, 1, 16.0)]
    assert (economics.coverage.expected, economics.coverage.scraped) == (1, 1)


def test_the_gpus_of_each_role_hold_its_followers() -> None:
    economics = run(
        leader("p-0", "p", Role.PREFILL),
        follower("p-1", "p"),
        follower("p-2", "p"),
        leader("d-0", "d", Role.DECODE),
    )
    assert {role.role: role.gpus for role in economics.roles} == {Role.PREFILL: 24.0, Role.DECODE: 8.0}


def test_the_judge_divides_by_all_gpus_of_the_group_and_counts_sequences_per_replica() -> None:
    both, alone = run(*GROUP).loads[0], run(leader("a-0", "a")).loads[0]
    assert of(both.per_ready_gpu) == pytest.approx(of(alone.per_ready_gpu) / 2)
    assert of(both.concurrency) == pytest.approx(of(alone.concurrency))
    assert (both.ready_replicas, both.fresh_share) == (1, 1.0)


def test_a_follower_of_a_serving_leader_is_not_idle() -> None:
    """The followers' first cycle comes before the leader's first segment: it is out of the window by then."""
    assert of(run(*GROUP).cost.idle_share) == pytest.approx(0.0, abs=1e-9)


def test_a_follower_that_still_loads_is_idle_cost() -> None:
    economics = run(leader("a-0", "a"), follower("a-1", "a", ready_at=T0 + 9999))
    assert of(economics.cost.idle_share) == pytest.approx(0.5)


def test_a_follower_whose_leader_is_gone_is_paid_for() -> None:
    economics = run(leader("b-0", "b"), follower("a-1", "a"))
    assert of(economics.gpus.held) == 16.0
