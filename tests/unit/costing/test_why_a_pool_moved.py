"""A pool's window against the one before it (docs/cost-model.md §11)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.costing.synthetic import T0, Sim, SimPod
from tokenfactory.measure import Absence, Known, Missing
from tokenfactory.model import Move, Mover

WINDOW = 300.0


def move_of(sim: Sim) -> Move:
    found = sim.history[-1].moved
    assert isinstance(found, Known), found
    return found.value


def changes(move: Move) -> dict[Mover, float]:
    return {part.mover: float(part.change) for part in move.parts if part.change is not None}


def test_before_two_windows_have_passed_nothing_is_said() -> None:
    found = Sim((SimPod(name="a"),)).run(T0, T0 + WINDOW).moved
    assert isinstance(found, Missing)
    assert found.reason is Absence.WINDOW_FILLING


def test_a_steady_pool_did_not_move() -> None:
    sim = Sim((SimPod(name="a"),))
    sim.run(T0, T0 + 3 * WINDOW)
    assert changes(move_of(sim)) == pytest.approx(dict.fromkeys(changes(move_of(sim)), 0.0), abs=1e-9)


def test_a_second_idle_replica_shows_as_gpus_held() -> None:
    idle = SimPod(
        name="b", created_at=T0 + 400, ready_at=T0 + 400, prompt=0.0, cached=0.0, output=0.0, decoding=0.0
    )
    sim = Sim((SimPod(name="a"), idle))
    sim.run(T0, T0 + 400 + WINDOW + 15)
    move = move_of(sim)
    told = changes(move)
    assert float(move.change) == pytest.approx(float(move.before.cost), rel=0.02)
    assert told[Mover.GPUS_HELD] == pytest.approx(float(move.change), rel=0.02)
    assert sum(told.values()) == pytest.approx(float(move.change), abs=1e-9)


def test_fewer_cache_hits_show_as_cache_hits_and_the_rest_is_named() -> None:
    sim = Sim((SimPod(name="a", prompt=600.0, cached=500.0, output=150.0),))
    sim.run(T0, T0 + 2 * WINDOW)
    later = T0 + 600
    cold = replace(sim.pods[0], name="b", cached=0.0, prompt=400.0, created_at=later, ready_at=later)
    sim.pods = (cold,)
    sim.run(T0 + 615, T0 + 1000)
    told = changes(move_of(sim))
    assert told[Mover.CACHE_HITS] > 0
    assert sum(told.values()) == pytest.approx(float(move_of(sim).change), abs=1e-9)


def test_the_memory_of_standings_stays_small() -> None:
    sim = Sim((SimPod(name="a"),))
    sim.run(T0, T0 + 5 * WINDOW)
    assert sim.ledger is not None
    assert len(sim.ledger.standings) <= 9
