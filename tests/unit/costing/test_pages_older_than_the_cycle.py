"""Pages that a Prometheus scraped some seconds before they are read give the same figures from the start."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.costing.synthetic import T0, Sim, SimPod
from tokenfactory.measure import value_of
from tokenfactory.model import CostBasis

INTERVAL = 15.0


def scraped_at(offset: float, *, held: float) -> Callable[[float], float]:
    """Ages of pages that are scraped every interval, `offset` seconds into it, and read `held` s later."""

    def age(now: float) -> float:
        seen = now - held
        return now - ((seen - offset) // INTERVAL * INTERVAL + offset)

    return age


@pytest.mark.parametrize("offset", [0.0, 1.0, 7.0, 14.0])
@pytest.mark.parametrize("held", [0.0, 7.0])
def test_watts_and_money_are_true_as_soon_as_they_are_known(offset: float, held: float) -> None:
    pods = (SimPod(name="a"), SimPod(name="b", watts=700.0))
    sim = Sim(pods=pods, age=scraped_at(offset, held=held))
    direct = Sim(pods=pods)
    for step in range(60):
        now = T0 + 3.0 + step * INTERVAL
        seen, own = sim.cycle(now), direct.cycle(now)
        watts, tokens = value_of(seen.measured.watts), value_of(seen.throughput.per_gpu)
        cost, truth = seen.cost.per_million[CostBasis.TOTAL], own.cost.per_million[CostBasis.TOTAL]
        assert watts is None or watts == pytest.approx(8 * 500.0 + 8 * 700.0, rel=0.001), step
        assert tokens is None or tokens == pytest.approx(750.0 / 8, rel=0.001), step
        known, true = value_of(cost), value_of(truth)
        assert known is None or true is None or float(known) == pytest.approx(float(true), rel=0.001), step
    assert watts is not None
    assert known is not None
