"""The denominator over time: traces of a pool, and the states that the judge goes through."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from tests.unit.judgement.builders import TERMS, Moment, evidence, load, play, states
from tokenfactory.judgement.collapse import judged_load
from tokenfactory.judgement.judge import JudgeMemory, judge
from tokenfactory.measure import Known
from tokenfactory.model import Role, Terms

LEARNED = 3000.0


def healthy(now: float) -> Moment:
    """250 tokens/s/GPU at 16 sequences a replica, and less than proportionally more at 32."""
    concurrency = 16.0 if int(now / 300) % 2 == 0 else 32.0
    return Moment(rate=250.0 if concurrency == 16.0 else 375.0, concurrency=concurrency)


@cache
def learned() -> JudgeMemory:
    memory, verdicts = play(healthy, start=0.0, end=LEARNED, memory=None)
    assert memory is not None
    assert states(verdicts) == ["WarmingUp", "Healthy"]
    return memory


def after(moment: Moment, *, seconds: float = 1500.0) -> list[str]:
    _, verdicts = play(lambda _: moment, start=LEARNED, end=LEARNED + seconds, memory=learned())
    return states(verdicts)


def test_the_own_level_takes_four_windows_to_learn() -> None:
    _, verdicts = play(healthy, start=0.0, end=LEARNED, memory=None)
    first = next(now for now, verdict in verdicts if verdict.denominator.value == "Healthy")
    assert 4 * 300 <= first <= 4.2 * 300


def test_a_window_that_is_not_full_yet_is_warming_up_and_loses_no_baseline() -> None:
    _, verdicts = play(lambda _: Moment(250.0, 16.0, full=False), start=0.0, end=60.0, memory=None)
    assert states(verdicts) == ["WarmingUp"]
    assert not any(verdict.baseline_lost for _, verdict in verdicts)


@pytest.mark.parametrize(
    "moment",
    [Moment(100.0, 16.0), Moment(100.0, 16.0, waiting=20.0), Moment(150.0, 32.0), Moment(125.0, 22.0)],
    ids=["same concurrency", "with a queue", "higher concurrency", "between two learned concurrencies"],
)
def test_under_half_of_the_own_level_at_this_concurrency_is_a_collapse(moment: Moment) -> None:
    assert after(moment) == ["Healthy", "ThroughputCollapsed"]


@pytest.mark.parametrize(
    "moment",
    [
        Moment(140.0, 16.0),
        Moment(250.0, 16.0),
        Moment(300.0, 22.0),
        Moment(125.0, 8.0),
        Moment(375.0, 64.0),
        Moment(600.0, 32.0),
    ],
    ids=["56 %", "100 %", "between", "proportional below", "flat above", "better than ever"],
)
def test_at_its_level_the_pool_is_healthy(moment: Moment) -> None:
    assert after(moment) == ["Healthy"]


def test_a_collapse_is_called_after_the_given_seconds_and_not_before() -> None:
    _, verdicts = play(
        lambda _: Moment(100.0, 16.0), start=LEARNED, end=LEARNED + 300.0, memory=learned(), step=5.0
    )
    first = next(now for now, verdict in verdicts if verdict.denominator.value == "ThroughputCollapsed")
    assert first - LEARNED == pytest.approx(TERMS.collapse_for_seconds)


def test_a_dip_shorter_than_the_given_seconds_is_none() -> None:
    def dips(now: float) -> Moment:
        return Moment(100.0 if (now - LEARNED) % 60 < 45 else 250.0, 16.0)

    _, verdicts = play(dips, start=LEARNED, end=LEARNED + 600.0, memory=learned())
    assert states(verdicts) == ["Healthy"]


def test_a_collapse_clears_above_the_fraction_plus_a_fifth_held_for_two_windows() -> None:
    def recovers(now: float) -> Moment:
        return Moment(100.0 if now < LEARNED + 300 else 200.0, 16.0)

    _, verdicts = play(recovers, start=LEARNED, end=LEARNED + 1500.0, memory=learned())
    assert states(verdicts) == ["Healthy", "ThroughputCollapsed", "Healthy"]
    cleared = [now for now, verdict in verdicts if verdict.denominator.value == "Healthy"]
    assert next(now for now in cleared if now > LEARNED + 300) == pytest.approx(LEARNED + 900, abs=15)


def test_a_collapse_stays_open_between_the_fraction_and_the_fraction_plus_a_fifth() -> None:
    def half(now: float) -> Moment:
        return Moment(100.0 if now < LEARNED + 300 else 160.0, 16.0)

    _, verdicts = play(half, start=LEARNED, end=LEARNED + 3000.0, memory=learned())
    assert states(verdicts) == ["Healthy", "ThroughputCollapsed"]


def test_a_collapse_is_never_learned_as_the_level() -> None:
    assert after(Moment(100.0, 16.0), seconds=20_000.0) == ["Healthy", "ThroughputCollapsed"]


def test_low_demand_is_no_collapse() -> None:
    assert after(Moment(0.5, 0.02, running=0.0)) == ["LowDemand"]
    assert after(Moment(0.0, 0.0, running=0.0, moving=False)) == ["LowDemand"]


def test_waiting_requests_are_demand_at_any_concurrency() -> None:
    assert "LowDemand" not in after(Moment(2.0, 0.4, waiting=3.0))


def test_low_demand_does_not_flap_around_its_edge() -> None:
    def edge(now: float) -> Moment:
        concurrency = 0.45 if int(now / 15) % 2 else 0.55
        return Moment(concurrency * 15, concurrency, running=4.0)

    _, verdicts = play(edge, start=LEARNED, end=LEARNED + 900.0, memory=learned())
    assert len(states(verdicts)) <= 2
    assert states(verdicts)[-1] == "LowDemand"


@pytest.mark.parametrize("learned_before", [True, False], ids=["with a baseline", "without a baseline"])
@pytest.mark.parametrize(
    "moment",
    [
        Moment(0.0, 0.0, running=40.0, moving=False),
        Moment(0.0, 0.0, running=0.0, waiting=9.0, moving=False),
        Moment(200.0, 13.0, running=128.0, moving=False),
    ],
    ids=["running", "waiting", "tokens of the window's past"],
)
def test_requests_without_a_token_are_a_collapse_and_not_low_demand(
    moment: Moment, learned_before: bool
) -> None:
    memory = learned() if learned_before else None
    _, verdicts = play(lambda _: moment, start=LEARNED, end=LEARNED + 600.0, memory=memory)
    found = states(verdicts)
    assert found[-1] == "ThroughputCollapsed"
    assert "LowDemand" not in found


def test_fewer_than_a_thousand_tokens_open_no_collapse() -> None:
    quiet = Moment(0.4, 16.0)
    assert after(quiet, seconds=300.0)[-1] == "ThroughputCollapsed"
    memory, _ = play(
        lambda _: Moment(0.0, 0.0, running=0.0), start=LEARNED, end=LEARNED + 900, memory=learned()
    )
    _, verdicts = play(lambda _: quiet, start=LEARNED + 900, end=LEARNED + 2000, memory=memory)
    assert states(verdicts) == ["LowDemand"]


@pytest.mark.parametrize("fresh", [0.0, 0.5, 0.79])
def test_fewer_than_four_fifths_of_the_replicas_fresh_is_blind(fresh: float) -> None:
    assert after(Moment(100.0, 16.0, fresh=fresh)) == ["Blind"]


def test_no_serving_replica_at_all_is_blind() -> None:
    picture = evidence()
    nothing = replace(picture.economics, loads=(), coverage=replace(picture.economics.coverage, scraped=0))
    _, verdict = judge(replace(picture, economics=nothing), learned())
    assert verdict.denominator.value == "Blind"


def test_an_open_collapse_outlives_blindness() -> None:
    memory, _ = play(lambda _: Moment(100.0, 16.0), start=LEARNED, end=LEARNED + 300, memory=learned())
    memory, blind = play(
        lambda _: Moment(0.0, 0.0, fresh=0.0), start=LEARNED + 300, end=LEARNED + 400, memory=memory
    )
    _, later = play(lambda _: Moment(100.0, 16.0), start=LEARNED + 400, end=LEARNED + 415, memory=memory)
    assert states(blind) + states(later) == ["Blind", "ThroughputCollapsed"]


def test_a_new_configuration_warms_up_and_a_rollback_finds_its_level_again() -> None:
    memory, changed = play(
        lambda _: Moment(250.0, 16.0, epoch="e2"), start=LEARNED, end=LEARNED + 900, memory=learned()
    )
    assert states(changed) == ["WarmingUp"]
    assert all(verdict.baseline_lost for _, verdict in changed)
    _, back = play(lambda _: Moment(250.0, 16.0), start=LEARNED + 900, end=LEARNED + 1000, memory=memory)
    assert states(back) == ["Healthy"]


def test_efficiency_and_load_are_published_where_the_level_is_known() -> None:
    _, verdicts = play(lambda _: Moment(200.0, 16.0), start=LEARNED, end=LEARNED + 15, memory=learned())
    verdict = verdicts[0][1]
    assert isinstance(verdict.of_baseline, Known)
    assert verdict.of_baseline.value == pytest.approx(0.8, rel=0.01)
    assert isinstance(verdict.load, Known)
    assert verdict.load.value == pytest.approx(16 / 32, rel=0.01)


def test_every_time_derives_from_the_window() -> None:
    terms = Terms(factory=None, window_seconds=30, collapse_for_seconds=6.0)
    memory, warm = play(
        lambda now: healthy(now * 10), start=0.0, end=LEARNED / 10, memory=None, step=1.5, terms=terms
    )
    assert states(warm) == ["WarmingUp", "Healthy"]
    _, verdicts = play(
        lambda _: Moment(100.0, 16.0), start=300.0, end=330.0, memory=memory, step=1.5, terms=terms
    )
    first = next(now for now, verdict in verdicts if verdict.denominator.value == "ThroughputCollapsed")
    assert first == pytest.approx(306.0)


def test_decode_is_judged_where_the_pool_is_disaggregated() -> None:
    loads = (load(role=Role.PREFILL), load(role=Role.DECODE, tokens=5.0), load(role=Role.AGGREGATED))
    found = judged_load(loads)
    assert found is not None
    assert found.role is Role.DECODE
    assert judged_load(loads[:1]) is None


def test_a_level_far_under_its_own_is_not_learned_though_it_is_no_collapse() -> None:
    _, verdicts = play(lambda _: Moment(150.0, 16.0), start=LEARNED, end=LEARNED + 20_000, memory=learned())
    assert states(verdicts) == ["Healthy"]
    last = verdicts[-1][1].of_baseline
    assert isinstance(last, Known)
    assert last.value == pytest.approx(0.6, rel=0.01)


def test_nothing_is_learned_while_a_collapse_is_open() -> None:
    hung = Moment(0.0, 0.0, running=40.0, moving=False)
    memory, _ = play(lambda _: hung, start=0.0, end=300.0, memory=None)
    memory, verdicts = play(lambda _: Moment(50.0, 16.0), start=300.0, end=800.0, memory=memory)
    assert states(verdicts) == ["ThroughputCollapsed"]
    assert memory is not None
    assert memory.baselines == ()
