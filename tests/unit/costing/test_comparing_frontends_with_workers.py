"""When the output of frontends is compared with that of the workers behind them (docs/cost-model.md §3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.property.test_nothing_beside_the_engines_is_added import Accompanied, Beside
from tests.unit.costing.synthetic import T0, LostScrapes, SimPod, nothing_lost
from tokenfactory.model import CompanionCheck, CompanionKind

RATE = 150.0
WORKERS = (SimPod(name="a", output=RATE), SimPod(name="b", output=RATE))
NEVER = frozenset[int]()


def frontend(rate: float, *, lost: frozenset[int] = NEVER, restart_every: int = 1000) -> Beside:
    """A frontend that counts so many tokens a second."""
    return Beside(CompanionKind.DYNAMO_FRONTEND, rate * 15.0, 0.0, restart_every, lost)


@dataclass(frozen=True)
class Case:
    frontends: tuple[Beside, ...]
    workers: tuple[SimPod, ...] = WORKERS
    lost: LostScrapes = nothing_lost

    def check(self) -> CompanionCheck:
        sim = Accompanied(self.workers, companions=self.frontends, lost=self.lost)
        return sim.run(T0, T0 + 450).frontends


LATE = replace(WORKERS[0], created_at=T0 + 250, ready_at=T0 + 260)
GONE = replace(WORKERS[0], gone_at=T0 + 400)
DOWN = replace(WORKERS[0], restarts=((T0 + 350, T0 + 380),))


@pytest.mark.parametrize(
    ("case", "found"),
    [
        pytest.param(Case((frontend(2 * RATE),)), CompanionCheck.AGREE, id="the same"),
        pytest.param(Case((frontend(RATE), frontend(RATE))), CompanionCheck.AGREE, id="two frontends"),
        pytest.param(Case((frontend(1.93 * RATE),)), CompanionCheck.AGREE, id="a little apart"),
        pytest.param(
            Case((frontend(2.2 * RATE),)),
            CompanionCheck.FRONTENDS_COUNT_MORE,
            id="a tenth more at the frontend",
        ),
        pytest.param(
            Case((frontend(1.8 * RATE),)),
            CompanionCheck.FRONTENDS_COUNT_LESS,
            id="a tenth more at the workers",
        ),
        pytest.param(
            Case((frontend(5 * RATE, lost=frozenset({25})),)),
            CompanionCheck.FRONTENDS_COUNT_MORE,
            id="a scrape that was lost and bridged",
        ),
        pytest.param(
            Case((frontend(5 * RATE, lost=frozenset(range(20, 40))),)),
            CompanionCheck.NOT_COMPARED,
            id="a frontend that is silent",
        ),
        pytest.param(
            Case((frontend(5 * RATE, restart_every=25),)),
            CompanionCheck.NOT_COMPARED,
            id="a frontend that restarted",
        ),
        pytest.param(
            Case((frontend(5 * RATE),), workers=(DOWN, WORKERS[1])),
            CompanionCheck.NOT_COMPARED,
            id="a worker that restarted",
        ),
        pytest.param(
            Case((frontend(5 * RATE),), workers=(GONE, WORKERS[1])),
            CompanionCheck.NOT_COMPARED,
            id="a worker that went",
        ),
        pytest.param(
            Case((frontend(5 * RATE),), lost=lambda pod, at: pod.name == "a" and at > T0 + 300),
            CompanionCheck.NOT_COMPARED,
            id="a worker that is not read",
        ),
        pytest.param(
            Case((frontend(5.0),), workers=(replace(WORKERS[0], output=1.0),)),
            CompanionCheck.NOT_COMPARED,
            id="little traffic",
        ),
        pytest.param(Case(()), CompanionCheck.NOT_COMPARED, id="no frontend"),
    ],
)
def test_output_is_compared_where_both_sides_are_whole(case: Case, found: CompanionCheck) -> None:
    assert case.check() is found


def test_a_frontend_that_went_is_not_compared_until_the_window_is_past_it() -> None:
    sim = Accompanied(WORKERS, companions=(frontend(RATE), frontend(RATE)))
    sim.run(T0, T0 + 450)
    assert sim.history[-1].frontends is CompanionCheck.AGREE
    sim.companions = (frontend(2 * RATE),)
    sim.run(T0 + 465, T0 + 600)
    assert sim.history[-1].frontends is CompanionCheck.NOT_COMPARED
    sim.run(T0 + 615, T0 + 1100)
    assert sim.history[-1].frontends is CompanionCheck.AGREE
