"""The states of an optimization: one table row for each rule of the API's text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.judgement.builders import counters, declaration, evidence, inspected, replica
from tokenfactory.judgement.judge import JudgeMemory, judge
from tokenfactory.judgement.optimizations import judge_optimizations
from tokenfactory.model import (
    Container,
    DeclarationState,
    Endpoint,
    Engine,
    EngineEvidence,
    EngineKind,
    FailureReason,
    Fleet,
    MetricsEndpoint,
    MetricsState,
    OptimizationName,
    OptimizationRow,
    OptimizationState,
    Policy,
    Requirement,
    Role,
    Signal,
)

SPEC = OptimizationName.SPECULATIVE_DECODING
MTP = OptimizationName.MULTI_TOKEN_PREDICTION
KV = OptimizationName.KV_CACHE_OFFLOADING
FP4 = OptimizationName.FP4
PD = OptimizationName.DISAGGREGATED_SERVING
D = DeclarationState
S = OptimizationState

IDLE: dict[str, Any] = {"prompt_tokens": 0.0, "output_tokens": 0.0}
GOOD_DRAFTS: dict[str, Any] = {"drafts": 1000.0, "accepted_tokens": 1400.0}
BAD_DRAFTS: dict[str, Any] = {"drafts": 1000.0, "accepted_tokens": 100.0}
NO_PAGE: dict[str, Any] = {"readable": False, **IDLE}


def rows_of(*, minimum: float | None = None, **changes: Any) -> dict[OptimizationName, OptimizationRow]:
    asked = tuple(
        Requirement(
            name=name,
            policy=Policy.REQUIRED,
            minimum_acceptance_length=minimum if name in (SPEC, MTP) else None,
        )
        for name in OptimizationName
    )
    return {row.name: row for row in judge_optimizations(evidence(requirements=asked, **changes))}


def one(
    name: OptimizationName,
    state: DeclarationState,
    page: dict[str, Any],
    *,
    method: str = "",
    minimum: float | None = None,
) -> OptimizationRow:
    engine = inspected("serving-0", declaration(name, state, method=method, source="--flag"))
    return rows_of(minimum=minimum, engines=(engine,), seen=(counters("serving-0", **page),))[name]


SPECULATION = {
    "declared and drafts accepted is Active": (D.DECLARED, GOOD_DRAFTS, S.ACTIVE),
    "a speculators checkpoint and drafts accepted is Active": (D.BY_CHECKPOINT, GOOD_DRAFTS, S.ACTIVE),
    "opaque and proven by counters is Active": (D.OPAQUE, GOOD_DRAFTS, S.ACTIVE),
    "not declared and proven by counters is Active": (D.NOT_DECLARED, GOOD_DRAFTS, S.ACTIVE),
    "an acceptance length under 1.2 is Ineffective": (D.DECLARED, BAD_DRAFTS, S.INEFFECTIVE),
    "a bad acceptance of few drafts is Unknown": (
        D.DECLARED,
        {"drafts": 10.0, "accepted_tokens": 0.0},
        S.UNKNOWN,
    ),
    "declared, traffic and no draft is Ineffective": (D.DECLARED, {"drafts": 0.0}, S.INEFFECTIVE),
    "declared, traffic and no counter family is Ineffective": (D.DECLARED, {}, S.INEFFECTIVE),
    "declared and no traffic is Unknown": (D.DECLARED, {"drafts": 0.0, **IDLE}, S.UNKNOWN),
    "opaque and the family absent from the page is Missing": (D.OPAQUE, {}, S.MISSING),
    "opaque, family absent and no traffic is Missing": (D.OPAQUE, IDLE, S.MISSING),
    "opaque and metrics off is Unverifiable": (D.OPAQUE, NO_PAGE, S.UNVERIFIABLE),
    "declared and metrics off is Unverifiable": (D.DECLARED, NO_PAGE, S.UNVERIFIABLE),
    "declared and a lost scrape is Unknown": (
        D.DECLARED,
        {**NO_PAGE, "failure": FailureReason.TIMED_OUT},
        S.UNKNOWN,
    ),
    "counters of the window outlive a lost scrape": (
        D.DECLARED,
        {**GOOD_DRAFTS, "readable": False, "failure": FailureReason.TIMED_OUT},
        S.ACTIVE,
    ),
    "not declared is Missing": (D.NOT_DECLARED, {}, S.MISSING),
    "off is Missing": (D.OFF, {}, S.MISSING),
    "an invalid declaration is Missing": (D.INVALID, {}, S.MISSING),
    "not declared and no traffic is Missing": (D.NOT_DECLARED, IDLE, S.MISSING),
    "simulated is Simulated whatever the counters say": (D.SIMULATED, GOOD_DRAFTS, S.SIMULATED),
    "drafts without an accepted counter are Unverifiable": (D.DECLARED, {"drafts": 9.0}, S.UNVERIFIABLE),
    "accepted tokens of an engine that counts no drafts (V0) are Active": (
        D.DECLARED,
        {"draft_tokens": 900.0, "accepted_tokens": 500.0},
        S.ACTIVE,
    ),
    "drafted tokens of such an engine, none accepted, are Ineffective": (
        D.DECLARED,
        {"draft_tokens": 900.0, "accepted_tokens": 0.0},
        S.INEFFECTIVE,
    ),
}


@pytest.mark.parametrize(("declared", "page", "state"), SPECULATION.values(), ids=SPECULATION.keys())
def test_speculation(declared: DeclarationState, page: dict[str, Any], state: OptimizationState) -> None:
    assert one(SPEC, declared, page).state is state


def test_a_minimum_acceptance_length_of_the_pool_makes_a_poorer_draft_ineffective() -> None:
    page: dict[str, Any] = {"drafts": 1000.0, "accepted_tokens": 400.0}
    assert one(SPEC, D.DECLARED, page).state is S.ACTIVE
    row = one(SPEC, D.DECLARED, page, minimum=1.5)
    assert row.state is S.INEFFECTIVE
    assert "1.5" in row.evidence
    assert row.observed == "acceptanceLength=1.4"


def test_a_minimum_can_not_be_judged_where_no_drafts_are_counted() -> None:
    page: dict[str, Any] = {"draft_tokens": 900.0, "accepted_tokens": 500.0}
    assert one(SPEC, D.DECLARED, page, minimum=1.5).state is S.UNVERIFIABLE


def test_counters_alone_say_so() -> None:
    assert one(SPEC, D.OPAQUE, GOOD_DRAFTS).evidence.startswith("counters only")
    assert not one(SPEC, D.DECLARED, GOOD_DRAFTS).evidence.startswith("counters only")


def test_acceptance_length_is_one_plus_accepted_over_drafts_summed_over_replicas() -> None:
    told = declaration(SPEC, D.DECLARED)
    row = rows_of(
        engines=(inspected("serving-0", told), inspected("serving-1", told)),
        seen=(
            counters("serving-0", drafts=1000.0, accepted_tokens=1000.0),
            counters("serving-1", drafts=3000.0, accepted_tokens=5000.0),
        ),
    )[SPEC]
    assert row.acceptance_length == pytest.approx(1 + 6000 / 4000)
    assert row.observed == "acceptanceLength=2.5"


GAUGE: dict[str, Any] = {"kind": EngineKind.SGLANG}
GAUGES = {
    "a gauge over 1.2 is Active where no draft is counted": (
        D.DECLARED,
        {"acceptance_gauge": 2.8, **GAUGE},
        S.ACTIVE,
    ),
    "a gauge alone proves what nobody declared": (
        D.NOT_DECLARED,
        {"acceptance_gauge": 2.8, **GAUGE},
        S.ACTIVE,
    ),
    "a gauge under 1.2 is Ineffective": (D.DECLARED, {"acceptance_gauge": 1.05, **GAUGE}, S.INEFFECTIVE),
    "a gauge at 0, declared, with traffic is Ineffective": (
        D.DECLARED,
        {"acceptance_gauge": 0.0, **GAUGE},
        S.INEFFECTIVE,
    ),
    "a gauge at 0 and opaque is Missing": (D.OPAQUE, {"acceptance_gauge": 0.0, **GAUGE}, S.MISSING),
    "a gauge keeps its value without traffic and proves nothing (T12)": (
        D.DECLARED,
        {"acceptance_gauge": 2.8, **GAUGE, **IDLE},
        S.UNKNOWN,
    ),
    "counted steps outrank the gauge": (
        D.DECLARED,
        {"drafts": 1000.0, "accepted_tokens": 20.0, "acceptance_gauge": 2.8, **GAUGE},
        S.INEFFECTIVE,
    ),
}


@pytest.mark.parametrize(("declared", "page", "state"), GAUGES.values(), ids=GAUGES.keys())
def test_speculation_by_gauge(
    declared: DeclarationState, page: dict[str, Any], state: OptimizationState
) -> None:
    assert one(SPEC, declared, page).state is state


def test_the_length_of_a_gauge_is_shown_and_a_minimum_is_judged_by_it() -> None:
    page: dict[str, Any] = {"acceptance_gauge": 2.8, **GAUGE}
    row = one(SPEC, D.DECLARED, page)
    assert (row.acceptance_length, row.observed) == (2.8, "acceptanceLength=2.8")
    assert "gauge" in row.evidence
    assert one(SPEC, D.DECLARED, page, minimum=3.0).state is S.INEFFECTIVE


def test_speculation_of_less_than_half_of_the_output_says_so() -> None:
    rare: dict[str, Any] = {"drafts": 300.0, "accepted_tokens": 400.0}
    assert "less than half of the output" in one(SPEC, D.DECLARED, rare).evidence
    assert "less than half" not in one(SPEC, D.DECLARED, GOOD_DRAFTS).evidence


LITTLE: dict[str, Any] = {"prompt_tokens": 600.0, "output_tokens": 300.0}


@pytest.mark.parametrize(
    ("name", "page"),
    [(SPEC, {"drafts": 0.0}), (KV, {"stored_bytes": 9.0, "loaded_bytes": 0.0})],
    ids=["no draft", "no load"],
)
def test_under_the_token_floor_nothing_is_said_to_have_no_effect(
    name: OptimizationName, page: dict[str, Any]
) -> None:
    assert one(name, D.DECLARED, {**page, **LITTLE}).state is S.UNKNOWN
    assert one(name, D.DECLARED, page).state is S.INEFFECTIVE


MTP_RULES = {
    "method mtp with accepted drafts is Active": (D.DECLARED, "mtp", GOOD_DRAFTS, S.ACTIVE),
    "method mtp with bad drafts is Ineffective": (D.DECLARED, "mtp", BAD_DRAFTS, S.INEFFECTIVE),
    "method mtp and no traffic is Unknown": (D.DECLARED, "mtp", IDLE, S.UNKNOWN),
    "another method is Missing, though drafts are made": (D.NOT_DECLARED, "eagle3", GOOD_DRAFTS, S.MISSING),
    "a declaration without the method mtp is Missing": (D.DECLARED, "eagle3", GOOD_DRAFTS, S.MISSING),
    "opaque is Unverifiable when drafts are made": (D.OPAQUE, "", GOOD_DRAFTS, S.UNVERIFIABLE),
    "opaque is Missing when the family is absent": (D.OPAQUE, "", {}, S.MISSING),
    "opaque and no page is Unverifiable": (D.OPAQUE, "", NO_PAGE, S.UNVERIFIABLE),
    "opaque and the engine's own word is mtp is Active": (
        D.OPAQUE,
        "",
        {**GOOD_DRAFTS, "info": {"spec_method": "MTP"}},
        S.ACTIVE,
    ),
    "the engine's own word outranks the declared method": (
        D.DECLARED,
        "mtp",
        {**GOOD_DRAFTS, "info": {"spec_method": "Eagle3"}},
        S.MISSING,
    ),
    "simulated is Simulated": (D.SIMULATED, "mtp", GOOD_DRAFTS, S.SIMULATED),
    "not declared is Missing": (D.NOT_DECLARED, "", {}, S.MISSING),
}


@pytest.mark.parametrize(("declared", "method", "page", "state"), MTP_RULES.values(), ids=MTP_RULES.keys())
def test_multi_token_prediction(
    declared: DeclarationState, method: str, page: dict[str, Any], state: OptimizationState
) -> None:
    assert one(MTP, declared, page, method=method).state is state


def test_mtp_satisfies_both_rows_and_the_acceptance_is_credited_to_one() -> None:
    engine = inspected(
        "serving-0",
        declaration(SPEC, D.DECLARED, method="mtp"),
        declaration(MTP, D.DECLARED, method="mtp"),
    )
    rows = rows_of(engines=(engine,), seen=(counters("serving-0", **GOOD_DRAFTS),))
    assert rows[SPEC].state is rows[MTP].state is S.ACTIVE
    assert rows[SPEC].observed == "method=mtp"
    assert rows[SPEC].acceptance_length is None
    assert rows[MTP].acceptance_length == pytest.approx(2.4)
    assert rows[MTP].observed == "acceptanceLength=2.4"


OFFLOADING = {
    "loads make it Active": (D.DECLARED, {"stored_bytes": 9.0, "loaded_bytes": 9.0}, S.ACTIVE),
    "hits in the offload tier make it Active": (D.DECLARED, {"offload_hit_tokens": 80.0}, S.ACTIVE),
    "hits of a declared connector make it Active": (D.DECLARED, {"external_hit_tokens": 80.0}, S.ACTIVE),
    "hits of an undeclared connector prove nothing": (
        D.NOT_DECLARED,
        {"external_hit_tokens": 80.0},
        S.MISSING,
    ),
    "stored and never loaded is Ineffective": (
        D.DECLARED,
        {"stored_bytes": 9.0, "loaded_bytes": 0.0},
        S.INEFFECTIVE,
    ),
    "stored, never loaded and opaque is Ineffective": (
        D.OPAQUE,
        {"stored_bytes": 9.0, "loaded_bytes": 0.0},
        S.INEFFECTIVE,
    ),
    "loaded tokens make it Active (SGLang)": (D.DECLARED, {"loaded_tokens": 9.0}, S.ACTIVE),
    "loaded blocks make it Active (KVBM)": (
        D.DECLARED,
        {"stored_blocks": 9.0, "loaded_blocks": 4.0},
        S.ACTIVE,
    ),
    "loads that nobody declared make it Active": (D.NOT_DECLARED, {"loaded_blocks": 4.0}, S.ACTIVE),
    "blocks stored and never loaded are Ineffective (T23)": (
        D.DECLARED,
        {"stored_blocks": 9.0, "loaded_blocks": 0.0},
        S.INEFFECTIVE,
    ),
    "a host cache that is on and never read is Ineffective": (
        D.DECLARED,
        {"offload_capacity": 1e6},
        S.INEFFECTIVE,
    ),
    "a host cache that is on makes an opaque one Ineffective, not Missing": (
        D.OPAQUE,
        {"offload_capacity": 1e6},
        S.INEFFECTIVE,
    ),
    "no traffic is Unknown": (D.DECLARED, {"stored_bytes": 0.0, "loaded_bytes": 0.0, **IDLE}, S.UNKNOWN),
    "declared and a page that can't count it is Unverifiable": (D.DECLARED, {}, S.UNVERIFIABLE),
    "opaque and the family absent is Missing": (D.OPAQUE, {}, S.MISSING),
    "metrics off is Unverifiable": (D.DECLARED, NO_PAGE, S.UNVERIFIABLE),
    "not declared is Missing": (D.NOT_DECLARED, {}, S.MISSING),
}


@pytest.mark.parametrize(("declared", "page", "state"), OFFLOADING.values(), ids=OFFLOADING.keys())
def test_offloading(declared: DeclarationState, page: dict[str, Any], state: OptimizationState) -> None:
    assert one(KV, declared, page).state is state


def test_a_page_that_can_not_count_it_names_what_adds_its_counters() -> None:
    fix = "set enable_iter_perf_stats: true in the file of --config"
    page = MetricsEndpoint(port=8000, path="/prometheus/metrics", state=MetricsState.PARTIAL, fix=fix)
    engine = inspected("serving-0", declaration(KV, D.DECLARED), metrics=page)
    row = rows_of(engines=(engine,), seen=(counters("serving-0"),))[KV]
    assert row.state is S.UNVERIFIABLE
    assert fix in row.evidence


def test_offloading_is_active_when_one_role_does_it_entirely() -> None:
    told, untold = declaration(KV, D.DECLARED), declaration(KV, D.NOT_DECLARED)
    row = rows_of(
        engines=(
            inspected("serving-0", told, role=Role.PREFILL),
            inspected("serving-1", told, role=Role.PREFILL),
            inspected("serving-2", untold, role=Role.DECODE),
        ),
        seen=(
            counters("serving-0", role=Role.PREFILL, loaded_bytes=5.0),
            counters("serving-1", role=Role.PREFILL, loaded_bytes=5.0),
            counters("serving-2", role=Role.DECODE, external_hit_tokens=100.0),
        ),
    )[KV]
    assert (row.state, row.replicas_active, row.replicas_applicable) == (S.ACTIVE, 2, 2)


FP4_RULES = {
    "a checkpoint on Blackwell is Active": (D.BY_CHECKPOINT, 10, False, S.ACTIVE),
    "a flag on a later generation is Active": (D.DECLARED, 12, False, S.ACTIVE),
    "Hopper is Unsupported": (D.BY_CHECKPOINT, 9, False, S.UNSUPPORTED),
    "an unknown capability is Unverifiable": (D.BY_CHECKPOINT, None, False, S.UNVERIFIABLE),
    "a forced weight-only kernel is Ineffective": (D.DECLARED, 10, True, S.INEFFECTIVE),
    "not declared is Missing": (D.NOT_DECLARED, 10, False, S.MISSING),
    "opaque is Unverifiable": (D.OPAQUE, 10, False, S.UNVERIFIABLE),
}


@pytest.mark.parametrize(
    ("declared", "capability", "forced", "state"), FP4_RULES.values(), ids=FP4_RULES.keys()
)
def test_fp4(
    declared: DeclarationState, capability: int | None, forced: bool, state: OptimizationState
) -> None:
    engine = inspected("serving-0", declaration(FP4, declared), weight_only_forced=forced)
    fleet = Fleet(replicas=(replica("serving-0", capability=capability),))
    row = rows_of(engines=(engine,), fleet=fleet)[FP4]
    assert row.state is state


STATED_RULES = {
    "an info gauge alone proves it": (D.OPAQUE, "NVFP4", S.ACTIVE),
    "an info gauge proves what nobody declared": (D.NOT_DECLARED, "NVFP4", S.ACTIVE),
    "other weights than declared are Missing (T21)": (D.BY_CHECKPOINT, "FP8", S.MISSING),
    "other weights and nothing declared are Missing": (D.NOT_DECLARED, "FP8", S.MISSING),
    "a gauge that says none leaves the declaration": (D.BY_CHECKPOINT, "none", S.ACTIVE),
}


@pytest.mark.parametrize(("declared", "stated", "state"), STATED_RULES.values(), ids=STATED_RULES.keys())
def test_fp4_by_what_the_engine_states_of_its_weights(
    declared: DeclarationState, stated: str, state: OptimizationState
) -> None:
    assert one(FP4, declared, {"info": {"quantization": stated}}).state is state


@pytest.mark.parametrize(
    ("gpu", "state"),
    [("NVIDIA B200", S.ACTIVE), ("NVIDIA H100 80GB HBM3", S.UNSUPPORTED), ("?", S.UNVERIFIABLE)],
)
def test_where_no_label_says_the_capability_the_engine_names_its_gpu(
    gpu: str, state: OptimizationState
) -> None:
    rows = rows_of(
        engines=(inspected("serving-0", declaration(FP4, D.DECLARED)),),
        seen=(counters("serving-0", info={"gpu_type": gpu}),),
        fleet=Fleet(replicas=(replica("serving-0", capability=None),)),
    )
    assert rows[FP4].state is state


def test_an_unknown_capability_names_the_label_and_fp4_says_that_it_is_an_estimate() -> None:
    engine = inspected("serving-0", declaration(FP4, D.DECLARED))
    unknown = rows_of(engines=(engine,), fleet=Fleet(replicas=(replica("serving-0", capability=None),)))
    assert "nvidia.com/gpu.compute.major" in unknown[FP4].evidence
    assert "estimated" in rows_of(engines=(engine,))[FP4].evidence


def split(
    *, received: float | None = 900.0, state: DeclarationState = D.DECLARED, busy: bool = True
) -> OptimizationRow:
    told = declaration(PD, state)
    traffic: dict[str, Any] = {} if busy else IDLE
    return rows_of(
        engines=(
            inspected("serving-0", told, role=Role.PREFILL),
            inspected("serving-1", told, role=Role.DECODE),
        ),
        seen=(
            counters("serving-0", role=Role.PREFILL, **traffic),
            counters("serving-1", role=Role.DECODE, external_hit_tokens=received, **traffic),
        ),
    )[PD]


def test_disaggregation_with_both_roles_and_transfers_is_active() -> None:
    row = split()
    assert (row.state, row.replicas_active, row.replicas_applicable) == (S.ACTIVE, 2, 2)


def test_disaggregation_without_a_transfer_is_not_active() -> None:
    assert split(received=0.0).state is S.INEFFECTIVE
    assert split(received=0.0, busy=False).state is S.UNKNOWN
    assert split(state=D.NOT_DECLARED).state is S.MISSING


def pair(
    prefill: dict[str, Any], decode: dict[str, Any], *, state: DeclarationState = D.DECLARED
) -> OptimizationRow:
    told = declaration(PD, state)
    return rows_of(
        engines=(
            inspected("serving-0", told, role=Role.PREFILL),
            inspected("serving-1", told, role=Role.DECODE),
        ),
        seen=(
            counters("serving-0", role=Role.PREFILL, **prefill),
            counters("serving-1", role=Role.DECODE, **decode),
        ),
    )[PD]


SG: dict[str, Any] = {"kind": EngineKind.SGLANG}
TRT: dict[str, Any] = {"kind": EngineKind.TENSORRT_LLM}
PAIRS = {
    "vLLM: what NIXL pulled in on decode": ({"transfers": 0.0}, {"transfers": 12.0}, S.ACTIVE),
    "vLLM: NIXL pulled nothing, the hits are an offload tier's (T1)": (
        {"transfers": 0.0},
        {"transfers": 0.0, "external_hit_tokens": 900.0},
        S.INEFFECTIVE,
    ),
    "vLLM: hits of a connector that counts no transfer": ({}, {"external_hit_tokens": 900.0}, S.ACTIVE),
    "vLLM: decode computes most prompts itself": (
        {},
        {"transfers": 3.0, "computed_prompt_tokens": 7000.0},
        S.INEFFECTIVE,
    ),
    "vLLM: decode computes some prompts itself, as its router may decide": (
        {},
        {"transfers": 3.0, "computed_prompt_tokens": 2000.0},
        S.ACTIVE,
    ),
    "SGLang: what prefill sent": ({"transfers": 210.0, **SG}, SG, S.ACTIVE),
    "SGLang: prefill sent nothing": (SG, SG, S.INEFFECTIVE),
    "SGLang up to 0.5.9: the gauge of the last transfers": (
        {"transfer_gauge": 9.6, **SG},
        {"transfer_gauge": 0.0, **SG},
        S.ACTIVE,
    ),
    "SGLang up to 0.5.9: a gauge without traffic proves nothing (T12)": (
        {"transfer_gauge": 9.6, **SG, **IDLE},
        {**SG, **IDLE},
        S.UNKNOWN,
    ),
    "SGLang: decode computes its prompts itself": (
        {"transfers": 210.0, **SG},
        {"computed_prompt_tokens": 8000.0, **SG},
        S.INEFFECTIVE,
    ),
    "TensorRT-LLM alone counts no transfer": (TRT, TRT, S.UNVERIFIABLE),
    "TensorRT-LLM in Dynamo: transfers on decode": (TRT, {"transfers": 9.0, **TRT}, S.ACTIVE),
    "no traffic on either side": ({"transfers": 0.0, **IDLE}, {"transfers": 0.0, **IDLE}, S.UNKNOWN),
}


@pytest.mark.parametrize(("prefill", "decode", "state"), PAIRS.values(), ids=PAIRS.keys())
def test_a_pair_is_proven_on_the_side_that_counts(
    prefill: dict[str, Any], decode: dict[str, Any], state: OptimizationState
) -> None:
    assert pair(prefill, decode).state is state


def test_transfers_that_fail_often_are_said_on_a_pair_that_works() -> None:
    often = pair({"transfers": 98.0, "transfer_failures": 2.0, **SG}, SG)
    assert often.state is S.ACTIVE
    assert "more than 1 % of the transfers fail" in often.evidence
    assert "fail" not in pair({"transfers": 998.0, "transfer_failures": 2.0, **SG}, SG).evidence


@pytest.mark.parametrize("state", [D.OPAQUE, D.NOT_DECLARED])
def test_a_pair_that_nobody_declared_is_active_where_both_sides_count(state: DeclarationState) -> None:
    row = pair({"transfers": 9.0}, {"transfers": 9.0}, state=state)
    assert row.state is S.ACTIVE
    assert row.evidence.startswith("counters only")


@pytest.mark.parametrize("role", [Role.PREFILL, Role.DECODE, Role.AGGREGATED])
def test_disaggregation_with_one_role_alone_is_missing(role: Role) -> None:
    engine = inspected("serving-0", declaration(PD, D.DECLARED), role=role)
    row = rows_of(engines=(engine,), seen=(counters("serving-0", role=role, external_hit_tokens=5.0),))[PD]
    assert row.state is S.MISSING
    assert "both needed" in row.evidence


def mixed(*pages: EngineEvidence, state: DeclarationState = D.DECLARED) -> OptimizationRow:
    told = declaration(SPEC, state)
    return rows_of(engines=tuple(inspected(page.id.pod_uid, told) for page in pages), seen=pages)[SPEC]


def test_some_replicas_without_effect_make_the_row_partial() -> None:
    row = mixed(counters("serving-0", **GOOD_DRAFTS), counters("serving-1", drafts=0.0))
    assert (row.state, row.replicas_active, row.replicas_applicable) == (S.PARTIAL, 1, 2)
    assert row.evidence.startswith("on some replicas")


def test_a_replica_that_cannot_be_judged_now_does_not_make_the_row_partial() -> None:
    row = mixed(counters("serving-0", **GOOD_DRAFTS), counters("serving-1", drafts=0.0, **IDLE))
    assert (row.state, row.replicas_active, row.replicas_applicable) == (S.ACTIVE, 1, 2)


def judged_windows(*pages: dict[str, Any], seconds: float = 300.0) -> list[OptimizationState]:
    """The states of speculation in windows one after the other."""
    engine = inspected("serving-0", declaration(SPEC, D.DECLARED))
    memory: JudgeMemory | None = None
    states = []
    for number, page in enumerate(pages):
        seen = (counters("serving-0", **page),)
        memory, verdict = judge(evidence(engines=(engine,), seen=seen, now=number * seconds), memory)
        states.append(next(row.state for row in verdict.rows if row.name is SPEC))
    return states


def forced(drafts: float, ratio: float = 1.49) -> dict[str, Any]:
    return {"drafts": drafts, "accepted_tokens": drafts * ratio, "draft_tokens": drafts * 3}


def test_acceptance_that_is_the_same_in_three_large_windows_is_simulated() -> None:
    states = judged_windows(forced(20_000), forced(31_000), forced(14_000), forced(18_000))
    assert states == [S.ACTIVE, S.ACTIVE, S.SIMULATED, S.SIMULATED]


REAL = {
    "it varies": (forced(20_000), forced(20_000, 1.4901), forced(20_000)),
    "windows of fewer than 10,000 drafts": (forced(9_000), forced(9_500), forced(9_999)),
    "all of them accepted": (forced(20_000, 3.0), forced(31_000, 3.0), forced(14_000, 3.0)),
}


@pytest.mark.parametrize("pages", REAL.values(), ids=REAL.keys())
def test_real_acceptance_is_not_called_simulated(pages: tuple[dict[str, Any], ...]) -> None:
    assert judged_windows(*pages) == [S.ACTIVE] * 3


def test_the_same_window_looked_at_three_times_is_one_window() -> None:
    assert judged_windows(*[forced(20_000)] * 5, seconds=60.0) == [S.ACTIVE] * 5


def test_one_simulated_replica_makes_the_row_simulated() -> None:
    engines = (
        inspected("serving-0", declaration(SPEC, D.DECLARED)),
        inspected("serving-1", declaration(SPEC, D.SIMULATED, source="SOME_ENV")),
    )
    pages = tuple(counters(f"serving-{index}", **GOOD_DRAFTS) for index in range(2))
    row = rows_of(engines=engines, seen=pages)[SPEC]
    assert row.state is S.SIMULATED
    assert "SOME_ENV" in row.evidence


def test_an_engine_whose_flags_nobody_read_is_unverifiable_not_missing() -> None:
    rows = rows_of(engines=(inspected("serving-0"),), seen=(counters("serving-0", **NO_PAGE),))
    assert {row.state for row in rows.values()} == {S.UNVERIFIABLE}


def test_a_pod_whose_page_was_not_read_yet_is_unknown_not_missing() -> None:
    container = Container(name="vllm", image="vllm")
    endpoint = Endpoint(ip="10.0.0.1", port=8000, path="/metrics")
    engine = Engine(container=container, kind=EngineKind.VLLM, endpoint=endpoint)
    rows = rows_of(
        engines=(inspected("serving-0", *(declaration(name, D.OPAQUE) for name in (SPEC, KV))),),
        seen=(counters("serving-0", **NO_PAGE),),
        fleet=Fleet(replicas=(replica("serving-0", engine=engine),)),
    )
    assert rows[SPEC].state is rows[KV].state is S.UNKNOWN


def test_an_opaque_engine_whose_page_has_the_family_is_not_missing() -> None:
    page: dict[str, Any] = {"families": frozenset({Signal.DRAFTS}), **IDLE}
    assert one(SPEC, D.OPAQUE, page).state is S.UNKNOWN


def test_routers_and_followers_are_not_applicable() -> None:
    told = declaration(SPEC, D.DECLARED)
    engines = (inspected("serving-0", told, role=Role.ROUTER), inspected("serving-1", told, role=Role.WORKER))
    assert {row.state for row in rows_of(engines=engines).values()} == {S.UNKNOWN}


def test_the_five_rows_are_there_whatever_is_asked() -> None:
    asked = (Requirement(name=KV, policy=Policy.REQUIRED),)
    rows = judge_optimizations(evidence(requirements=asked))
    assert [row.name for row in rows] == list(OptimizationName)
    assert {row.name: row.policy for row in rows if row.policy is not Policy.IGNORED} == {KV: Policy.REQUIRED}


def test_texts_are_bounded_whatever_inspection_says() -> None:
    long = replace(declaration(SPEC, D.NOT_DECLARED), explanation="x" * 5000, source="y" * 5000)
    row = rows_of(engines=(inspected("serving-0", long),), seen=(counters("serving-0"),))[SPEC]
    assert max(len(row.evidence), len(row.declared)) <= 300


def test_an_active_row_outlasts_a_thin_window_and_not_a_second_one() -> None:
    engine = inspected("serving-0", declaration(KV, D.DECLARED))
    loads = counters("serving-0", stored_bytes=9.0, loaded_bytes=9.0)
    none = counters("serving-0", stored_bytes=9.0, loaded_bytes=0.0)

    memory: JudgeMemory | None = None

    def state_of(page: EngineEvidence, now: float) -> OptimizationState:
        nonlocal memory
        memory, verdict = judge(evidence(engines=(engine,), seen=(page,), now=now), memory)
        return next(row.state for row in verdict.rows if row.name is KV)

    assert [
        state_of(loads, 0.0),
        state_of(none, 100.0),
        state_of(loads, 200.0),
        state_of(none, 300.0),
        state_of(none, 599.0),
        state_of(none, 600.0),
    ] == [S.ACTIVE, S.ACTIVE, S.ACTIVE, S.ACTIVE, S.ACTIVE, S.INEFFECTIVE]
