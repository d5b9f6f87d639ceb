"""Made-up cycles of one pool for the tests of publishing: every number known unless a test takes it away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tokenfactory.measure import Absence, Grade, Known, Missing
from tokenfactory.model import (
    Condition,
    Container,
    CostBasis,
    CostFigures,
    Coverage,
    DenominatorState,
    Economics,
    EnergyFigures,
    Engine,
    EngineEvidence,
    EngineId,
    EngineKind,
    Finding,
    Fleet,
    GpuFigures,
    Histogram,
    Increments,
    Inspected,
    LabelSelector,
    ObjectiveResult,
    OptimizationName,
    OptimizationRow,
    OptimizationState,
    Pod,
    PodFigures,
    Policy,
    Pool,
    PoolKey,
    PriceQuote,
    PriceSource,
    Quantiles,
    Replica,
    Role,
    RoleShare,
    ThroughputFigures,
    Tokens,
    Truth,
    Verdict,
)
from tokenfactory.publishing.status import Subject

NOW = 1_800_000_000.0
KEY = PoolKey("serving", "deepseek-r1")
ABSENT = Missing(Absence.NOT_SCRAPED)


def known(value: Any) -> Known[Any]:
    return Known(value=value, basis="test", source="test", window_seconds=300)


def pool(**changes: Any) -> Pool:
    selector = LabelSelector((("app", "deepseek-r1"),))
    return replace(Pool(key=KEY, uid="uid-1", generation=1, selector=selector), **changes)


def container(*, started_at: float = NOW - 10_000) -> Container:
    return Container(name="vllm", image="vllm/vllm-openai:v0.10.1", running=True, started_at=started_at)


def fleet(*, replicas: int = 2, started_at: float = NOW - 10_000) -> Fleet:
    return Fleet(
        replicas=tuple(
            Replica(
                pod=Pod(namespace=KEY.namespace, name=f"pod-{index}", uid=f"pod-uid-{index}"),
                node=None,
                gpus=8.0,
                product="NVIDIA-H200",
                engines=(Engine(container=container(started_at=started_at), kind=EngineKind.VLLM),),
            )
            for index in range(replicas)
        )
    )


def inspected(*, epoch: str = "epoch-a") -> tuple[Inspected, ...]:
    return (
        Inspected(
            pod_uid="pod-uid-0",
            container="vllm",
            role=Role.AGGREGATED,
            declarations=(),
            model="DeepSeek-R1",
            epoch=epoch,
        ),
    )


def economics(*, tokens_per_second: float = 48_000.0, **changes: Any) -> Economics:
    """16 GPUs at $2.50, a sixth of the input cached; `tokens_per_second` is the Total basis."""
    per_gpu = tokens_per_second / 16
    per_million = Decimal("2.5") / (Decimal(repr(per_gpu)) * 3600 / 1_000_000)
    figures = Economics(
        at=NOW,
        covered_seconds=300.0,
        window_full=True,
        coverage=Coverage(expected=2, scraped=2),
        gpu_coverage=Coverage(expected=16, scraped=16),
        roles=(RoleShare(role=Role.AGGREGATED, replicas=2, gpus=16.0),),
        gpus=GpuFigures(
            held=known(16.0),
            observed=known(16.0),
            products=("NVIDIA-H200",),
            busy_share=known(0.81),
            tensor_active_share=known(0.3333),
            memory_used_share=known(0.9),
            throttled_share=known(0.0),
        ),
        price=PriceQuote(per_gpu_hour=known(Decimal("2.50")), source=PriceSource.POOL, as_of="2026-01-01"),
        cost=CostFigures(
            per_million={basis: known(per_million) for basis in CostBasis},
            per_hour=known(Decimal("40.00")),
            idle_share=known(0.1),
            projected_per_month=ABSENT,
            grade=Grade.MEASURED,
        ),
        throughput=ThroughputFigures(
            tokens=known(Tokens(uncached_input=1e6)),
            per_second=known(
                Tokens(
                    uncached_input=tokens_per_second * 0.5,
                    cached_input=tokens_per_second * 0.1,
                    output=tokens_per_second * 0.4,
                )
            ),
            per_gpu=known(per_gpu),
            cached_input_share=known(1 / 6),
            per_user=known(75.25),
            concurrency=known(200.0),
        ),
        latency={histogram: Quantiles(p50=known(0.1), p99=known(0.5)) for histogram in Histogram},
        measured=energy(watts=9_000.0, rate=tokens_per_second),
        provisioned=energy(watts=27_680.0, rate=tokens_per_second),
        of_reference=known(0.62),
        evidence=(
            EngineEvidence(
                id=EngineId("pod-uid-0", "vllm"),
                role=Role.AGGREGATED,
                readable=True,
                model="deepseek-ai/DeepSeek-R1",
                version="0.10.1",
            ),
        ),
        loads=(),
        increments=Increments(),
    )
    return replace(figures, **changes)


def energy(*, watts: float, rate: float) -> EnergyFigures:
    return EnergyFigures(
        watts=known(watts),
        coverage=known(1.0),
        joules_per_token=known(watts / rate) if rate else ABSENT,
        tokens_per_second_per_megawatt=known(rate / watts * 1e6),
        grams_co2_per_million_tokens=ABSENT,
    )


def condition(kind: str, status: Truth, reason: str, message: str = "as it should be") -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message)


DENOMINATOR_TRUTH: Mapping[DenominatorState, Truth] = {
    DenominatorState.HEALTHY: Truth.TRUE,
    DenominatorState.LOW_DEMAND: Truth.TRUE,
    DenominatorState.SATURATED: Truth.TRUE,
    DenominatorState.EFFICIENCY_DEGRADED: Truth.FALSE,
    DenominatorState.THROUGHPUT_COLLAPSED: Truth.FALSE,
    DenominatorState.ENGINE_STALLED: Truth.FALSE,
    DenominatorState.WARMING_UP: Truth.UNKNOWN,
    DenominatorState.BLIND: Truth.UNKNOWN,
    DenominatorState.SUSPENDED: Truth.UNKNOWN,
}


def verdict(
    state: DenominatorState = DenominatorState.HEALTHY,
    *,
    optimizations: tuple[Truth, str] = (Truth.TRUE, "AllRequiredActive"),
    **changes: Any,
) -> Verdict:
    found = Verdict(
        rows=rows(),
        denominator=state,
        denominator_message="as it should be",
        conditions=(
            condition("Ready", Truth.TRUE, "StatusPublished"),
            condition("Stalled", Truth.FALSE, "Serving"),
            condition("TelemetryHealthy", Truth.TRUE, "AllFresh"),
            condition("PriceKnown", Truth.TRUE, "Pool"),
            condition("OptimizationsActive", *optimizations),
            condition("DenominatorHealthy", DENOMINATOR_TRUTH[state], state.value),
        ),
        findings=(
            Finding(cause="IdleGPUs", message="two replicas are idle", cost_per_hour=Decimal("4")),
            Finding(cause="PodsShared", message="a pod is shared"),
            Finding(cause="PrefixCacheOff", message="prefix caching is off", cost_per_hour=Decimal("9")),
        ),
        of_baseline=known(0.97),
        load=known(0.5),
    )
    return replace(found, **changes)


def rows() -> tuple[OptimizationRow, ...]:
    states = {
        OptimizationName.FP4: (Policy.REQUIRED, OptimizationState.ACTIVE),
        OptimizationName.SPECULATIVE_DECODING: (Policy.PREFERRED, OptimizationState.ACTIVE),
        OptimizationName.KV_CACHE_OFFLOADING: (Policy.PREFERRED, OptimizationState.MISSING),
        OptimizationName.MULTI_TOKEN_PREDICTION: (Policy.PREFERRED, OptimizationState.ACTIVE),
        OptimizationName.DISAGGREGATED_SERVING: (Policy.IGNORED, OptimizationState.MISSING),
    }
    return tuple(
        OptimizationRow(
            name=name,
            policy=policy,
            state=state,
            declared="declared by --speculative-config",
            evidence="accepted tokens",
            replicas_active=2,
            replicas_applicable=2,
            acceptance_length=1.9 if name is OptimizationName.MULTI_TOKEN_PREDICTION else None,
        )
        for name, (policy, state) in states.items()
    )


def subject(**changes: Any) -> Subject:
    found = Subject(
        generation=1,
        pool=pool(),
        fleet=fleet(),
        inspected=inspected(),
        economics=economics(),
        verdict=verdict(),
        now=NOW,
    )
    return replace(found, **changes)


def closed(reason: str) -> Subject:
    """A pool without numbers: suspended, or one whose spec can't be served."""
    suspended = reason == "Suspended"
    kinds = ("TelemetryHealthy", "OptimizationsActive", "DenominatorHealthy")
    conditions = (
        condition(
            "Ready",
            Truth.TRUE if suspended else Truth.FALSE,
            "StatusPublished" if suspended else reason,
        ),
        condition("Stalled", Truth.FALSE if suspended else Truth.TRUE, "Serving" if suspended else reason),
        *(condition(kind, Truth.UNKNOWN, reason) for kind in kinds),
    )
    told = verdict(
        DenominatorState.SUSPENDED if suspended else DenominatorState.BLIND,
        conditions=conditions,
        rows=(),
        findings=(),
        of_baseline=ABSENT,
        load=ABSENT,
    )
    return subject(fleet=None, inspected=(), economics=None, verdict=told)


def objective(name: str, met: bool | None) -> ObjectiveResult:
    return ObjectiveResult(objective=name, met=met, message="")


def pod_figures(uid: str, *, rate: float, cost: str, gpus: float = 8.0) -> PodFigures:
    return PodFigures(
        pod_uid=uid,
        gpus=gpus,
        tokens_per_second=rate,
        cost_per_hour=Decimal(cost),
        measured_watts=500.0 * gpus,
        provisioned_watts=1730.0 * gpus,
    )
