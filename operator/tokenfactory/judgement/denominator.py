"""The denominator: one cycle's evidence reduced to what the rules compare, and the ruling in words and money.

Messages hold no number that moves every cycle: an efficiency is shown again only once it moved by a tenth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from tokenfactory.judgement import collapse
from tokenfactory.judgement.baseline import Baseline
from tokenfactory.judgement.collapse import Observation, Ruling
from tokenfactory.judgement.evidence import Evidence
from tokenfactory.judgement.objectives import Objective
from tokenfactory.judgement.watch import Watch, rest
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing, value_of
from tokenfactory.model import DenominatorState, ObjectiveResult, ReplicaLoad, Role, RoleLoad
from tokenfactory.units import decimal_of, significant

FRESH_SHARE = 0.8
SHOWN_STEP = 0.1
UNLEARNED: Missing = Missing(Absence.NO_BASELINE)
LIMITED: Missing = Missing(Absence.DEMAND_LIMITED)
MOST_PATIENCE = 12.0
BAD = (
    DenominatorState.EFFICIENCY_DEGRADED,
    DenominatorState.THROUGHPUT_COLLAPSED,
    DenominatorState.ENGINE_STALLED,
)
NAME_LENGTH = 8
_LOSSES = (DenominatorState.EFFICIENCY_DEGRADED, DenominatorState.THROUGHPUT_COLLAPSED)
UNWATCHED = Watch()

_PAGING = (Objective.COST, Objective.TOKENS_PER_SECOND_PER_GPU)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denominator:
    """The verdict on the denominator, as findings and causes need it.

    `message` says what is the matter, `advice` what can be done about it ("": nothing special).
    `efficiency` is output per GPU over the pool's own level at the same concurrency, over one window;
    `prefill_efficiency` the same of the prefill role, which only explains. `since` is when the bad began,
    Unix seconds. `revision` is the epoch that is held against its predecessor's level (`reference` is the
    epoch of that level), "" when none is. `lost_per_hour` is what is paid for tokens that the own level would
    have made. `starved`: requests wait while seats are empty. `stuck` are the engines that hold requests and
    move nothing.
    """

    state: DenominatorState
    message: str
    advice: str = ""
    efficiency: Measure[float] = UNLEARNED
    sustained: Measure[float] = UNLEARNED
    load: Measure[float] = UNLEARNED
    prefill_efficiency: Measure[float] = UNLEARNED
    baseline_lost: bool = False
    role: Role = Role.NONE
    epoch: str = ""
    revision: str = ""
    reference: str = ""
    since: float | None = None
    concurrency: float = 0.0
    expected_per_gpu: Measure[float] = UNLEARNED
    lost_per_hour: Measure[Decimal] = UNLEARNED
    starved: bool = False
    stuck: tuple[ReplicaLoad, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watches:
    """The judged role's watch, and the prefill role's."""

    judged: Watch = UNWATCHED
    prefill: Watch = UNWATCHED


Step = tuple[Watches, tuple[Baseline, ...], Denominator]


def judged_load(loads: tuple[RoleLoad, ...]) -> RoleLoad | None:
    """The role whose output is judged: decode where there is one, aggregated otherwise."""
    return load_of(loads, Role.DECODE) or load_of(loads, Role.AGGREGATED)


def load_of(loads: tuple[RoleLoad, ...], role: Role) -> RoleLoad | None:
    return next((load for load in loads if load.role is role), None)


def judge_denominator(
    evidence: Evidence,
    *,
    watches: Watches,
    baselines: tuple[Baseline, ...],
    objectives: Iterable[ObjectiveResult] = (),
) -> Step:
    """One step of the judge: the new watches and baselines, and the verdict."""
    economics = evidence.economics
    load = judged_load(economics.loads)
    blind = economics.coverage.scraped == 0 if load is None else load.fresh_share < FRESH_SHARE
    if blind or load is None:
        full = blind or economics.window_full
        rested = replace(watches, judged=rest(watches.judged), prefill=rest(watches.prefill))
        if full:
            return rested, baselines, Denominator(state=DenominatorState.BLIND, message=_why_blind(load))
        return rested, baselines, _filling(evidence)
    seen = replace(observe(evidence, load), objective_missed=_costs_too_much(objectives))
    watch, baselines, ruling = collapse.step(seen, watch=watches.judged, baselines=baselines)
    prefill: Measure[float] = UNLEARNED
    ahead, before = load_of(economics.loads, Role.PREFILL), watches.prefill
    if ahead is not None and ahead.fresh_share >= FRESH_SHARE:
        scene = observe(evidence, ahead)
        before, baselines, found = collapse.step(scene, watch=before, baselines=baselines)
        prefill = _estimate(found.efficiency, "prompt tokens/s/ready GPU over own level", scene)
    if not economics.window_full:
        return Watches(judged=watch, prefill=before), baselines, _filling(evidence)
    watch = _show(watch, ruling)
    verdict = _conclude(evidence, load, seen=seen, watch=watch, ruling=ruling)
    return Watches(judged=watch, prefill=before), baselines, replace(verdict, prefill_efficiency=prefill)


def observe(evidence: Evidence, load: RoleLoad) -> Observation:
    """The cycle of one role as the rules see it."""
    terms, economics = evidence.terms, evidence.economics
    window = float(terms.window_seconds)
    tokens = value_of(economics.throughput.tokens)
    ready = [item for item in load.replicas if item.fresh]
    stuck = find_stuck(load, window=window)
    return Observation(
        now=evidence.now,
        window=window,
        fraction=terms.collapse_fraction,
        hold=terms.collapse_for_seconds,
        role=load.role.value,
        ready=load.ready_replicas,
        steps=load.steps,
        kinds=tuple(sorted((item.epoch, item.product) for item in ready)),
        running=load.running,
        waiting=load.waiting,
        tokens=load.tokens if tokens is None else tokens.total,
        stuck_share=len(stuck) / len(ready) if ready else 0.0,
        accept=evidence.pool.accept_baseline,
    )


def find_stuck(load: RoleLoad, *, window: float) -> tuple[ReplicaLoad, ...]:
    """Engines that hold requests and showed no token, decoding time or change of cache for long enough."""
    return tuple(
        item
        for item in load.replicas
        if item.fresh
        and item.running + item.waiting >= 1
        and item.still_seconds >= _patience(load, item, window=window)
    )


def _patience(load: RoleLoad, item: ReplicaLoad, *, window: float) -> float:
    """How long an engine with requests may show nothing: twice its slowest, where only their end shows.

    Two windows where it does not tell how long its requests take.
    """
    if load.counts_live:
        return window / 2
    if item.slowest_seconds is None:
        return 2 * window
    return min(max(2 * item.slowest_seconds, window / 2), MOST_PATIENCE * window)


def _costs_too_much(objectives: Iterable[ObjectiveResult]) -> bool:
    return any(item.met is False and item.objective in _PAGING for item in objectives)


def _filling(evidence: Evidence) -> Denominator:
    message = f"the first window of {evidence.terms.window_seconds} s is not full yet"
    return Denominator(state=DenominatorState.WARMING_UP, message=message)


def _why_blind(load: RoleLoad | None) -> str:
    if load is None:
        return "no serving replica has been read: see TelemetryHealthy"
    return "fewer than 80 % of the replicas are fresh: see TelemetryHealthy"


def _show(watch: Watch, ruling: Ruling) -> Watch:
    """The efficiency that the message names: it follows only moves of a tenth."""
    if ruling.state not in BAD or ruling.efficiency is None:
        return watch if watch.shown is None else replace(watch, shown=None)
    if watch.shown is not None and abs(watch.shown[0] - ruling.efficiency) < SHOWN_STEP:
        return watch
    return replace(watch, shown=(ruling.efficiency, ruling.concurrency))


def _conclude(
    evidence: Evidence, load: RoleLoad, *, seen: Observation, watch: Watch, ruling: Ruling
) -> Denominator:
    low = ruling.state is DenominatorState.LOW_DEMAND
    warming = ruling.state is DenominatorState.WARMING_UP
    basis = "output tokens/s/ready GPU over own level"
    return Denominator(
        state=ruling.state,
        message=_say(seen, watch=watch, ruling=ruling),
        advice=_advise(ruling),
        efficiency=LIMITED if low else _estimate(ruling.efficiency, basis, seen),
        sustained=LIMITED if low else _estimate(ruling.sustained, f"{basis}, two windows", seen),
        load=LIMITED if low else _estimate(ruling.load, "concurrency over saturation", seen),
        baseline_lost=warming,
        role=load.role,
        epoch=ruling.epoch,
        revision=ruling.revision,
        reference=ruling.reference,
        since=ruling.since,
        concurrency=ruling.concurrency,
        expected_per_gpu=_estimate(ruling.expected_per_gpu, "own level, output tokens/s/GPU", seen),
        lost_per_hour=_price(evidence, load, ruling),
        starved=ruling.starved,
        stuck=find_stuck(load, window=seen.window),
    )


def _say(seen: Observation, *, watch: Watch, ruling: Ruling) -> str:
    match ruling.state:
        case DenominatorState.ENGINE_STALLED:
            return (
                "engines hold requests, and neither tokens nor decoding time move: look at the engines' "
                "logs, GPU errors and the network between GPUs"
            )
        case state if state in _LOSSES:
            return _say_loss(watch, ruling)
        case DenominatorState.LOW_DEMAND:
            return "too little traffic to judge: nothing waits, and replicas idle or make few tokens"
        case DenominatorState.WARMING_UP:
            return "the pool's own level is being learned: it takes four windows with traffic"
        case DenominatorState.SATURATED:
            return "at its own level for this concurrency, fully loaded, and requests wait: it needs replicas"
        case _:
            return "output per GPU is at the pool's own level for this concurrency"


def _say_loss(watch: Watch, ruling: Ruling) -> str:
    share, concurrency = watch.shown or (ruling.efficiency or 0.0, ruling.concurrency)
    loss = f"-{round(100 * max(0.0, 1 - share))} % output per GPU"
    if ruling.starved:
        where = "requests wait while the replicas have free seats"
    else:
        where = f"at {significant(concurrency, 2)} concurrent a replica"
    if not ruling.revision:
        return f"{loss} {where}, against the pool's own level"
    name, before = ruling.revision[:NAME_LENGTH], ruling.reference[:NAME_LENGTH]
    return f"since revision {name}, {loss} {where}, against revision {before}"


def _advise(ruling: Ruling) -> str:
    """What can be done about a poor rollout."""
    if ruling.state not in _LOSSES or not ruling.revision:
        return ""
    name = ruling.revision[:NAME_LENGTH]
    return f"roll back, or accept it with the annotation tokenfactory.dev/accept-baseline: {name}"


def _price(evidence: Evidence, load: RoleLoad, ruling: Ruling) -> Measure[Decimal]:
    """What is lost: the role's GPUs that serve, less the share that the own level would have needed (§10)."""
    if ruling.state not in BAD:
        return UNLEARNED
    per_hour, economics = value_of(evidence.economics.cost.per_hour), evidence.economics
    if per_hour is None:
        return Missing(Absence.PRICE_UNKNOWN)
    if ruling.state is DenominatorState.ENGINE_STALLED:
        lost = load_share_stuck(load, window=float(evidence.terms.window_seconds))
    elif ruling.efficiency is None:
        return UNLEARNED
    else:
        lost = max(0.0, 1.0 - ruling.efficiency)
    everything = sum(item.gpu_seconds for item in economics.loads)
    role = load.gpu_seconds / everything if everything > 0 else 1.0
    busy = 1.0 - (value_of(economics.cost.idle_share) or 0.0)
    return Known(
        value=per_hour * decimal_of(role * busy * lost),
        basis="cost per hour of GPUs that serve, times 1 - efficiency",
        source="docs/cost-model.md §10",
        grade=Grade.ESTIMATED,
        window_seconds=float(evidence.terms.window_seconds),
    )


def load_share_stuck(load: RoleLoad, *, window: float) -> float:
    ready = [item for item in load.replicas if item.fresh]
    return len(find_stuck(load, window=window)) / len(ready) if ready else 1.0


def _estimate(value: float | None, basis: str, seen: Observation) -> Measure[float]:
    if value is None:
        return UNLEARNED
    return Known(
        value=value, basis=basis, source="own baseline", grade=Grade.ESTIMATED, window_seconds=seen.window
    )
