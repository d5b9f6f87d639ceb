"""Totals are kept whatever happens to the fleet (docs/cost-model.md §13)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.costing.synthetic import POOL, T0, Sim, SimPod
from tokenfactory.costing.shares import Share
from tokenfactory.costing.window import Span, view
from tokenfactory.measure import Known, Missing
from tokenfactory.model import CostBasis, Economics, Role, Tokens

END = T0 + 450


@st.composite
def pods(draw: st.DrawFn, name: str) -> SimPod:
    born = draw(st.sampled_from((T0 - 3600, T0 + 61.0, T0 + 203.5)))
    ready = born + draw(st.sampled_from((0.0, 50.0, 9999.0)))
    down = draw(st.sampled_from((None, T0 + 150.2, T0 + 301.7)))
    return SimPod(
        name=name,
        gpus=draw(st.sampled_from((1.0, 4.0, 8.0, 1 / 7))),
        product=draw(st.sampled_from(("NVIDIA-H200", "NVIDIA-B200"))),
        created_at=born,
        ready_at=ready,
        gone_at=draw(st.sampled_from((float("inf"), T0 + 333.3))),
        prompt=draw(st.sampled_from((0.0, 3.0, 5000.0))),
        cached=0.0,
        output=draw(st.sampled_from((0.0, 700.0))),
        watts=draw(st.sampled_from((70.0, 700.0))),
        restarts=() if down is None or down < ready else ((down, down + 31.0),),
    )


fleets = st.integers(1, 3).flatmap(lambda n: st.tuples(*(pods(f"p{i}") for i in range(n))))
losses = st.frozensets(st.tuples(st.integers(0, 2), st.integers(1, 30)), max_size=6)
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(fleet: tuple[SimPod, ...], lost: frozenset[tuple[int, int]] = frozenset(), price: str = "2") -> Sim:
    sim = Sim(
        fleet,
        pool=replace(POOL, price_per_gpu_hour=Decimal(price)),
        lost=lambda pod, t: (int(pod.name[1:]), round((t - T0) / 15)) in lost,
    )
    sim.run(T0, END)
    return sim


def total(economics: Economics) -> Tokens | None:
    rates = economics.throughput.per_second
    return rates.value if isinstance(rates, Known) else None


@given(fleets, losses)
@few
def test_pods_add_up_to_the_pool(fleet: tuple[SimPod, ...], lost: frozenset[tuple[int, int]]) -> None:
    economics = run(fleet, lost).history[-1]
    rates = total(economics)
    if rates is not None:
        parts = sum(pod.tokens_per_second or 0.0 for pod in economics.pods)
        assert parts == pytest.approx(rates.total, rel=1e-9, abs=1e-9)
    if isinstance(economics.cost.per_hour, Known):
        money = sum((pod.cost_per_hour or Decimal(0) for pod in economics.pods), Decimal(0))
        assert float(money) == pytest.approx(float(economics.cost.per_hour.value), rel=1e-9)
    if isinstance(economics.measured.watts, Known):
        watts = sum(pod.measured_watts or 0.0 for pod in economics.pods)
        assert watts == pytest.approx(economics.measured.watts.value, rel=1e-9)


@given(fleets, losses)
@few
def test_serving_idle_and_loading_add_up_to_the_time_held(
    fleet: tuple[SimPod, ...], lost: frozenset[tuple[int, int]]
) -> None:
    sim = run(fleet, lost)
    assert sim.ledger is not None
    for track in sim.ledger.tracks.values():
        for before, after in pairwise(track.segments):
            assert before.end == after.start
        assert all(segment.end > segment.start for segment in track.segments)
    for economics in sim.history:
        share = economics.cost.idle_share
        assert isinstance(share, Missing) or 0.0 <= share.value <= 1.0
    window = view(sim.ledger.tracks.values(), Span(T0, END))
    assert sum(window.by_share(share) for share in Share) == pytest.approx(window.gpu_seconds)


@given(fleets, losses)
@few
def test_doubling_the_price_doubles_the_cost(
    fleet: tuple[SimPod, ...], lost: frozenset[tuple[int, int]]
) -> None:
    once, twice = run(fleet, lost, "2").history[-1], run(fleet, lost, "4").history[-1]
    for basis in CostBasis:
        one, two = once.cost.per_million[basis], twice.cost.per_million[basis]
        if isinstance(one, Known) and isinstance(two, Known):
            assert float(two.value) == pytest.approx(2 * float(one.value), rel=1e-12)
        else:
            assert one == two


@given(fleets, losses)
@few
def test_permuting_the_pods_changes_nothing(
    fleet: tuple[SimPod, ...], lost: frozenset[tuple[int, int]]
) -> None:
    one, other = run(fleet, lost).history[-1], run(fleet[::-1], lost).history[-1]
    left, right = one.throughput.per_gpu, other.throughput.per_gpu
    if isinstance(left, Known) and isinstance(right, Known):
        assert left.value == pytest.approx(right.value, rel=1e-9)
    else:
        assert left == right
    assert one.coverage == other.coverage
    assert one.pods == other.pods or [p.pod_uid for p in one.pods] == [p.pod_uid for p in other.pods]


@given(fleets, losses)
@few
def test_nothing_is_ever_negative_or_more_than_was_made(
    fleet: tuple[SimPod, ...], lost: frozenset[tuple[int, int]]
) -> None:
    sim = run(fleet, lost)
    counted = sum(economics.increments.tokens.total for economics in sim.history)
    made = sum((pod.prompt + pod.output) * max(0.0, min(END, pod.gone_at) - T0) for pod in fleet)
    assert counted <= made * (1 + 1e-9)
    for economics in sim.history:
        parts = economics.increments
        assert min(parts.tokens.uncached_input, parts.tokens.cached_input, parts.tokens.output) >= 0
        assert all(value >= 0 for value in parts.gpu_seconds_by_share.values())
        assert all(value >= 0 for value in parts.joules_by_basis.values())


@given(fleets, losses)
@few
def test_the_cost_per_million_is_the_price_over_the_tokens_of_a_gpu_hour(
    fleet: tuple[SimPod, ...], lost: frozenset[tuple[int, int]]
) -> None:
    economics = run(fleet, lost).history[-1]
    cost, per_gpu = economics.cost.per_million[CostBasis.TOTAL], economics.throughput.per_gpu
    if isinstance(cost, Known) and isinstance(per_gpu, Known):
        assert float(cost.value) == pytest.approx(2 / (per_gpu.value * 0.0036), rel=1e-12)


@given(fleets, losses, st.sampled_from((Role.AGGREGATED, Role.PREFILL)))
@few
def test_input_and_output_add_up_to_the_whole_cost(
    fleet: tuple[SimPod, ...], lost: frozenset[tuple[int, int]], first: Role
) -> None:
    """§7: whatever the roles, restarts and products, each half's cost over its own tokens is the whole."""
    others = Role.DECODE if first is Role.PREFILL else Role.AGGREGATED
    roles = (first, *(others for _ in fleet[1:]))
    economics = run(
        tuple(replace(pod, role=role) for pod, role in zip(fleet, roles, strict=True)), lost
    ).history[-1]
    cost, tokens = economics.cost, economics.throughput.tokens
    total, of_input, of_output = (
        cost.per_million[CostBasis.TOTAL],
        cost.per_million_input,
        cost.per_million_output,
    )
    if not (isinstance(tokens, Known) and isinstance(total, Known)):
        return
    into = tokens.value.uncached_input + tokens.value.cached_input
    if isinstance(of_input, Known) and isinstance(of_output, Known):
        halves = float(of_input.value) * into + float(of_output.value) * tokens.value.output
        assert halves == pytest.approx(float(total.value) * tokens.value.total, rel=1e-9)
