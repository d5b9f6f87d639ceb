"""The judge: what one cycle means, with what is remembered of the cycles before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tokenfactory.judgement.baseline import Baseline
from tokenfactory.judgement.causes import Diagnosis, Suspicion, diagnose, gather, suspect_while_healthy
from tokenfactory.judgement.conditions import (
    judge_denominator_healthy,
    judge_objectives_met,
    judge_optimizations_active,
    judge_price,
    say_not_stalled,
    say_ready,
)
from tokenfactory.judgement.denominator import Watches, judge_denominator
from tokenfactory.judgement.evidence import Evidence
from tokenfactory.judgement.findings import Reasons, find
from tokenfactory.judgement.objectives import judge_objectives
from tokenfactory.judgement.optimizations import Mark, steady
from tokenfactory.judgement.profile import Past, grow
from tokenfactory.judgement.savings import credit
from tokenfactory.judgement.telemetry_health import judge_telemetry
from tokenfactory.judgement.watch import rest
from tokenfactory.model import (
    Condition,
    DenominatorState,
    FleetProblem,
    FleetReason,
    InvalidPool,
    Pool,
    PriceQuote,
    Resource,
    Terms,
    Truth,
    Verdict,
)
from tokenfactory.model.reasons import (
    ConditionType,
    DenominatorReason,
    ObjectivesReason,
    OptimizationsReason,
    PriceReason,
    ReadyReason,
    StalledReason,
    TelemetryReason,
)

__all__ = [
    "Evidence",
    "JudgeMemory",
    "judge",
    "judge_internal_error",
    "judge_invalid",
    "judge_stalled",
    "judge_suspended",
    "pause",
]

UNKNOWN_PAST = Past()
_NOT_PROCESSED = "not judged in this cycle"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeMemory:
    """What the judge takes from one cycle to the next: bounded, under 24 KiB a pool."""

    watches: Watches = field(default_factory=Watches)
    baselines: tuple[Baseline, ...] = ()
    marks: tuple[Mark, ...] = ()
    past: Past = UNKNOWN_PAST
    diagnosis: Diagnosis | None = None
    suspicions: tuple[Suspicion, ...] = ()


def pause(memory: JudgeMemory | None) -> JudgeMemory | None:
    """The memory while nothing is looked at: what was learned and what is open stay, no timer runs."""
    if memory is None:
        return None
    watches = Watches(judged=rest(memory.watches.judged), prefill=rest(memory.watches.prefill))
    return JudgeMemory(watches=watches, baselines=memory.baselines, past=Past(memory.past.profiles))


def judge(evidence: Evidence, memory: JudgeMemory | None) -> tuple[JudgeMemory, Verdict]:
    """The verdict on one cycle and the memory for the next; None is a pool never judged before."""
    before = memory or JudgeMemory()
    marks = steady(evidence, before.marks)
    rows = credit((mark.row for mark in marks), evidence.economics.savings)
    objectives = judge_objectives(evidence.pool.objectives, evidence.economics)
    watches, baselines, denominator = judge_denominator(
        evidence,
        watches=before.watches,
        baselines=before.baselines,
        objectives=objectives,
    )
    clues = gather(evidence, denominator=denominator, rows=rows, profiles=before.past.profiles)
    suspicions = suspect_while_healthy(
        clues, before.suspicions, now=evidence.now, window=float(evidence.terms.window_seconds)
    )
    diagnosis = diagnose(clues, state=denominator.state, said=before.diagnosis, suspicions=suspicions)
    past = Past(before.past.profiles)
    if not suspicions:
        past = grow(before.past, evidence, denominator=denominator, rows=rows)
    said = (denominator.message, diagnosis.message if diagnosis is not None else "", denominator.advice)
    denominator = replace(denominator, message="; ".join(filter(None, said)))
    telemetry, price = judge_telemetry(evidence), judge_price(evidence.economics.price)
    conditions = (
        say_ready(),
        say_not_stalled(),
        telemetry,
        price,
        judge_optimizations_active(rows),
        judge_denominator_healthy(denominator),
        judge_objectives_met(objectives),
    )
    verdict = Verdict(
        rows=rows,
        denominator=denominator.state,
        denominator_message=denominator.message,
        conditions=tuple(item for item in conditions if item is not None),
        findings=find(
            evidence,
            denominator=denominator,
            rows=rows,
            telemetry=telemetry,
            price=price,
            reasons=Reasons(diagnosis, suspicions),
        ),
        objectives=objectives,
        of_baseline=denominator.efficiency,
        load=denominator.load,
        baseline_lost=denominator.baseline_lost,
    )
    memory = JudgeMemory(
        watches=watches,
        baselines=baselines,
        marks=marks,
        past=past,
        diagnosis=diagnosis,
        suspicions=suspicions,
    )
    return memory, verdict


def judge_invalid(invalid: InvalidPool) -> Verdict:
    """A spec that can't be served until it is edited: the other conditions are Unknown, no number stays."""
    message = f"{invalid.field}: {invalid.message}"
    unknown = "the spec is invalid: see Ready"
    return _close(
        DenominatorState.BLIND,
        Condition(
            type=ConditionType.READY, status=Truth.FALSE, reason=ReadyReason.INVALID_SPEC, message=message
        ),
        Condition(
            type=ConditionType.STALLED, status=Truth.TRUE, reason=StalledReason.INVALID_SPEC, message=message
        ),
        _unknown(ConditionType.TELEMETRY_HEALTHY, TelemetryReason.INVALID_SPEC, unknown),
        _unknown(ConditionType.PRICE_KNOWN, PriceReason.INVALID_SPEC, unknown),
        _unknown(ConditionType.OPTIMIZATIONS_ACTIVE, OptimizationsReason.INVALID_SPEC, unknown),
        _unknown(ConditionType.DENOMINATOR_HEALTHY, DenominatorReason.INVALID_SPEC, unknown),
    )


def judge_stalled(pool: Pool, problem: FleetProblem, quote: PriceQuote) -> Verdict:
    """A poolRef that is not there (yet): it is looked up again every cycle, and cleared without an edit."""
    ready, message = _explain_reference(pool, problem)
    unread = "no pod is read before the poolRef is found: see Ready"
    return _close(
        DenominatorState.BLIND,
        Condition(type=ConditionType.READY, status=Truth.FALSE, reason=ready, message=message),
        Condition(
            type=ConditionType.STALLED,
            status=Truth.TRUE,
            reason=StalledReason(ready.value),
            message=message,
        ),
        Condition(
            type=ConditionType.TELEMETRY_HEALTHY,
            status=Truth.FALSE,
            reason=TelemetryReason(ready.value),
            message=unread,
        ),
        judge_price(quote),
        _unknown(ConditionType.OPTIMIZATIONS_ACTIVE, OptimizationsReason.NOT_PROCESSED, unread),
        Condition(
            type=ConditionType.DENOMINATOR_HEALTHY,
            status=Truth.UNKNOWN,
            reason=DenominatorReason.BLIND,
            message=unread,
        ),
        *_objectives_unknown(pool, ObjectivesReason.NOT_PROCESSED, unread),
    )


def _explain_reference(pool: Pool, problem: FleetProblem) -> tuple[ReadyReason, str]:
    name = pool.pool_ref or problem.message
    if problem.reason is FleetReason.POOL_REF_KIND_MISSING:
        return ReadyReason.POOL_REF_KIND_MISSING, (
            f'spec.poolRef "{name}": this cluster has no InferencePool of the Gateway API Inference '
            "Extension: install its CRDs, or use spec.selector"
        )
    return ReadyReason.POOL_REF_NOT_FOUND, (
        f'spec.poolRef "{name}" is not found in namespace {pool.key.namespace}: '
        "create it, correct the name, or use spec.selector"
    )


def judge_suspended(pool: Pool, terms: Terms, quote: PriceQuote) -> Verdict:
    """`spec.suspend`: no scrapes, numbers removed; Ready and PriceKnown as ever."""
    del terms
    message = "spec.suspend is true: set it to false to observe the pool again"
    return _close(
        DenominatorState.SUSPENDED,
        say_ready(),
        say_not_stalled(),
        _unknown(ConditionType.TELEMETRY_HEALTHY, TelemetryReason.SUSPENDED, message),
        judge_price(quote),
        _unknown(ConditionType.OPTIMIZATIONS_ACTIVE, OptimizationsReason.SUSPENDED, message),
        _unknown(ConditionType.DENOMINATOR_HEALTHY, DenominatorReason.SUSPENDED, message),
        *_objectives_unknown(pool, ObjectivesReason.SUSPENDED, message),
    )


def judge_internal_error(pool: Resource) -> Verdict:
    """A cycle that raised: nothing is known of this pool until a cycle succeeds."""
    message = "the operator failed on this pool: its log has the traceback; it tries again every cycle"
    objectives = (
        _objectives_unknown(pool, ObjectivesReason.NOT_PROCESSED, _NOT_PROCESSED)
        if isinstance(pool, Pool)
        else ()
    )
    return _close(
        DenominatorState.BLIND,
        _unknown(ConditionType.READY, ReadyReason.INTERNAL_ERROR, message),
        say_not_stalled(),
        _unknown(ConditionType.TELEMETRY_HEALTHY, TelemetryReason.NOT_PROCESSED, _NOT_PROCESSED),
        _unknown(ConditionType.PRICE_KNOWN, PriceReason.NOT_PROCESSED, _NOT_PROCESSED),
        _unknown(ConditionType.OPTIMIZATIONS_ACTIVE, OptimizationsReason.NOT_PROCESSED, _NOT_PROCESSED),
        _unknown(ConditionType.DENOMINATOR_HEALTHY, DenominatorReason.NOT_PROCESSED, _NOT_PROCESSED),
        *objectives,
    )


def _objectives_unknown(pool: Pool, reason: ObjectivesReason, message: str) -> tuple[Condition, ...]:
    if pool.objectives is None:
        return ()
    return (_unknown(ConditionType.OBJECTIVES_MET, reason, message),)


def _unknown(kind: ConditionType, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=Truth.UNKNOWN, reason=reason, message=message)


def _close(state: DenominatorState, *conditions: Condition) -> Verdict:
    message = next(item.message for item in conditions if item.type == ConditionType.DENOMINATOR_HEALTHY)
    return Verdict(rows=(), denominator=state, denominator_message=message, conditions=conditions)
