"""The judge's view of a role: what each scrape added, and what each engine did over the window."""

from __future__ import annotations

import pytest

from tests.unit.costing.synthetic import T0, Sim, SimPod
from tokenfactory.model import Role, RoleLoad, Signal

POD = SimPod(name="a", more=((Signal.REQUESTS, 2.0), (Signal.PREEMPTIONS, 0.5)))


def load(sim: Sim, *, end: float, role: Role = Role.AGGREGATED) -> RoleLoad:
    return next(item for item in sim.run(T0, T0 + end).loads if item.role is role)


def test_a_step_is_what_the_engine_did_since_its_last_good_scrape() -> None:
    found = load(Sim((POD,)), end=600.0)
    (step,) = found.steps
    assert (step.seconds, step.gpu_seconds) == (15.0, 120.0)
    assert step.tokens == pytest.approx(150.0 * 15)
    assert step.sequence_seconds == pytest.approx(5.0 * 15)
    assert step.product == "NVIDIA-H200"


def test_a_lost_scrape_is_no_step_and_the_next_one_covers_it() -> None:
    sim = Sim((POD,), lost=lambda _, t: t == T0 + 585.0)
    assert load(sim, end=585.0).steps == ()
    (step,) = next(iter(sim.cycle(T0 + 600.0).loads)).steps
    assert step.seconds == 30.0
    assert step.tokens == pytest.approx(150.0 * 30)


def test_the_span_of_a_restart_says_nothing_of_efficiency() -> None:
    sim = Sim((SimPod(name="a", restarts=((T0 + 560.0, T0 + 595.0),)),))
    sim.run(T0, T0 + 585.0)
    (found,) = sim.cycle(T0 + 600.0).loads
    assert found.steps == ()
    assert found.replicas[0].still_seconds == 0.0


def test_an_engine_that_stands_still_says_for_how_long() -> None:
    hung = SimPod(name="b", output=0.0, prompt=0.0, cached=0.0, decoding=0.0, running=3.0)
    found = load(Sim((POD, hung)), end=600.0)
    still = {item.id.pod_uid: item.still_seconds for item in found.replicas}
    assert still["a"] == 0.0
    assert still["b"] == 600.0


def test_what_causes_are_found_by_is_over_the_window() -> None:
    found = load(Sim((POD, SimPod(name="b", waiting=4.0, more=POD.more))), end=600.0)
    assert found.preemptions == pytest.approx(0.5 * 300 * 2)
    assert found.prompt_tokens_per_request == pytest.approx(300.0)
    assert found.waiting_mean == pytest.approx(4.0)
    assert found.kv_usage is None
    assert [item.tokens for item in found.replicas] == pytest.approx([150.0 * 300] * 2)


def test_prefill_counts_prompt_tokens_and_the_seconds_of_prefill() -> None:
    pods = (SimPod(name="a", role=Role.PREFILL), SimPod(name="b", role=Role.DECODE))
    found = load(Sim(pods), end=600.0, role=Role.PREFILL)
    assert found.steps[0].tokens == pytest.approx(600.0 * 15)
    assert found.steps[0].sequence_seconds == pytest.approx(2.5 * 15)


def test_tokens_are_taken_as_they_are_made_where_the_page_counts_both_ways() -> None:
    pod = SimPod(name="a", more=((Signal.STEP_OUTPUT_TOKENS, 170.0),))
    found = load(Sim((pod,)), end=600.0)
    assert found.steps[0].tokens == pytest.approx(170.0 * 15)
    assert found.counts_live
