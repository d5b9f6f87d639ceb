"""Is a role as productive as it used to be at this load? One step of the judge (docs/cost-model.md §10).

Every time derives from the window; low demand is no collapse, and no data is no collapse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tokenfactory.judgement.baseline import (
    WINDOWS_KEPT,
    Baseline,
    compare,
    is_usable,
    learn,
    level_at,
    peak_of,
    saturation_of,
)
from tokenfactory.judgement.watch import CLOSED, Latch, Piece, Totals, Watch, add_piece, total, turn
from tokenfactory.model import DenominatorState, LoadStep

TOKEN_FLOOR = 1000.0
DEMAND_PER_REPLICA = 0.5
DEMAND_TO_LEAVE_LOW = 0.75
QUEUE = 1.0
STUCK_SHARE = 0.1
HYSTERESIS = 0.2
DEGRADED, RECOVERED = 0.75, 0.85
ACCEPTED = 0.8
LEARNING_EFFICIENCY = 0.8
HIGH_LOAD, LOWER_LOAD = 0.9, 0.75
EMPTY_SEATS = 0.5
EPOCHS_KEPT = 4
LEAST_TOKENS = 1.0

Kind = tuple[str, str]
"""(configuration epoch, GPU product): what is compared is of one kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One cycle of one role. `window` and `hold` in seconds; `kinds` are those of the fresh replicas.

    `tokens` are the pool's over the window. `stuck_share` is the share of replicas that hold requests and
    moved nothing for long enough. `objective_missed`: the pool costs too much or is too slow. `accept` is
    the accept-baseline annotation.
    """

    now: float
    window: float
    fraction: float
    hold: float
    role: str
    ready: int
    steps: Sequence[LoadStep] = ()
    kinds: tuple[Kind, ...] = ()
    running: float = 0.0
    waiting: float = 0.0
    tokens: float = 0.0
    stuck_share: float = 0.0
    objective_missed: bool = False
    accept: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one step found. `efficiency` is over one window, `sustained` over two; None: nothing to compare.

    `revision` is the epoch that is judged against its predecessor's level, "" when none is.
    """

    state: DenominatorState
    efficiency: float | None = None
    sustained: float | None = None
    load: float | None = None
    concurrency: float = 0.0
    epoch: str = ""
    revision: str = ""
    reference: str = ""
    since: float | None = None
    starved: bool = False
    expected_per_gpu: float | None = None


def step(
    seen: Observation, *, watch: Watch, baselines: tuple[Baseline, ...]
) -> tuple[Watch, tuple[Baseline, ...], Ruling]:
    """The watch and the baselines after this cycle, and the ruling."""
    watch, baselines = _heed(seen, watch, baselines)
    references = {kind: _refer(kind, seen, baselines) for kind in _kinds(seen)}
    past = _note(seen, watch, references)
    view = _look(seen, watch, past, references)
    watch = _turn(seen, watch, past, view)
    if _may_learn(seen, watch, view):
        baselines = _learn(seen, baselines, frozen=_frozen(watch, view))
    return watch, baselines, _rule(seen, watch, view)


def _kinds(seen: Observation) -> Iterable[Kind]:
    return {*seen.kinds, *((item.epoch, item.product) for item in seen.steps)}


def find(baselines: Iterable[Baseline], role: str, kind: Kind) -> Baseline | None:
    for item in baselines:
        if item.epoch == kind[0] and item.product == kind[1] and item.role == role:
            return item
    return None


@dataclass(frozen=True, slots=True)
class Reference:
    """The level that a kind is held against; `candidate` when it is its predecessor's."""

    baseline: Baseline
    peak: float
    saturation: float
    candidate: Baseline | None = None
    is_own: bool = True


def _refer(kind: Kind, seen: Observation, baselines: tuple[Baseline, ...]) -> Reference | None:
    own = find(baselines, seen.role, kind)
    if own is not None and own.accepted:
        return _hold(own) if is_usable(own, window=seen.window) else None
    predecessor = _predecessor(kind, seen, baselines)
    if predecessor is None:
        return None
    return replace(_hold(predecessor), candidate=own, is_own=False)


def _hold(baseline: Baseline) -> Reference:
    return Reference(baseline, peak_of(baseline), saturation_of(baseline))


def _predecessor(kind: Kind, seen: Observation, baselines: tuple[Baseline, ...]) -> Baseline | None:
    """The level accepted last of the same role and GPU product."""
    known = [
        item
        for item in baselines
        if item.accepted
        and item.role == seen.role
        and item.product == kind[1]
        and item.epoch != kind[0]
        and is_usable(item, window=seen.window)
    ]
    return max(known, key=lambda item: item.last_at, default=None)


def _heed(
    seen: Observation, watch: Watch, baselines: tuple[Baseline, ...]
) -> tuple[Watch, tuple[Baseline, ...]]:
    """Acts once on a new value of the accept-baseline annotation that names an epoch at work.

    A candidate becomes the pool's level; a level of its own that no longer holds is learned anew.
    """
    if seen.accept == watch.acknowledged:
        return watch, baselines
    changed, hit = list(baselines), not seen.accept
    for kind in sorted(set(seen.kinds)):
        if not seen.accept or not kind[0].startswith(seen.accept):
            continue
        hit = True
        own = find(baselines, seen.role, kind)
        fresh = Baseline(epoch=kind[0], role=seen.role, product=kind[1], accepted=True)
        if own is None:
            changed.append(fresh)
        else:
            changed[changed.index(own)] = fresh if own.accepted else replace(own, accepted=True)
    if not hit:
        return watch, baselines
    settled = replace(watch, acknowledged=seen.accept)
    if seen.accept:
        settled = replace(settled, past=(), collapse=CLOSED, degraded=CLOSED, paged=False)
    return settled, tuple(changed)


def _note(seen: Observation, watch: Watch, references: Mapping[Kind, Reference | None]) -> tuple[Piece, ...]:
    """The past with what this cycle's scrapes added."""
    past = _reprice(watch.past, references)
    if past and seen.now - past[-1].end > 2 * seen.window:
        past = ()
    if not seen.steps:
        return past
    expected = full = judged = tokens = made = gpu_seconds = sequences = seconds = 0.0
    for item in seen.steps:
        made += item.tokens
        gpu_seconds += item.gpu_seconds
        sequences += item.sequence_seconds
        seconds += item.seconds
        reference = references[item.epoch, item.product]
        if reference is not None and item.seconds > 0:
            level = level_at(reference.baseline, item.sequence_seconds / item.seconds)
            expected += level * item.gpu_seconds
            full += reference.peak * item.gpu_seconds
            judged += item.gpu_seconds
            tokens += item.tokens
    begin = past[-1].end if past else seen.now - max(item.seconds for item in seen.steps)
    piece = Piece(
        begin,
        seen.now,
        tokens,
        expected,
        full,
        judged,
        made,
        gpu_seconds,
        sequences,
        seconds,
        seen.waiting,
    )
    return add_piece(past, piece, window=seen.window)


def _reprice(past: tuple[Piece, ...], references: Mapping[Kind, Reference | None]) -> tuple[Piece, ...]:
    """Holds what was done before there was a level against it, as soon as there is one."""
    if len(references) != 1 or not past or past[-1].judged > 0:
        return past
    reference = next(iter(references.values()))
    if reference is None:
        return past
    level, best = reference.baseline, reference.peak
    return tuple(
        piece
        if piece.judged > 0 or piece.seconds <= 0
        else piece._replace(
            tokens=piece.made,
            expected=level_at(level, piece.sequence_seconds / piece.seconds) * piece.gpu_seconds,
            full=best * piece.gpu_seconds,
            judged=piece.gpu_seconds,
        )
        for piece in past
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What the rules compare."""

    short: Totals
    long: Totals
    main: Reference | None
    revision: str
    load: float | None
    starved_since: float | None
    demand: bool


def _look(
    seen: Observation, watch: Watch, past: tuple[Piece, ...], references: Mapping[Kind, Reference | None]
) -> _View:
    main, revision = _main(seen, references)
    short, long = total(past, seen.window)
    concurrency = short.concurrency
    saturation = main.saturation if main else None
    enough = DEMAND_TO_LEAVE_LOW if watch.low else DEMAND_PER_REPLICA
    starved_since = None
    if saturation and seen.waiting >= QUEUE and seen.running < EMPTY_SEATS * saturation * seen.ready:
        starved_since = seen.now if watch.starved_since is None else watch.starved_since
    if starved_since is not None and seen.now - starved_since >= seen.window / 2:
        short, long = total(past, seen.window, starved_since=starved_since)
    return _View(
        short=short,
        long=long,
        main=main,
        revision=revision,
        load=concurrency / saturation if saturation else None,
        starved_since=starved_since,
        demand=concurrency >= enough or short.waiting >= QUEUE or seen.stuck_share > 0,
    )


def _main(seen: Observation, references: Mapping[Kind, Reference | None]) -> tuple[Reference | None, str]:
    """The reference of most replicas, and the epoch among them that is still held against its predecessor."""
    counts: dict[Kind, int] = {}
    for kind in seen.kinds:
        counts[kind] = counts.get(kind, 0) + 1
    best: Reference | None = None
    revision = ""
    for kind in sorted(counts, key=lambda item: (-counts[item], item)):
        reference = references.get(kind)
        if reference is None:
            continue
        best = best or reference
        if not reference.is_own and not revision:
            revision = kind[0]
    return best, revision


def _turn(seen: Observation, watch: Watch, past: tuple[Piece, ...], view: _View) -> Watch:
    """Turns each latch."""
    now, window = seen.now, seen.window
    busy_at = now if seen.tokens >= TOKEN_FLOOR else watch.busy_at
    collapse, degraded = _turn_losses(seen, watch, view, busy_at=busy_at)
    stall = turn(
        watch.stall,
        bad=seen.stuck_share >= STUCK_SHARE,
        good=seen.stuck_share < STUCK_SHARE,
        after=0.0,
        until=window / 2,
        now=now,
    )
    well = view.short.efficiency is None or view.short.efficiency >= RECOVERED
    loaded = view.load is not None and view.load >= HIGH_LOAD and well and view.short.waiting >= QUEUE
    relaxed = view.load is None or view.load < LOWER_LOAD or view.short.waiting < QUEUE / 2
    return Watch(
        past=past,
        shown=watch.shown,
        acknowledged=watch.acknowledged,
        low=not view.demand,
        busy_at=busy_at,
        starved_since=view.starved_since,
        collapse=collapse,
        degraded=degraded,
        stall=stall,
        saturated=turn(watch.saturated, bad=loaded, good=relaxed, after=seen.hold, until=window, now=now),
        paged=collapse.since is not None and (watch.paged or _pages(seen, view, since=collapse.since)),
    )


def _turn_losses(
    seen: Observation, watch: Watch, view: _View, *, busy_at: float | None
) -> tuple[Latch, Latch]:
    """The latches of collapse and degradation: two windows, two edges each."""
    now, window, fraction, worth = seen.now, seen.window, seen.fraction, _worth(seen, view)
    short, long = view.short.efficiency, view.long.efficiency
    may = view.demand and busy_at is not None and now - busy_at <= window
    known = short is not None and long is not None
    rid = not view.demand or short is None
    value, longer = short if short is not None else 1.0, long if long is not None else 1.0
    collapse = turn(
        watch.collapse,
        bad=may and known and value < fraction and longer < (1 + fraction) / 2,
        good=rid or value >= fraction + HYSTERESIS,
        after=seen.hold,
        until=2 * window,
        now=now,
    )
    degraded = turn(
        watch.degraded,
        bad=may and known and value < worth and longer < (1 + worth) / 2,
        good=rid or value >= RECOVERED,
        after=window,
        until=2 * window,
        now=now,
    )
    if watch.collapse.open and not collapse.open and degraded.good_since is not None:
        collapse = watch.collapse  # both are on their way out: one transition, not two
    return collapse, degraded


def _worth(seen: Observation, view: _View) -> float:
    """Under which efficiency a pool is degraded: a revision that is known well enough has to do better."""
    candidate = view.main.candidate if view.revision and view.main else None
    return ACCEPTED if candidate and is_usable(candidate, window=seen.window) else DEGRADED


def _pages(seen: Observation, view: _View, *, since: float) -> bool:
    """Whether an open collapse is worth waking somebody."""
    return view.short.waiting >= QUEUE or seen.objective_missed or seen.now - since >= 4 * seen.window


def _frozen(watch: Watch, view: _View) -> bool:
    """Nothing is learned into an accepted level while it is in doubt."""
    short = view.short.efficiency
    return (
        watch.collapse.doubtful
        or watch.degraded.doubtful
        or view.starved_since is not None
        or (short is not None and short <= LEARNING_EFFICIENCY)
    )


def _may_learn(seen: Observation, watch: Watch, view: _View) -> bool:
    return (
        bool(seen.steps)
        and not watch.stall.doubtful
        and seen.tokens >= TOKEN_FLOOR
        and view.short.concurrency >= DEMAND_PER_REPLICA
    )


def _learn(seen: Observation, baselines: tuple[Baseline, ...], *, frozen: bool) -> tuple[Baseline, ...]:
    """One sample of each kind. A candidate is learned though it is poor: that is how it is compared."""
    sums: dict[Kind, list[float]] = {}
    for item in seen.steps:
        entry = sums.setdefault((item.epoch, item.product), [0.0, 0.0, 0.0, 0.0])
        for index, value in enumerate((item.tokens, item.gpu_seconds, item.sequence_seconds, item.seconds)):
            entry[index] += value
    for kind, (tokens, gpu_seconds, sequences, seconds) in sums.items():
        if tokens < LEAST_TOKENS or sequences < DEMAND_PER_REPLICA * seconds or gpu_seconds <= 0:
            continue
        own = find(baselines, seen.role, kind)
        if own is not None and own.accepted and frozen and is_usable(own, window=seen.window):
            continue
        own = own or Baseline(epoch=kind[0], role=seen.role, product=kind[1])
        grown = learn(
            own, at=seen.now, concurrency=sequences / seconds, level=tokens / gpu_seconds, window=seen.window
        )
        if grown is not own:
            baselines = _keep(seen, baselines, _accept(grown, seen, baselines))
    return baselines


def _accept(own: Baseline, seen: Observation, baselines: tuple[Baseline, ...]) -> Baseline:
    """Accepted by itself once it is usable and no worse than 0.8 of its predecessor."""
    if own.accepted or not is_usable(own, window=seen.window):
        return own
    predecessor = _predecessor((own.epoch, own.product), seen, baselines)
    if predecessor is not None and compare(own, predecessor) < ACCEPTED:
        return own
    return replace(own, accepted=True)


def _keep(seen: Observation, baselines: tuple[Baseline, ...], grown: Baseline) -> tuple[Baseline, ...]:
    """`grown`, and the latest of the role's others, so that a roll-back finds its level again."""
    horizon = seen.now - WINDOWS_KEPT * seen.window
    same = (grown.epoch, grown.product, grown.role)
    others = [b for b in baselines if (b.epoch, b.product, b.role) != same and b.last_at >= horizon]
    own = sorted(
        (b for b in others if b.role == grown.role), key=lambda b: (b.accepted, b.last_at), reverse=True
    )
    return (grown, *own[: EPOCHS_KEPT - 1], *(b for b in others if b.role != grown.role))


def _rule(seen: Observation, watch: Watch, view: _View) -> Ruling:
    state, since = _state(seen, watch, view)
    main, short = view.main, view.short
    per_gpu = short.expected / short.judged if short.judged > 0 else None
    return Ruling(
        state=state,
        efficiency=short.efficiency if view.demand else None,
        sustained=view.long.efficiency if view.demand else None,
        load=view.load if view.demand else None,
        concurrency=short.concurrency,
        epoch=seen.kinds[0][0] if seen.kinds else "",
        revision=view.revision,
        reference=main.baseline.epoch if main else "",
        since=since,
        starved=view.starved_since is not None and seen.now - view.starved_since >= seen.window / 2,
        expected_per_gpu=per_gpu,
    )


def _state(seen: Observation, watch: Watch, view: _View) -> tuple[DenominatorState, float | None]:
    if watch.stall.open:
        return DenominatorState.ENGINE_STALLED, watch.stall.since
    if watch.collapse.open and watch.paged:
        return DenominatorState.THROUGHPUT_COLLAPSED, watch.collapse.since
    if watch.collapse.open or watch.degraded.open:
        starts = [item.since for item in (watch.collapse, watch.degraded) if item.since is not None]
        return DenominatorState.EFFICIENCY_DEGRADED, min(starts)
    busy = watch.busy_at is not None and seen.now - watch.busy_at <= seen.window
    if not view.demand or not busy:
        return DenominatorState.LOW_DEMAND, None
    if view.short.efficiency is None:
        return DenominatorState.WARMING_UP, None
    if watch.saturated.open:
        return DenominatorState.SATURATED, watch.saturated.since
    return DenominatorState.HEALTHY, None
