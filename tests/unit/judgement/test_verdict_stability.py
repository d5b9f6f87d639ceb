"""A quiet pool writes nothing: noise leaves conditions, rows' states and findings as they are."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

from tests.unit.judgement.builders import (
    POOL,
    counters,
    declaration,
    economics,
    evidence,
    inspected,
    known,
    load,
)
from tokenfactory.judgement.judge import Evidence, JudgeMemory, judge
from tokenfactory.model import (
    CostBasis,
    Coverage,
    DeclarationState,
    DenominatorState,
    FailureReason,
    Objectives,
    OptimizationName,
    Policy,
    Requirement,
    Tokens,
    reasons,
)

NAMES = (OptimizationName.SPECULATIVE_DECODING, OptimizationName.KV_CACHE_OFFLOADING)


def noisy(now: float, *, chance: random.Random) -> Evidence:
    """A pool with one dead replica, an objective missed and idle time, every number 1 % off its mean."""

    def around(mean: float) -> float:
        return mean * chance.uniform(0.99, 1.01)

    base = economics()
    money = replace(
        base,
        coverage=Coverage(expected=8, scraped=7),
        failures=(("serving-3", FailureReason.UNREACHABLE),),
        loads=(
            load(
                tokens=around(600_000.0),
                per_ready_gpu=known(around(250.0)),
                concurrency=known(around(16.0)),
                running=float(chance.randint(120, 136)),
                fresh_share=7 / 8,
            ),
        ),
        cost=replace(
            base.cost,
            per_million={basis: known(Decimal(repr(around(0.3)))) for basis in CostBasis},
            idle_share=known(around(0.3)),
            per_hour=known(Decimal(20)),
        ),
        throughput=replace(
            base.throughput, per_gpu=known(around(750.0)), tokens=known(Tokens(output=around(6e5)))
        ),
    )
    told = tuple(declaration(name, DeclarationState.DECLARED, source="--flag") for name in NAMES)
    pages = tuple(
        counters(
            f"serving-{index}",
            output_tokens=around(2000.0),
            drafts=around(1000.0),
            accepted_tokens=around(1450.0),
            stored_bytes=around(1e9),
            loaded_bytes=around(1e7) if chance.random() < 0.9 else 0.0,
        )
        for index in range(8)
    )
    return evidence(
        pool=replace(POOL, objectives=Objectives(max_cost_per_million_tokens=Decimal("0.2"))),
        requirements=tuple(Requirement(name=name, policy=Policy.REQUIRED) for name in NAMES),
        engines=tuple(inspected(f"serving-{index}", *told) for index in range(8)),
        seen=pages,
        money=money,
        now=now,
    )


def test_fifty_noisy_cycles_keep_the_conditions_word_for_word() -> None:
    chance = random.Random(7)
    memory: JudgeMemory | None = None
    for cycle in range(150):
        memory, _ = judge(noisy(cycle * 15.0, chance=chance), memory)
    seen = set()
    for cycle in range(150, 200):
        memory, verdict = judge(noisy(cycle * 15.0, chance=chance), memory)
        states = tuple((row.name, row.state, row.evidence, row.declared) for row in verdict.rows)
        messages = tuple((finding.cause, finding.message) for finding in verdict.findings)
        seen.add((verdict.conditions, states, messages, verdict.denominator))
    assert len(seen) == 1
    (conditions, *_), *_ = seen
    assert {item.type: item.status.value for item in conditions}["DenominatorHealthy"] == "True"


def test_every_state_of_the_denominator_is_a_reason() -> None:
    assert {state.value for state in DenominatorState} <= {item.value for item in reasons.DenominatorReason}
