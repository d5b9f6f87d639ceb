"""T21-T24: mistakes of other tools in telling whether an optimization runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.judgement.builders import counters, declaration, evidence, inspected, replica
from tokenfactory.judgement.judge import judge
from tokenfactory.judgement.optimizations import judge_optimizations
from tokenfactory.measure import Grade, Known
from tokenfactory.model import (
    DeclarationState,
    EngineEvidence,
    Fleet,
    OptimizationName,
    OptimizationRow,
    OptimizationState,
    Policy,
    Requirement,
    Savings,
    Signal,
)

FP4 = OptimizationName.FP4
SPEC = OptimizationName.SPECULATIVE_DECODING
MTP = OptimizationName.MULTI_TOKEN_PREDICTION
KV = OptimizationName.KV_CACHE_OFFLOADING
D, S = DeclarationState, OptimizationState
DRAFTS = frozenset({Signal.DRAFTS, Signal.ACCEPTED_TOKENS, Signal.DRAFT_TOKENS})
OFFLOAD = frozenset({Signal.OFFLOAD_STORED_BYTES, Signal.OFFLOAD_LOADED_BYTES})


def rows_of(
    name: OptimizationName,
    state: DeclarationState,
    seen: EngineEvidence,
    *,
    capability: int | None = 10,
    **changes: Any,
) -> dict[OptimizationName, OptimizationRow]:
    asked = tuple(Requirement(name=item, policy=Policy.REQUIRED) for item in OptimizationName)
    found = evidence(
        requirements=asked,
        seen=(seen,),
        fleet=Fleet(replicas=(replica("a", capability=capability),)),
        engines=(inspected("a", declaration(name, state, method="mtp" if name is MTP else ""), **changes),),
    )
    return {row.name: row for row in judge_optimizations(found)}


@pytest.mark.parametrize(
    ("capability", "forced", "state"),
    [(10, "", S.ACTIVE), (9, "", S.UNSUPPORTED), (None, "", S.UNVERIFIABLE), (10, "marlin", S.INEFFECTIVE)],
    ids=["native", "weight-only on Hopper", "GPU not known", "weight-only forced"],
)
def test_T21_fp4_weights_are_fp4_compute_only_where_the_gpu_has_it(
    capability: int | None, forced: str, state: OptimizationState
) -> None:
    changes = {"weight_only_forced": True} if forced else {}
    found = rows_of(FP4, D.DECLARED, counters("a"), capability=capability, **changes)[FP4].state
    assert found is state or (forced and found is not S.ACTIVE)


def test_T22_speculation_that_is_on_and_accepts_nothing_is_ineffective() -> None:
    seen = counters("a", drafts=1000.0, draft_tokens=3000.0, accepted_tokens=40.0, families=DRAFTS)
    assert rows_of(SPEC, D.DECLARED, seen)[SPEC].state is S.INEFFECTIVE


def test_T22_the_acceptance_length_counts_the_token_that_every_step_makes() -> None:
    seen = counters("a", drafts=1000.0, draft_tokens=3000.0, accepted_tokens=1500.0, families=DRAFTS)
    assert rows_of(SPEC, D.DECLARED, seen)[SPEC].acceptance_length == pytest.approx(2.5)


def test_T22_mtp_is_one_win_and_not_two() -> None:
    seen = counters("a", drafts=1000.0, draft_tokens=3000.0, accepted_tokens=1500.0, families=DRAFTS)
    saving = Known(value=1, basis="USD", source="§12", grade=Grade.ESTIMATED)
    found = evidence(
        requirements=tuple(Requirement(name=item, policy=Policy.REQUIRED) for item in (SPEC, MTP)),
        seen=(seen,),
        fleet=Fleet(replicas=(replica("a"),)),
        engines=(
            inspected(
                "a", declaration(MTP, D.DECLARED, method="mtp"), declaration(SPEC, D.DECLARED, method="mtp")
            ),
        ),
    )
    money = replace(found.economics, savings=Savings(speculation=saving))  # type: ignore[arg-type]
    _, verdict = judge(replace(found, economics=money), None)
    rows = {row.name: row for row in verdict.rows}
    assert (rows[SPEC].state, rows[MTP].state) == (S.ACTIVE, S.ACTIVE)
    assert isinstance(rows[MTP].saving, Known)
    assert not isinstance(rows[SPEC].saving, Known)
    assert [row.acceptance_length for row in (rows[SPEC], rows[MTP])].count(None) == 1


def test_T23_bytes_stored_and_never_loaded_are_cost_without_benefit() -> None:
    seen = counters("a", stored_bytes=1e9, loaded_bytes=0.0, families=OFFLOAD)
    assert rows_of(KV, D.DECLARED, seen)[KV].state is S.INEFFECTIVE
    loaded = replace(seen, loaded_bytes=1e8)
    assert rows_of(KV, D.DECLARED, loaded)[KV].state is S.ACTIVE


def test_T24_not_known_is_an_answer_and_says_what_would_tell() -> None:
    blind = counters("a", readable=False, prompt_tokens=0.0, output_tokens=0.0)
    row = rows_of(SPEC, D.OPAQUE, blind)[SPEC]
    assert row.state in (S.UNVERIFIABLE, S.UNKNOWN)
    assert row.evidence
    quiet = counters("a", prompt_tokens=0.0, output_tokens=0.0, drafts=0.0, accepted_tokens=0.0)
    assert rows_of(SPEC, D.DECLARED, replace(quiet, families=DRAFTS))[SPEC].state is S.UNKNOWN


def test_T24_counters_prove_what_no_flag_told() -> None:
    seen = counters("a", drafts=1000.0, draft_tokens=3000.0, accepted_tokens=1500.0, families=DRAFTS)
    assert rows_of(SPEC, D.OPAQUE, seen)[SPEC].state is S.ACTIVE
