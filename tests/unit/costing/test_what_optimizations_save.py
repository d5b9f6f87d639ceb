"""What speculation and offloading saved, by what ran (docs/cost-model.md §12)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.unit.costing.synthetic import T0, Sim, SimPod
from tokenfactory.measure import Absence, Grade, Known, Missing
from tokenfactory.model import Role, Savings, Signal

END = T0 + 450
PRICED = {"prompt": 600.0, "cached": 200.0, "output": 150.0, "decoding": 4.0, "decode_seconds": 6.0}
TOTAL = 750.0


def savings_of(*pods: SimPod) -> Savings:
    return Sim(pods).run(T0, END).savings


def value(measure: Known[Decimal] | Missing) -> float:
    assert isinstance(measure, Known), measure
    return float(measure.value)


def speculating(accepted: float) -> SimPod:
    return SimPod(name="a", more=((Signal.ACCEPTED_TOKENS, accepted),), **PRICED)  # type: ignore[arg-type]


def test_speculation_saves_the_steps_that_accepted_tokens_made_needless() -> None:
    found = savings_of(speculating(100.0)).speculation
    decode_cost_an_hour = 16.0 * 6 / 8
    assert value(found) == pytest.approx(decode_cost_an_hour * 100 / (150 - 100) / (TOTAL * 0.0036))
    assert isinstance(found, Known)
    assert found.grade is Grade.ESTIMATED
    assert "decode cost × accepted ÷ (output − accepted)" in found.basis


def test_verified_steps_tell_the_accepted_tokens_where_no_counter_does() -> None:
    pod = SimPod(name="a", more=((Signal.VERIFY_CALLS, 50.0),), **PRICED)  # type: ignore[arg-type]
    assert value(savings_of(pod).speculation) == pytest.approx(
        value(savings_of(speculating(100.0)).speculation)
    )


def test_nothing_accepted_saves_nothing_that_could_be_claimed() -> None:
    found = savings_of(speculating(0.0)).speculation
    assert isinstance(found, Missing)
    assert found.reason is Absence.NO_TRAFFIC


def test_an_engine_without_the_counters_claims_no_saving() -> None:
    found = savings_of(SimPod(name="a"))
    assert isinstance(found.speculation, Missing)
    assert isinstance(found.offloading, Missing)
    assert {found.speculation.reason, found.offloading.reason} == {Absence.NOT_EXPORTED}


def test_offloading_saves_the_prefill_of_the_tokens_that_were_loaded() -> None:
    pod = SimPod(name="a", more=((Signal.OFFLOAD_HIT_TOKENS, 80.0),), **PRICED)  # type: ignore[arg-type]
    found = savings_of(pod).offloading
    prefill_cost_an_hour, computed = 16.0 * 2 / 8, 600.0 - 200.0
    assert value(found) == pytest.approx(prefill_cost_an_hour * 80 / computed / (TOTAL * 0.0036))


def test_the_transfer_from_prefill_to_decode_is_no_offloading() -> None:
    hits = ((Signal.EXTERNAL_HIT_TOKENS, 600.0),)
    prefill = SimPod(name="p", role=Role.PREFILL, prompt=600.0, output=1.0)
    decode = SimPod(name="d", role=Role.DECODE, prompt=600.0, output=150.0, more=hits)
    found = savings_of(prefill, decode).offloading
    assert isinstance(found, Missing)
    assert found.reason is Absence.NOT_EXPORTED
