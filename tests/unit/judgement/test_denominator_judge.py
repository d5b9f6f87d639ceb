"""The denominator over time: traces of a pool, and the states that the judge goes through."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from tests.unit.judgement.builders import POOL, Moment, evidence, load, play, states
from tokenfactory.judgement.denominator import judged_load
from tokenfactory.judgement.judge import JudgeMemory, judge
from tokenfactory.measure import Known
from tokenfactory.model import Role, Terms, Verdict

LEARNED = 3300.0
OTHER = "c0ffee00"


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


def after(moment: Moment, *, seconds: float = 3000.0) -> list[str]:
    _, verdicts = play(lambda _: moment, start=LEARNED, end=LEARNED + seconds, memory=learned())
    return states(verdicts)


def first(verdicts: list[tuple[float, Verdict]], state: str, *, since: float = 0.0) -> float:
    return next(now for now, verdict in verdicts if verdict.denominator.value == state and now >= since)


def test_the_own_level_takes_four_windows_to_learn() -> None:
    _, verdicts = play(healthy, start=0.0, end=LEARNED, memory=None)
    assert 4 * 300 <= first(verdicts, "Healthy") <= 4.3 * 300


def test_a_window_that_is_not_full_yet_is_warming_up_and_loses_no_baseline() -> None:
    _, verdicts = play(lambda _: Moment(250.0, 16.0, full=False), start=0.0, end=60.0, memory=None)
    assert states(verdicts) == ["WarmingUp"]
    assert not any(verdict.baseline_lost for _, verdict in verdicts)


def test_under_half_of_the_own_level_with_a_queue_is_a_collapse() -> None:
    assert after(Moment(100.0, 16.0, waiting=20.0), seconds=900.0) == ["Healthy", "ThroughputCollapsed"]


@pytest.mark.parametrize(
    "moment",
    [Moment(150.0, 32.0), Moment(125.0, 22.0), Moment(150.0, 16.0)],
    ids=["at higher concurrency", "between two learned concurrencies", "60 %"],
)
def test_without_a_queue_it_is_degraded_first(moment: Moment) -> None:
    assert after(moment, seconds=900.0) == ["Healthy", "EfficiencyDegraded"]


def test_a_collapse_that_lasts_four_windows_is_one_without_a_queue_too() -> None:
    assert after(Moment(100.0, 16.0)) == ["Healthy", "EfficiencyDegraded", "ThroughputCollapsed"]
    assert after(Moment(150.0, 16.0)) == ["Healthy", "EfficiencyDegraded"]


@pytest.mark.parametrize(
    "moment",
    [
        Moment(200.0, 16.0),
        Moment(250.0, 16.0),
        Moment(300.0, 22.0),
        Moment(125.0, 8.0),
        Moment(375.0, 64.0),
        Moment(600.0, 32.0),
    ],
    ids=["80 %", "100 %", "between", "proportional below", "flat above", "better than ever"],
)
def test_at_its_level_the_pool_is_healthy(moment: Moment) -> None:
    assert after(moment) == ["Healthy"]


def test_a_step_to_nothing_is_called_within_three_quarters_of_a_window() -> None:
    _, verdicts = play(
        lambda _: Moment(1.0, 16.0, waiting=9.0), start=LEARNED, end=LEARNED + 300, memory=learned()
    )
    assert first(verdicts, "ThroughputCollapsed") - LEARNED <= 0.8 * 300


def test_a_step_to_two_fifths_is_called_within_one_window_and_a_tenth() -> None:
    _, verdicts = play(
        lambda _: Moment(100.0, 16.0, waiting=9.0), start=LEARNED, end=LEARNED + 600, memory=learned()
    )
    found = first(verdicts, "ThroughputCollapsed") - LEARNED
    assert 0.8 * 300 <= found <= 1.1 * 300


def test_a_step_to_three_fifths_is_degraded_within_two_windows() -> None:
    _, verdicts = play(lambda _: Moment(150.0, 16.0), start=LEARNED, end=LEARNED + 900, memory=learned())
    assert 1.5 * 300 <= first(verdicts, "EfficiencyDegraded") - LEARNED <= 2 * 300


def test_a_dip_of_half_a_window_is_none() -> None:
    def dips(now: float) -> Moment:
        return Moment(100.0 if now < LEARNED + 150 else 250.0, 16.0, waiting=9.0)

    _, verdicts = play(dips, start=LEARNED, end=LEARNED + 900.0, memory=learned())
    assert "ThroughputCollapsed" not in states(verdicts)
    assert "EfficiencyDegraded" not in states(verdicts)


def test_a_collapse_clears_above_its_edge_held_for_two_windows() -> None:
    def recovers(now: float) -> Moment:
        return Moment(100.0 if now < LEARNED + 600 else 245.0, 16.0, waiting=9.0)

    _, verdicts = play(recovers, start=LEARNED, end=LEARNED + 2400.0, memory=learned())
    assert states(verdicts) == ["Healthy", "ThroughputCollapsed", "Healthy"]
    cleared = first(verdicts, "Healthy", since=LEARNED + 600) - LEARNED - 600
    assert 2 * 300 <= cleared <= 3.2 * 300


def test_an_open_collapse_stays_open_between_its_edges() -> None:
    def half(now: float) -> Moment:
        return Moment(100.0 if now < LEARNED + 600 else 165.0, 16.0, waiting=9.0)

    _, verdicts = play(half, start=LEARNED, end=LEARNED + 3000.0, memory=learned())
    assert states(verdicts) == ["Healthy", "ThroughputCollapsed"]


def test_a_collapse_is_never_learned_as_the_level() -> None:
    assert after(Moment(100.0, 16.0, waiting=9.0), seconds=20_000.0) == ["Healthy", "ThroughputCollapsed"]


def test_a_poor_level_is_never_learned_though_it_is_not_degraded() -> None:
    _, verdicts = play(lambda _: Moment(195.0, 16.0), start=LEARNED, end=LEARNED + 20_000, memory=learned())
    assert states(verdicts) == ["Healthy"]
    last = verdicts[-1][1].of_baseline
    assert isinstance(last, Known)
    assert last.value == pytest.approx(0.78, rel=0.01)


def test_low_demand_is_no_collapse() -> None:
    assert after(Moment(0.5, 0.02, running=0.0))[-1] == "LowDemand"
    assert after(Moment(0.0, 0.0, running=0.0, moving=False)) == ["Healthy", "LowDemand"]


def test_waiting_requests_are_demand_at_any_concurrency() -> None:
    assert "LowDemand" not in after(Moment(5.0, 0.3, waiting=3.0, running=128.0))


def test_requests_that_wait_before_empty_seats_are_a_collapse() -> None:
    """Proportionally fewer sequences decode: at their own concurrency they would look well."""
    starved = Moment(250.0 * 2 / 16, 2.0, waiting=50.0, running=16.0)
    assert after(starved, seconds=900.0)[-1] == "ThroughputCollapsed"


def test_low_demand_does_not_flap_around_its_edge() -> None:
    def edge(now: float) -> Moment:
        concurrency = 0.45 if int(now / 600) % 2 else 0.6
        return Moment(concurrency * 15, concurrency, running=4.0)

    _, verdicts = play(edge, start=LEARNED + 600, end=LEARNED + 6000.0, memory=learned())
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
def test_requests_without_a_token_for_half_a_window_are_a_stall(moment: Moment, learned_before: bool) -> None:
    memory = learned() if learned_before else None
    _, verdicts = play(lambda _: moment, start=LEARNED, end=LEARNED + 600.0, memory=memory)
    assert first(verdicts, "EngineStalled") - LEARNED <= 150.0
    assert states(verdicts)[-1] == "EngineStalled"


def test_a_stall_ends_when_tokens_have_come_for_half_a_window() -> None:
    def resumes(now: float) -> Moment:
        return Moment(250.0, 16.0, moving=now > LEARNED + 300)

    _, verdicts = play(resumes, start=LEARNED, end=LEARNED + 900, memory=learned())
    assert states(verdicts) == ["Healthy", "EngineStalled", "Healthy"]
    assert first(verdicts, "Healthy", since=LEARNED + 300) - LEARNED - 300 <= 180.0


def test_fewer_than_a_thousand_tokens_open_no_collapse() -> None:
    quiet = Moment(0.4, 16.0)
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
    poor = Moment(100.0, 16.0, waiting=9.0)
    memory, _ = play(lambda _: poor, start=LEARNED, end=LEARNED + 600, memory=learned())
    memory, blind = play(
        lambda _: Moment(0.0, 0.0, fresh=0.0), start=LEARNED + 600, end=LEARNED + 700, memory=memory
    )
    _, later = play(lambda _: poor, start=LEARNED + 700, end=LEARNED + 715, memory=memory)
    assert states(blind) + states(later) == ["Blind", "ThroughputCollapsed"]


def test_efficiency_and_load_are_published_where_the_level_is_known() -> None:
    _, verdicts = play(lambda _: Moment(200.0, 16.0), start=LEARNED, end=LEARNED + 300, memory=learned())
    verdict = verdicts[-1][1]
    assert isinstance(verdict.of_baseline, Known)
    assert verdict.of_baseline.value == pytest.approx(0.8, rel=0.01)
    assert isinstance(verdict.load, Known)
    assert verdict.load.value == pytest.approx(16 / 32, rel=0.01)


def test_full_load_and_a_queue_at_the_own_level_is_saturation() -> None:
    assert after(Moment(375.0, 32.0, waiting=40.0)) == ["Healthy", "Saturated"]
    assert after(Moment(250.0, 16.0, waiting=40.0)) == ["Healthy"]


def test_every_time_derives_from_the_window() -> None:
    terms = Terms(factory=None, window_seconds=30, collapse_for_seconds=6.0)
    memory, warm = play(
        lambda now: healthy(now * 10), start=0.0, end=LEARNED / 10, memory=None, step=1.5, terms=terms
    )
    assert states(warm) == ["WarmingUp", "Healthy"]
    _, slow = play(
        lambda _: Moment(100.0, 16.0, waiting=9.0),
        start=330.0,
        end=390.0,
        memory=memory,
        step=1.5,
        terms=terms,
    )
    _, normal = play(
        lambda _: Moment(100.0, 16.0, waiting=9.0), start=LEARNED, end=LEARNED + 600, memory=learned()
    )
    found = first(slow, "ThroughputCollapsed") - 330
    assert found == pytest.approx((first(normal, "ThroughputCollapsed") - LEARNED) / 10)


def test_decode_is_judged_where_the_pool_is_disaggregated() -> None:
    loads = (load(role=Role.PREFILL), load(role=Role.DECODE, tokens=5.0), load(role=Role.AGGREGATED))
    found = judged_load(loads)
    assert found is not None
    assert found.role is Role.DECODE
    assert judged_load(loads[:1]) is None


def test_a_new_revision_is_held_against_its_predecessor_and_never_accepts_its_own_loss() -> None:
    _, verdicts = play(
        lambda _: Moment(145.0, 16.0, epoch=OTHER), start=LEARNED, end=LEARNED + 30_000, memory=learned()
    )
    assert states(verdicts) == ["Healthy", "EfficiencyDegraded"]
    message = verdicts[-1][1].denominator_message
    assert "since revision c0ffee00, -42 % output per GPU at 16 concurrent" in message
    assert len({verdict.denominator_message for _, verdict in verdicts if verdict.findings}) <= 3


def test_a_revision_between_three_quarters_and_four_fifths_is_not_accepted_either() -> None:
    _, verdicts = play(
        lambda _: Moment(193.0, 16.0, epoch=OTHER), start=LEARNED, end=LEARNED + 6000, memory=learned()
    )
    assert states(verdicts) == ["Healthy", "EfficiencyDegraded"]


def test_a_revision_that_is_about_as_good_becomes_the_level() -> None:
    memory, verdicts = play(
        lambda _: Moment(225.0, 16.0, epoch=OTHER), start=LEARNED, end=LEARNED + 3000, memory=learned()
    )
    assert states(verdicts) == ["Healthy"]
    last = verdicts[-1][1].of_baseline
    assert isinstance(last, Known)
    assert last.value == pytest.approx(1.0, rel=0.01)
    _, back = play(lambda _: Moment(250.0, 16.0), start=LEARNED + 3000, end=LEARNED + 3300, memory=memory)
    found = back[-1][1].of_baseline
    assert isinstance(found, Known)
    assert found.value == pytest.approx(1.0, rel=0.05)


def test_a_roll_back_resolves_what_the_revision_lost() -> None:
    def rolled(now: float) -> Moment:
        poor = now < LEARNED + 1200
        return Moment(110.0 if poor else 250.0, 16.0, waiting=9.0, epoch=OTHER if poor else "e1")

    _, verdicts = play(rolled, start=LEARNED, end=LEARNED + 3600, memory=learned())
    assert states(verdicts)[0] == states(verdicts)[-1] == "Healthy"
    assert "ThroughputCollapsed" in states(verdicts)


def test_the_annotation_accepts_a_poorer_revision() -> None:
    memory, _ = play(
        lambda _: Moment(145.0, 16.0, epoch=OTHER), start=LEARNED, end=LEARNED + 3000, memory=learned()
    )
    pool = replace(POOL, accept_baseline=OTHER[:8])
    _, verdicts = play(
        lambda _: Moment(145.0, 16.0, epoch=OTHER),
        start=LEARNED + 3000,
        end=LEARNED + 6000,
        memory=memory,
        pool=pool,
    )
    assert states(verdicts)[-1] == "Healthy"
    last = verdicts[-1][1].of_baseline
    assert isinstance(last, Known)
    assert last.value == pytest.approx(1.0, rel=0.01)


def test_the_annotation_lets_a_level_that_no_longer_holds_be_learned_anew() -> None:
    memory, before = play(
        lambda _: Moment(145.0, 16.0, epoch="e1"), start=LEARNED, end=6000, memory=learned()
    )
    assert states(before)[-1] == "EfficiencyDegraded"
    pool = replace(POOL, accept_baseline="e1")
    _, verdicts = play(lambda _: Moment(145.0, 16.0), start=6000, end=9000, memory=memory, pool=pool)
    assert states(verdicts) == ["WarmingUp", "Healthy"]


def test_nothing_is_learned_while_engines_stall() -> None:
    memory, _ = play(lambda _: Moment(50.0, 16.0, moving=False), start=0.0, end=600.0, memory=None)
    assert memory is not None
    assert memory.baselines == ()


@pytest.mark.parametrize("windows", [50, 200])
def test_a_decline_so_slow_that_each_hour_looks_normal_is_not_learned_as_normal(windows: int) -> None:
    def declines(now: float) -> Moment:
        return Moment(250.0 * (1 - 0.5 * min(1.0, (now - LEARNED) / (300 * windows))), 16.0)

    _, verdicts = play(declines, start=LEARNED, end=LEARNED + 300 * windows, memory=learned(), step=60.0)
    assert states(verdicts) == ["Healthy", "EfficiencyDegraded"]
