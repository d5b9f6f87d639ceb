"""What of the cost is input and what is output (docs/cost-model.md §7)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.costing.synthetic import FAMILIES, POOL, T0, Sim, SimPod
from tokenfactory.measure import Absence, Grade, Known, Missing
from tokenfactory.model import CostBasis, CostFigures, EngineKind, Role, Signal

END = T0 + 450


def cost_of(*pods: SimPod) -> CostFigures:
    return Sim(pods).run(T0, END).cost


def value(measure: Known[Decimal] | Missing) -> float:
    assert isinstance(measure, Known), measure
    return float(measure.value)


def test_an_aggregated_pool_is_split_by_seconds_in_prefill_and_in_decode() -> None:
    pod = SimPod(name="a", prompt=600.0, output=150.0, decoding=4.0, decode_seconds=6.0)
    cost = cost_of(pod)
    hourly, share = 8 * 2.0, 2.0 / (2.0 + 6.0)
    assert value(cost.per_million_input) == pytest.approx(hourly * share / (600 * 3600) * 1e6)
    assert value(cost.per_million_output) == pytest.approx(hourly * (1 - share) / (150 * 3600) * 1e6)
    assert isinstance(cost.per_million_input, Known)
    assert cost.per_million_input.grade is Grade.ESTIMATED
    assert "seconds in prefill and in decode" in cost.per_million_input.basis


def test_a_disaggregated_pool_is_split_by_the_gpus_of_each_role() -> None:
    prefill = SimPod(name="p", role=Role.PREFILL, gpus=2.0, prompt=600.0, output=1.0)
    decode = SimPod(name="d", role=Role.DECODE, gpus=6.0, prompt=600.0, output=150.0)
    cost = cost_of(prefill, decode)
    assert value(cost.per_million_input) == pytest.approx(2 * 2.0 / (600 * 3600) * 1e6)
    assert value(cost.per_million_output) == pytest.approx(6 * 2.0 / (150 * 3600) * 1e6)
    assert isinstance(cost.per_million_output, Known)
    assert "GPUs of each role" in cost.per_million_output.basis
    assert cost.per_million_output.grade is Grade.CONFIGURED


def test_gpus_of_neither_half_go_with_the_known_parts_and_make_it_an_estimate() -> None:
    prefill = SimPod(name="p", role=Role.PREFILL, gpus=2.0, prompt=600.0, output=1.0)
    decode = SimPod(name="d", role=Role.DECODE, gpus=6.0, prompt=600.0, output=150.0)
    follower = SimPod(name="f", role=Role.WORKER, kind=EngineKind.NONE, gpus=8.0)
    cost = cost_of(prefill, decode, follower)
    assert value(cost.per_million_input) == pytest.approx(4 * 2.0 / (600 * 3600) * 1e6)
    assert isinstance(cost.per_million_input, Known)
    assert cost.per_million_input.grade is Grade.ESTIMATED


def test_an_engine_that_does_not_count_its_seconds_leaves_the_split_unknown() -> None:
    mute = SimPod(name="m", families=FAMILIES - {Signal.DECODE_SECONDS})
    cost = cost_of(SimPod(name="a"), mute)
    assert isinstance(cost.per_million_input, Missing)
    assert cost.per_million_input.reason is Absence.SPLIT_UNKNOWN
    assert isinstance(cost.per_million[CostBasis.TOTAL], Known)


def test_decode_replicas_without_prefill_replicas_leave_the_split_unknown() -> None:
    cost = cost_of(SimPod(name="d", role=Role.DECODE))
    assert isinstance(cost.per_million_output, Missing)
    assert cost.per_million_output.reason is Absence.SPLIT_UNKNOWN


def test_without_traffic_or_without_a_price_there_is_no_split() -> None:
    quiet = cost_of(SimPod(name="q", prompt=0.0, cached=0.0, output=0.0, decoding=0.0))
    assert isinstance(quiet.per_million_input, Missing)
    assert quiet.per_million_input.reason is Absence.NO_TRAFFIC
    pool = replace(POOL, price_per_gpu_hour=None)
    free = Sim((SimPod(name="a", product="NVIDIA-A100"),), pool=pool).run(T0, END).cost
    assert isinstance(free.per_million_output, Missing)
    assert free.per_million_output.reason is Absence.PRICE_UNKNOWN


def test_an_idle_replica_is_paid_by_both_halves_alike() -> None:
    busy = SimPod(name="a", prompt=600.0, output=150.0, decoding=4.0, decode_seconds=6.0)
    idle = SimPod(name="i", prompt=0.0, cached=0.0, output=0.0, decoding=0.0)
    alone, both = cost_of(busy), cost_of(busy, idle)
    assert value(both.per_million_input) == pytest.approx(2 * value(alone.per_million_input))
    assert value(both.per_million_output) == pytest.approx(2 * value(alone.per_million_output))
