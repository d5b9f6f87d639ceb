"""Why a pool is worse than it was: the likely cause, its evidence, and words that stay as first said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.unit.judgement.builders import Moment, counters, declaration, inspected, known, play, replica
from tests.unit.judgement.test_denominator_judge import LEARNED, OTHER
from tokenfactory.judgement.evidence import Evidence
from tokenfactory.judgement.judge import JudgeMemory
from tokenfactory.judgement.memory_codec import decode, encode
from tokenfactory.judgement.profile import Trait
from tokenfactory.model import (
    BoardFigures,
    DeclarationState,
    EngineEvidence,
    Finding,
    Fleet,
    OptimizationName,
    ReplicaLoad,
    Verdict,
)

Change = Callable[[Evidence], Evidence]
GOOD = Moment(250.0, 16.0)
POOR = Moment(100.0, 16.0, waiting=9.0)
STATES = {"ThroughputCollapsed", "EfficiencyDegraded", "EngineStalled"}
PLAIN = counters(
    "serving-0",
    drafts=700.0,
    draft_tokens=2100.0,
    accepted_tokens=1300.0,
    loaded_bytes=8e6,
    transfers=100.0,
    transfer_failures=0.0,
)


def engine(**changes: Any) -> EngineEvidence:
    return replace(PLAIN, **changes)


def board(number: int, **changes: Any) -> BoardFigures:
    return BoardFigures(pod_uid=f"serving-{number}", **changes)


def working(item: ReplicaLoad, *, rate: float = 250.0) -> ReplicaLoad:
    return replace(item, seconds=300.0, gpu_seconds=300.0, tokens=rate * 300, sequence_seconds=4800.0)


def scene(
    *,
    seen: EngineEvidence = PLAIN,
    gpus: dict[str, Any] | None = None,
    cached: float = 0.5,
    epoch: str = "e1",
    mtp: bool = True,
    loads: dict[str, Any] | None = None,
    slow: int = 0,
    fleet: Fleet | None = None,
    boards: tuple[BoardFigures, ...] = (),
) -> Change:
    """A cycle in which all that causes are found by is on the pages."""

    def change(evidence: Evidence) -> Evidence:
        economics = evidence.economics
        (load,) = economics.loads
        base: dict[str, Any] = {
            "preemptions": 0.0,
            "prompt_tokens_per_request": 1000.0,
            "kv_usage": 0.6,
            "replicas": tuple(
                working(item, rate=60.0 if index < slow else 250.0)
                for index, item in enumerate(load.replicas)
            ),
        }
        figures = {"throttled_share": known(0.1), "sm_megahertz": known(1900.0), **(gpus or {})}
        asked = declaration(
            OptimizationName.MULTI_TOKEN_PREDICTION,
            DeclarationState.DECLARED if mtp else DeclarationState.NOT_DECLARED,
            source="--speculative-config" if mtp else "",
            method="mtp" if mtp else "",
        )
        return replace(
            evidence,
            fleet=fleet or evidence.fleet,
            inspected=(replace(inspected("serving-0", asked), epoch=epoch),),
            economics=replace(
                economics,
                evidence=(seen,),
                boards=boards,
                gpus=replace(economics.gpus, **figures),
                throughput=replace(economics.throughput, cached_input_share=known(cached)),
                loads=(replace(load, **{**base, **(loads or {})}),),
            ),
        )

    return change


@cache
def learned() -> JudgeMemory:
    memory, _ = play(lambda _: replace(GOOD, change=scene()), start=0.0, end=LEARNED, memory=None)
    assert memory is not None
    return memory


def after(moment: Moment, *, seconds: float = 1500.0, memory: JudgeMemory | None = None) -> list[Verdict]:
    start = memory or learned()
    _, verdicts = play(lambda _: moment, start=LEARNED, end=LEARNED + seconds, memory=start)
    return [verdict for _, verdict in verdicts]


def reason(verdict: Verdict) -> Finding:
    """The finding that says why; the others say what."""
    (found,) = [item for item in verdict.findings if item.cause not in {*STATES, "PaidIdle"}]
    return found


NOT_READY = Fleet(
    replicas=tuple(
        replace(item, pod=replace(item.pod, ready=index < 5))
        for index, item in enumerate(replica(f"serving-{index}") for index in range(8))
    )
)


@pytest.mark.parametrize(
    ("change", "cause", "words"),
    [
        ({"seen": engine(accepted_tokens=70.0)}, "AcceptanceFell", "1.1 tokens a step, 2.9 while healthy"),
        ({"seen": engine(loaded_bytes=0.0)}, "OffloadStopped", "loads nothing back"),
        ({"seen": engine(transfer_failures=400.0)}, "TransfersFailing", "network"),
        ({"gpus": {"throttled_share": known(0.63)}}, "ClocksThrottled", "60 % of the samples, 10 %"),
        ({"gpus": {"sm_megahertz": known(1050.0)}}, "ClocksThrottled", "1000 MHz, at 1900 while healthy"),
        (
            {"boards": (board(3, xids=(79,)),)},
            "GPUErrors",
            "XID 79 on the GPUs of serving-3",
        ),
        ({"gpus": {"observed": known(6.0)}}, "GPUsUnobserved", "fell off the bus"),
        ({"cached": 0.1}, "CacheHitsFell", "10 % of the prompt tokens"),
        ({"loads": {"prompt_tokens_per_request": 4000.0}}, "PromptsLonger", "4 times as long"),
        ({"loads": {"preemptions": 400.0}}, "Preemptions", "preempted"),
        (
            {
                "slow": 2,
                "boards": (board(0, thermal_share=0.9), board(1, thermal_share=0.9)),
            },
            "SlowReplica",
            "serving-0, serving-1 are far slower than the others (heat)",
        ),
        ({"slow": 2}, "SlowReplica", "serving-0, serving-1 are far slower"),
        ({"fleet": NOT_READY}, "ReplicasLoading", "not ready"),
        ({}, "Unknown", "no known cause shows"),
    ],
)
def test_a_collapse_names_its_likely_cause_and_what_it_costs(
    change: dict[str, Any], cause: str, words: str
) -> None:
    verdict = after(replace(POOR, change=scene(**change)))[-1]
    assert verdict.denominator == "ThroughputCollapsed"
    found = reason(verdict)
    assert (found.cause, found.cost_per_hour) == (cause, None)
    assert words in found.message
    assert found.message in verdict.denominator_message
    assert verdict.denominator_message.endswith("; about 12 USD an hour")
    (state,) = [item for item in verdict.findings if item.cause == "ThroughputCollapsed"]
    assert state.message == verdict.denominator_message
    assert str(state.cost_per_hour) == "12"


def test_a_rollout_that_loses_an_optimization_names_it_and_its_flag() -> None:
    moment = replace(
        POOR,
        epoch=OTHER,
        change=scene(seen=engine(drafts=None, accepted_tokens=None), mtp=False, epoch=OTHER),
    )
    verdict = after(moment, seconds=3000.0)[-1]
    found = reason(verdict)
    assert found.cause == "OptimizationLost"
    assert "MultiTokenPrediction disappeared in the rollout (--speculative-config is gone)" in found.message
    assert verdict.denominator_message.startswith("since revision c0ffee00, ")


def test_a_rollout_that_lost_nothing_known_is_the_cause_itself() -> None:
    moment = replace(POOR, epoch=OTHER, change=scene(epoch=OTHER))
    assert reason(after(moment, seconds=3000.0)[-1]).cause == "Rollout"


def test_the_words_stay_while_the_numbers_move() -> None:
    """Acceptance goes on falling, and so does the output: one message as long as the state lasts."""
    lengths = iter(range(10_000))

    def trace(_: float) -> Moment:
        step = next(lengths)
        change = scene(seen=engine(accepted_tokens=max(0.0, 500.0 - 4 * step)))
        return Moment(100.0 - 0.1 * step, 16.0, waiting=9.0, change=change)

    _, verdicts = play(trace, start=LEARNED, end=LEARNED + 1500, memory=learned())
    said = {v.denominator_message for _, v in verdicts if v.denominator == "ThroughputCollapsed"}
    assert len(said) == 1


def test_an_unknown_cause_is_replaced_once_there_is_evidence() -> None:
    def trace(now: float) -> Moment:
        late = now > LEARNED + 1200
        return replace(POOR, change=scene(boards=(board(3, xids=(48,)),) if late else ()))

    _, verdicts = play(trace, start=LEARNED, end=LEARNED + 1500, memory=learned())
    causes = [reason(v).cause for _, v in verdicts if v.denominator == "ThroughputCollapsed"]
    assert list(dict.fromkeys(causes)) == ["Unknown", "GPUErrors"]


def test_a_stalled_engine_is_named() -> None:
    one = working(ReplicaLoad(id=PLAIN.id, epoch="e1", product="B200", fresh=True))
    stuck = replace(one, tokens=0.0, sequence_seconds=0.0, running=4.0, still_seconds=400.0)
    verdict = after(replace(GOOD, change=scene(loads={"replicas": (stuck,)})))[-1]
    assert verdict.denominator == "EngineStalled"
    assert "serving-0 is stuck" in verdict.denominator_message


def test_one_slow_replica_of_eight_is_a_finding_with_its_cost_and_no_state() -> None:
    verdicts = after(replace(GOOD, change=scene(slow=1)))
    assert {verdict.denominator.value for verdict in verdicts} == {"Healthy"}
    assert verdicts[5].findings == (), "for a window it may be chance"
    found = reason(verdicts[-1])
    assert found.cause == "SlowReplica"
    assert str(found.cost_per_hour) == "1.9", "(1 - 60/250) of an eighth of 20 USD an hour"


def test_without_a_healthy_past_nothing_is_compared() -> None:
    change = scene(seen=engine(accepted_tokens=70.0), gpus={"throttled_share": known(1.0)})
    _, verdicts = play(lambda _: replace(GOOD, change=change), start=0.0, end=900.0, memory=None)
    assert all(verdict.findings == () for _, verdict in verdicts)


def test_the_healthy_profile_is_not_taught_by_a_sick_pool() -> None:
    sick = replace(POOR, change=scene(seen=engine(accepted_tokens=70.0)))
    memory, _ = play(lambda _: sick, start=LEARNED, end=LEARNED + 6000, memory=learned())
    assert memory is not None
    (profile,) = memory.past.profiles
    assert profile.traits[Trait.ACCEPTANCE_LENGTH] == pytest.approx(1 + 1300 / 700, rel=0.05)


def test_the_profile_outlives_a_restart() -> None:
    again = decode(encode(learned()))
    assert again is not None
    assert [item.active for item in again.past.profiles] == [item.active for item in learned().past.profiles]
    verdict = after(replace(POOR, change=scene(seen=engine(accepted_tokens=70.0))), memory=again)[-1]
    assert reason(verdict).cause == "AcceptanceFell"


def test_a_recovered_pool_has_no_cause() -> None:
    memory, _ = play(
        lambda _: replace(POOR, change=scene()), start=LEARNED, end=LEARNED + 900, memory=learned()
    )
    _, verdicts = play(
        lambda _: replace(GOOD, change=scene()), start=LEARNED + 900, end=LEARNED + 3000, memory=memory
    )
    assert verdicts[-1][1].denominator == "Healthy"
    assert verdicts[-1][1].findings == ()


def test_an_xid_is_a_finding_at_once_and_for_a_window_after_it_was_last_seen() -> None:
    def trace(now: float) -> Moment:
        hit = (board(3, xids=(63,)),) if LEARNED + 60 <= now < LEARNED + 360 else ()
        return replace(GOOD, change=scene(boards=hit))

    _, verdicts = play(trace, start=LEARNED, end=LEARNED + 1500, memory=learned())
    seen = [at - LEARNED for at, verdict in verdicts if verdict.findings]
    assert (seen[0], seen[-1]) == (60.0, 645.0)
