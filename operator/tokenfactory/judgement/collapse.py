"""The denominator: is the pool as productive as it used to be at this load (docs/cost-model.md §10)?

Every time derives from the window; low demand is no collapse, and no data is no collapse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tokenfactory.judgement.baseline import Baseline, is_usable, learn, level_at, name_epoch, saturation_of
from tokenfactory.judgement.evidence import Evidence
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing, value_of
from tokenfactory.model import DenominatorState, Role, RoleLoad
from tokenfactory.units import significant

TOKEN_FLOOR = 1000.0
FRESH_SHARE = 0.8
DEMAND_PER_REPLICA = 0.5
DEMAND_TO_LEAVE_LOW = 0.75
HYSTERESIS = 0.2
CLEAR_WINDOWS = 2
LEARNING_EFFICIENCY = 0.8
EPOCHS_KEPT = 2
UNLEARNED: Missing = Missing(Absence.NO_BASELINE)
LIMITED: Missing = Missing(Absence.DEMAND_LIMITED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What runs on from cycle to cycle in one epoch. Times are Unix seconds, None when not running."""

    epoch: str = ""
    collapsed: bool = False
    low: bool = False
    below_since: float | None = None
    above_since: float | None = None
    stuck_since: float | None = None
    busy_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Denominator:
    """The verdict on the denominator. `efficiency` is the output per GPU over the pool's own level."""

    state: DenominatorState
    message: str
    efficiency: Measure[float] = UNLEARNED
    load: Measure[float] = UNLEARNED
    baseline_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One cycle reduced to what the rules compare."""

    now: float
    window: float
    fraction: float
    hold: float
    concurrency: float
    level: float
    tokens: float
    demand: bool
    stuck: bool
    efficiency: float | None


def judged_load(loads: tuple[RoleLoad, ...]) -> RoleLoad | None:
    """The role whose output is judged: decode where there is one, aggregated otherwise."""
    for role in (Role.DECODE, Role.AGGREGATED):
        for load in loads:
            if load.role is role:
                return load
    return None


def judge_denominator(
    evidence: Evidence, *, watch: Watch, baselines: tuple[Baseline, ...]
) -> tuple[Watch, tuple[Baseline, ...], Denominator]:
    """One step of the judge: the new watch and baselines, and the verdict."""
    economics = evidence.economics
    load = judged_load(economics.loads)
    blind = economics.coverage.scraped == 0 if load is None else load.fresh_share < FRESH_SHARE
    if not blind and not economics.window_full:
        message = f"the first window of {evidence.terms.window_seconds} s is not full yet"
        return watch, baselines, Denominator(state=DenominatorState.WARMING_UP, message=message)
    if blind or load is None:
        rested = replace(watch, below_since=None, above_since=None, stuck_since=None)
        return rested, baselines, Denominator(state=DenominatorState.BLIND, message=_why_blind(load))
    epoch = name_epoch(item.epoch for item in evidence.inspected if item.role is load.role)
    if epoch != watch.epoch:
        watch = Watch(epoch=epoch, busy_at=watch.busy_at)
    baseline = next((item for item in baselines if item.epoch == epoch), Baseline(epoch=epoch))
    scene = _set_scene(evidence, load, watch=watch, baseline=baseline)
    watch = _advance(watch, scene)
    if _may_learn(watch, scene):
        baseline = learn(
            baseline, at=scene.now, concurrency=scene.concurrency, level=scene.level, window=scene.window
        )
        baselines = _keep(baselines, baseline)
    return watch, baselines, _conclude(watch, scene, baseline=baseline)


def _why_blind(load: RoleLoad | None) -> str:
    if load is None:
        return "no serving replica has been read: see TelemetryHealthy"
    return "fewer than 80 % of the replicas are fresh: see TelemetryHealthy"


def _set_scene(evidence: Evidence, load: RoleLoad, *, watch: Watch, baseline: Baseline) -> Scene:
    economics, terms = evidence.economics, evidence.terms
    window = float(terms.window_seconds)
    gauged = load.running / load.ready_replicas if load.ready_replicas else 0.0
    measured = value_of(load.concurrency)
    concurrency = gauged if measured is None else measured
    level = value_of(load.per_ready_gpu) or 0.0
    requests = load.running + load.waiting
    stuck = requests >= 1 and (load.tokens <= 0 or economics.increments.tokens.total <= 0)
    enough = DEMAND_TO_LEAVE_LOW if watch.low else DEMAND_PER_REPLICA
    expected = level_at(baseline, concurrency) if is_usable(baseline, window=window) else None
    tokens = value_of(economics.throughput.tokens)
    return Scene(
        now=evidence.now,
        window=window,
        fraction=terms.collapse_fraction,
        hold=terms.collapse_for_seconds,
        concurrency=concurrency,
        level=level,
        tokens=load.tokens if tokens is None else tokens.total,
        demand=concurrency >= enough or load.waiting >= 1 or (stuck and load.tokens <= 0),
        stuck=stuck,
        efficiency=level / expected if expected else None,
    )


def _advance(watch: Watch, scene: Scene) -> Watch:
    """Starts, keeps or stops each timer and opens or closes the collapse."""
    busy_at = scene.now if scene.tokens >= TOKEN_FLOOR else watch.busy_at
    low_level = scene.efficiency is not None and scene.efficiency < scene.fraction
    below = scene.demand and low_level and _is_busy(busy_at, scene)
    recovered = not scene.stuck and (
        not scene.demand or scene.efficiency is None or scene.efficiency >= scene.fraction + HYSTERESIS
    )
    below_since = _timer(watch.below_since, running=below, now=scene.now)
    stuck_since = _timer(watch.stuck_since, running=scene.stuck, now=scene.now)
    above_since = _timer(watch.above_since, running=watch.collapsed and recovered, now=scene.now)
    opens = _held(below_since, scene.hold, now=scene.now) or _held(
        stuck_since, max(scene.hold, scene.window / 2), now=scene.now
    )
    closes = _held(above_since, CLEAR_WINDOWS * scene.window, now=scene.now)
    collapsed = opens or (watch.collapsed and not closes)
    return replace(
        watch,
        collapsed=collapsed,
        low=not scene.demand,
        below_since=below_since,
        above_since=above_since if collapsed else None,
        stuck_since=stuck_since,
        busy_at=busy_at,
    )


def _timer(since: float | None, *, running: bool, now: float) -> float | None:
    if not running:
        return None
    return now if since is None else since


def _held(since: float | None, seconds: float, *, now: float) -> bool:
    return since is not None and now - since >= seconds


def _is_busy(busy_at: float | None, scene: Scene) -> bool:
    """The token floor was reached within the last two windows (docs/cost-model.md §15)."""
    return busy_at is not None and scene.now - busy_at <= scene.window


def _may_learn(watch: Watch, scene: Scene) -> bool:
    return (
        not watch.collapsed
        and watch.below_since is None
        and not scene.stuck
        and scene.tokens >= TOKEN_FLOOR
        and scene.concurrency >= DEMAND_PER_REPLICA
        and scene.level > 0
        and (scene.efficiency is None or scene.efficiency > LEARNING_EFFICIENCY)
    )


def _keep(baselines: tuple[Baseline, ...], current: Baseline) -> tuple[Baseline, ...]:
    """`current` and the best known of the other epochs, so that a roll-back finds its level again."""
    others = sorted(
        (item for item in baselines if item.epoch != current.epoch),
        key=lambda item: (item.count, item.last_at),
        reverse=True,
    )
    return (current, *others[: EPOCHS_KEPT - 1])


def _conclude(watch: Watch, scene: Scene, *, baseline: Baseline) -> Denominator:
    if watch.collapsed:
        return Denominator(
            state=DenominatorState.THROUGHPUT_COLLAPSED,
            message=_describe_collapse(watch, scene),
            efficiency=_efficiency(scene),
            load=_load(scene, baseline),
        )
    if not scene.demand or (not scene.stuck and not _is_busy(watch.busy_at, scene)):
        return Denominator(
            state=DenominatorState.LOW_DEMAND,
            message="too little traffic to judge: nothing waits, and replicas idle or make few tokens",
            efficiency=LIMITED,
            load=LIMITED,
        )
    if scene.efficiency is None:
        return Denominator(
            state=DenominatorState.WARMING_UP,
            message="the pool's own level is being learned: it takes four windows with traffic",
            baseline_lost=True,
        )
    return Denominator(
        state=DenominatorState.HEALTHY,
        message="output per GPU is at the pool's own level for this concurrency",
        efficiency=_efficiency(scene),
        load=_load(scene, baseline),
    )


def _describe_collapse(watch: Watch, scene: Scene) -> str:
    if watch.stuck_since is not None:
        return "requests are running or waiting, and no token comes: look at the engines' logs and GPU errors"
    share = significant(scene.fraction * 100, 2)
    return (
        f"output per GPU fell under {share} % of the pool's own level at this concurrency: look at "
        "GPU clocks, preemptions, lost optimizations and the latest change of traffic or configuration"
    )


def _efficiency(scene: Scene) -> Measure[float]:
    if scene.efficiency is None:
        return UNLEARNED
    return _estimate(scene.efficiency, basis="output tokens/s/ready GPU over own level", scene=scene)


def _load(scene: Scene, baseline: Baseline) -> Measure[float]:
    """Concurrency over the concurrency at which the level stops growing (docs/cost-model.md §15)."""
    full = saturation_of(baseline) if is_usable(baseline, window=scene.window) else None
    if not full:
        return UNLEARNED
    return _estimate(scene.concurrency / full, basis="concurrency over saturation", scene=scene)


def _estimate(value: float, *, basis: str, scene: Scene) -> Measure[float]:
    return Known(
        value=value,
        basis=basis,
        source="own baseline",
        grade=Grade.ESTIMATED,
        window_seconds=scene.window,
    )
