"""What a platform team should look at, the most expensive first, at most 20."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from statistics import median
from types import MappingProxyType

from tokenfactory.judgement.causes import Diagnosis, Suspicion, find_slow
from tokenfactory.judgement.denominator import Denominator, judged_load
from tokenfactory.judgement.evidence import Evidence
from tokenfactory.judgement.reasons import Cause
from tokenfactory.measure import value_of
from tokenfactory.model import (
    CompanionCheck,
    Condition,
    DenominatorState,
    Finding,
    FleetReason,
    OptimizationRow,
    OptimizationState,
    Policy,
    Truth,
)
from tokenfactory.units import decimal_of

MOST = 20
LEAST_IDLE_SHARE = 0.1
UNOBSERVED_GPUS = 0.5

_FRONTENDS = MappingProxyType(
    {
        CompanionCheck.FRONTENDS_COUNT_MORE: "the frontends deliver more output than the pool's workers make:"
        " workers behind them are not selected, so their GPUs and tokens are missing here",
        CompanionCheck.FRONTENDS_COUNT_LESS: "the pool's workers make more output than its frontends deliver:"
        " other frontends use them, or clients leave before their answer is done",
    }
)
_COARSE = Context(prec=2, rounding=ROUND_HALF_EVEN)
_WITHOUT_EFFECT = (
    OptimizationState.INEFFECTIVE,
    OptimizationState.SIMULATED,
    OptimizationState.UNSUPPORTED,
    OptimizationState.PARTIAL,
)
_ORDER = tuple(Cause)
_SICK = MappingProxyType(
    {
        DenominatorState.THROUGHPUT_COLLAPSED: Cause.THROUGHPUT_COLLAPSED,
        DenominatorState.ENGINE_STALLED: Cause.ENGINE_STALLED,
        DenominatorState.EFFICIENCY_DEGRADED: Cause.EFFICIENCY_DEGRADED,
    }
)


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why: the diagnosis of a bad state, and what is suspicious while the pool is fine."""

    diagnosis: Diagnosis | None = None
    suspicions: tuple[Suspicion, ...] = ()


UNEXPLAINED = Reasons()


def find(
    evidence: Evidence,
    *,
    denominator: Denominator,
    rows: tuple[OptimizationRow, ...],
    telemetry: Condition,
    price: Condition,
    reasons: Reasons = UNEXPLAINED,
) -> tuple[Finding, ...]:
    """The findings of one cycle. Costs are per hour, in the factory's currency, to 2 significant digits."""
    why = tuple(_find_reasons(evidence, reasons))
    told = {finding.cause for finding in why}
    plain = [
        *_find_collapse(denominator),
        *_find_idle(evidence),
        *_find_optimizations(rows),
        *_find_failed(telemetry, Cause.TELEMETRY_MISSING),
        *_find_failed(price, Cause.PRICE_UNKNOWN),
        *_find_sharing(evidence),
        *_find_unobserved(evidence),
        *_find_disagreement(evidence),
    ]
    found = [*why, *(finding for finding in plain if finding.cause not in told)]
    return tuple(sorted(found, key=_rank)[:MOST])


def _rank(finding: Finding) -> tuple[Decimal, int, str]:
    return -(finding.cost_per_hour or Decimal(0)), _ORDER.index(Cause(finding.cause)), finding.message


def _share_of_cost(evidence: Evidence, share: float | None) -> Decimal | None:
    per_hour = value_of(evidence.economics.cost.per_hour)
    if per_hour is None or share is None:
        return None
    return _COARSE.create_decimal(per_hour * decimal_of(min(max(share, 0.0), 1.0)))


def _find_collapse(denominator: Denominator) -> Iterator[Finding]:
    """What is paid beyond the price of the own level (docs/cost-model.md §10)."""
    cause = _SICK.get(denominator.state)
    if cause is None:
        return
    lost = value_of(denominator.lost_per_hour)
    yield Finding(
        cause=cause,
        message=denominator.message,
        cost_per_hour=None if lost is None else _COARSE.create_decimal(lost),
    )


def _find_reasons(evidence: Evidence, reasons: Reasons) -> Iterator[Finding]:
    """The likely cause of a bad state, whose cost the state's own finding has; and what is suspicious."""
    diagnosis = reasons.diagnosis
    if diagnosis is not None:
        yield Finding(cause=diagnosis.suspect.cause, message=diagnosis.suspect.message)
    for item in reasons.suspicions:
        if item.latch.open and (diagnosis is None or item.cause is not diagnosis.suspect.cause):
            alone = item.cause is Cause.SLOW_REPLICA and diagnosis is None
            cost = _cost_of_slow(evidence) if alone else None
            yield Finding(cause=item.cause, message=item.message, cost_per_hour=cost)


def _cost_of_slow(evidence: Evidence) -> Decimal | None:
    """The share of the cost that the slow replicas would not need at the speed of the others."""
    load = judged_load(evidence.economics.loads)
    if load is None:
        return None
    slow, _ = find_slow(load)
    everything = sum(item.gpu_seconds for item in evidence.economics.loads)
    peers = [item.tokens / item.gpu_seconds for item in load.replicas if item.fresh and item.gpu_seconds > 0]
    if not slow or everything <= 0:
        return None
    typical = median(peers)
    lost = sum(item.gpu_seconds - item.tokens / typical for item in slow)
    return _share_of_cost(evidence, lost / everything)


def _find_idle(evidence: Evidence) -> Iterator[Finding]:
    share = value_of(evidence.economics.cost.idle_share)
    if share is None or share < LEAST_IDLE_SHARE:
        return
    yield Finding(
        cause=Cause.PAID_IDLE,
        message="GPUs are paid for while they idle or load: scale the pool down or send it more work",
        cost_per_hour=_share_of_cost(evidence, share),
    )


def _find_optimizations(rows: tuple[OptimizationRow, ...]) -> Iterator[Finding]:
    for row in rows:
        message = f"{row.name.value} is {row.state.value}: {row.evidence}"
        if row.policy is not Policy.IGNORED and row.state in _WITHOUT_EFFECT:
            yield Finding(cause=Cause.OPTIMIZATION_INEFFECTIVE, message=message)
        elif row.policy is Policy.REQUIRED and row.state is OptimizationState.MISSING:
            yield Finding(cause=Cause.OPTIMIZATION_LOST, message=message)


def _find_failed(condition: Condition, cause: Cause) -> Iterator[Finding]:
    if condition.status is Truth.FALSE:
        yield Finding(cause=cause, message=condition.message)


def _find_sharing(evidence: Evidence) -> Iterator[Finding]:
    """Names pools of the own namespace only: discovery fills `shared_with` from nothing else."""
    names = sorted({name for replica in evidence.fleet.replicas for name in replica.shared_with})
    told = [item for item in evidence.fleet.problems if item.reason is FleetReason.PODS_SHARED]
    if names:
        listed = ", ".join(names[:3])
        yield Finding(cause=Cause.PODS_SHARED, message=f"pods are counted in these pools too: {listed}")
    elif told:
        yield Finding(cause=Cause.PODS_SHARED, message=told[0].message)


def _find_unobserved(evidence: Evidence) -> Iterator[Finding]:
    """Fewer GPUs seen by DCGM than requested lower the coverage, never the cost (docs/cost-model.md §4)."""
    gpus = evidence.economics.gpus
    held, observed = value_of(gpus.held), value_of(gpus.observed)
    if held is None or observed is None or held - observed < UNOBSERVED_GPUS:
        return
    yield Finding(
        cause=Cause.GPUS_UNOBSERVED,
        message="DCGM sees fewer GPUs than the pods request: look for a dead exporter or a lost GPU",
    )


def _find_disagreement(evidence: Evidence) -> Iterator[Finding]:
    """The frontends' output is compared with the workers' and never added to it (docs/cost-model.md §3)."""
    message = _FRONTENDS.get(evidence.economics.frontends)
    if message is not None:
        yield Finding(cause=Cause.FRONTENDS_DISAGREE, message=message)
