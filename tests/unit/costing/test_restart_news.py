"""A restart counts once, whichever of page and kubelet tells first (docs/cost-model.md §1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.costing.synthetic import T0, Sim, SimPod
from tokenfactory.costing.assess import Situation, assess
from tokenfactory.costing.ledger import Ledger
from tokenfactory.model import Economics

POD = SimPod(name="a", restarts=((T0 + 30.01, T0 + 41.0),))


def with_start(situation: Situation, started_at: float) -> Situation:
    (replica,) = situation.fleet.replicas
    (engine,) = replica.engines
    container = replace(engine.container, started_at=started_at, ready=True)
    replica = replace(replica, engines=(replace(engine, container=container),))
    return replace(situation, fleet=replace(situation.fleet, replicas=(replica,)))


def run(told_at: float) -> float:
    """Tokens counted when the pod's status shows the new container start only from `told_at` on."""
    sim, ledger, total = Sim((POD,)), None, 0.0
    for step in range(8):
        now = T0 + 15 * step
        situation = with_start(sim.situation(now), T0 + 33.0 if now >= told_at else POD.created_at)
        ledger, economics = _assess(situation, ledger)
        total += economics.increments.tokens.total
    return total


def _assess(situation: Situation, ledger: Ledger | None) -> tuple[Ledger, Economics]:
    return assess(situation, ledger)


@pytest.mark.parametrize("told_at", [T0 + 45, T0 + 60, T0 + 90], ids=["with the page", "later", "much later"])
def test_the_kubelets_news_may_come_after_the_page_and_nothing_is_counted_twice(told_at: float) -> None:
    assert run(told_at) == pytest.approx(750 * (30 + 105 - 41), rel=1e-6)


def test_tokens_from_before_the_operator_started_are_never_counted() -> None:
    """A pod that was not Ready at the first cycles, but had served before them, without a restart."""
    pod = SimPod(name="a")
    sim, ledger, total = Sim((pod,), lost=lambda _, t: t < T0 + 30), None, 0.0
    for step in range(6):
        situation = sim.situation(T0 + 15 * step)
        (replica,) = situation.fleet.replicas
        (engine,) = replica.engines
        container = replace(engine.container, ready=step >= 2)
        replica = replace(replica, engines=(replace(engine, container=container),))
        situation = replace(situation, fleet=replace(situation.fleet, replicas=(replica,)))
        ledger, economics = _assess(situation, ledger)
        total += economics.increments.tokens.total
    assert total == pytest.approx(750 * 45, rel=1e-6)
