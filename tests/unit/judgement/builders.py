"""Values for the judge's tests: a pool of eight healthy vLLM replicas that each test changes in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from tokenfactory.judgement.judge import Evidence, JudgeMemory, judge
from tokenfactory.measure import Absence, Grade, Known, Missing
from tokenfactory.model import (
    Container,
    CostBasis,
    CostFigures,
    Coverage,
    Declaration,
    DeclarationState,
    Economics,
    EnergyFigures,
    Engine,
    EngineEvidence,
    EngineId,
    EngineKind,
    Fleet,
    GpuFigures,
    Histogram,
    Increments,
    Inspected,
    LabelSelector,
    LoadStep,
    Node,
    OptimizationName,
    Pod,
    Pool,
    PoolKey,
    PriceQuote,
    PriceSource,
    Quantiles,
    Replica,
    ReplicaLoad,
    Requirement,
    Role,
    RoleLoad,
    Terms,
    ThroughputFigures,
    Tokens,
    Verdict,
)

POOL = Pool(
    key=PoolKey("serving", "deepseek"),
    uid="uid",
    generation=1,
    selector=LabelSelector((("app", "deepseek"),)),
)
TERMS = Terms(factory=None, window_seconds=300, collapse_for_seconds=60.0)


def known(value: Any) -> Known[Any]:
    return Known(value=value, basis="test", source="test", grade=Grade.MEASURED, window_seconds=300.0)


def declaration(
    name: OptimizationName, state: DeclarationState, *, method: str = "", source: str = ""
) -> Declaration:
    return Declaration(optimization=name, state=state, method=method, source=source)


def inspected(
    pod: str, *declarations: Declaration, role: Role = Role.AGGREGATED, **changes: Any
) -> Inspected:
    return Inspected(
        pod_uid=pod, container="vllm", role=role, declarations=declarations, epoch="e1", **changes
    )


def counters(pod: str, *, role: Role = Role.AGGREGATED, **changes: Any) -> EngineEvidence:
    base = EngineEvidence(
        id=EngineId(pod, "vllm"), role=role, readable=True, prompt_tokens=8000.0, output_tokens=2000.0
    )
    return replace(base, **changes)


def replica(
    pod: str, *, capability: int | None = 10, engine: Engine | None = None, **changes: Any
) -> Replica:
    return Replica(
        pod=Pod(namespace="serving", name=pod, uid=pod, ready=True, phase="Running"),
        node=Node(name="node", capability_major=capability),
        gpus=1.0,
        product="NVIDIA-B200",
        engines=(engine or Engine(container=Container(name="vllm", image="vllm"), kind=EngineKind.VLLM),),
        **changes,
    )


STEP = LoadStep(
    epoch="e1", product="B200", seconds=15.0, gpu_seconds=15.0, tokens=3750.0, sequence_seconds=240.0
)


def load(**changes: Any) -> RoleLoad:
    base = RoleLoad(
        role=Role.AGGREGATED,
        tokens=600_000.0,
        per_ready_gpu=known(250.0),
        concurrency=known(16.0),
        running=128.0,
        waiting=0.0,
        fresh_share=1.0,
        ready_replicas=8,
        steps=(STEP,) * 8,
    )
    return replace(base, **changes)


def quote(**changes: Any) -> PriceQuote:
    return replace(PriceQuote(per_gpu_hour=known(Decimal("2.5")), source=PriceSource.POOL), **changes)


def economics(**changes: Any) -> Economics:
    tokens = Tokens(uncached_input=1_200_000.0, output=600_000.0)
    base = Economics(
        at=0.0,
        covered_seconds=300.0,
        window_full=True,
        coverage=Coverage(expected=8, scraped=8),
        gpu_coverage=Coverage(expected=8, scraped=8),
        roles=(),
        gpus=GpuFigures(held=known(8.0), observed=known(8.0)),
        price=quote(),
        cost=CostFigures(
            per_million={basis: known(Decimal("0.15")) for basis in CostBasis},
            per_hour=known(Decimal(20)),
            idle_share=known(0.02),
            projected_per_month=Missing(Absence.NOT_CONFIGURED),
            grade=Grade.MEASURED,
        ),
        throughput=ThroughputFigures(tokens=known(tokens), per_gpu=known(750.0)),
        latency={
            Histogram.TIME_TO_FIRST_TOKEN: Quantiles(p99=known(1.0)),
            Histogram.INTER_TOKEN_LATENCY: Quantiles(p99=known(0.02)),
        },
        measured=EnergyFigures(),
        provisioned=EnergyFigures(),
        of_reference=Missing(Absence.NOT_CONFIGURED),
        evidence=(),
        loads=(load(),),
        increments=Increments(tokens=Tokens(output=30_000.0)),
    )
    return replace(base, **changes)


def evidence(
    *,
    requirements: tuple[Requirement, ...] = (),
    seen: tuple[EngineEvidence, ...] = (),
    pool: Pool = POOL,
    terms: Terms = TERMS,
    fleet: Fleet | None = None,
    engines: tuple[Inspected, ...] = (),
    money: Economics | None = None,
    now: float = 10_000.0,
) -> Evidence:
    return Evidence(
        pool=pool,
        terms=replace(terms, requirements=requirements),
        fleet=fleet or Fleet(replicas=tuple(replica(f"serving-{index}") for index in range(8))),
        inspected=engines,
        economics=replace(money or economics(), evidence=seen),
        now=now,
    )


@dataclass(frozen=True)
class Moment:
    """One cycle of a trace: output tokens/s/GPU, decoding sequences per replica, requests waiting in all.

    With `moving` False the engines' counters stand still, whatever `rate` and `concurrency` say. `change` is
    applied to the cycle's evidence.
    """

    rate: float
    concurrency: float
    waiting: float = 0.0
    fresh: float = 1.0
    full: bool = True
    epoch: str = "e1"
    running: float | None = None
    moving: bool = True
    change: Callable[[Evidence], Evidence] | None = None


def play(
    trace: Callable[[float], Moment],
    *,
    start: float,
    end: float,
    memory: JudgeMemory | None,
    step: float = 15.0,
    terms: Terms = TERMS,
    pool: Pool = POOL,
) -> tuple[JudgeMemory | None, list[tuple[float, Verdict]]]:
    """Judges `trace` every `step` seconds and returns the last memory and every (time, verdict)."""
    verdicts: list[tuple[float, Verdict]] = []
    now, still = start, 0.0
    while now < end:
        moment = trace(now)
        still = 0.0 if moment.moving else still + step
        picture = _picture(moment, now=now, terms=terms, step=step, still=still)
        memory, verdict = judge(replace(picture, pool=pool), memory)
        verdicts.append((now, verdict))
        now += step
    return memory, verdicts


def _picture(moment: Moment, *, now: float, terms: Terms, step: float, still: float) -> Evidence:
    rate, concurrency = (moment.rate, moment.concurrency) if moment.moving else (0.0, 0.0)
    running = moment.concurrency * 8 if moment.running is None else moment.running
    output = moment.rate * 8 * terms.window_seconds
    names = [f"serving-{index}" for index in range(8)]
    money = economics(
        window_full=moment.full,
        loads=(
            load(
                tokens=output,
                running=running,
                waiting=moment.waiting,
                fresh_share=moment.fresh,
                gpu_seconds=8.0 * terms.window_seconds,
                replicas=tuple(
                    ReplicaLoad(
                        id=EngineId(name, "vllm"),
                        epoch=moment.epoch,
                        product="B200",
                        fresh=True,
                        running=running / 8,
                        waiting=moment.waiting / 8,
                        still_seconds=still,
                    )
                    for name in names
                ),
                steps=tuple(
                    LoadStep(
                        epoch=moment.epoch,
                        product="B200",
                        seconds=step,
                        gpu_seconds=step,
                        tokens=rate * step,
                        sequence_seconds=concurrency * step,
                    )
                    for _ in names
                ),
            ),
        ),
        throughput=ThroughputFigures(tokens=known(Tokens(output=output))),
    )
    engine = replace(inspected("serving-0"), epoch=moment.epoch)
    picture = evidence(money=money, engines=(engine,), now=now, terms=terms)
    return picture if moment.change is None else moment.change(picture)


def states(verdicts: list[tuple[float, Verdict]]) -> list[str]:
    """The denominator's states in order, repetitions left out."""
    found: list[str] = []
    for _, verdict in verdicts:
        if not found or found[-1] != verdict.denominator.value:
            found.append(verdict.denominator.value)
    return found
