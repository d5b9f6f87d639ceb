"""What runs beside the engines: read, remembered and cut to the window as they are, and counted apart (§3).

Nothing of it enters tokens, GPU time, money or coverage. It gives the latency that clients see, evidence for
optimizations, and one cross-check: the output of the frontends against that of the workers behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tokenfactory.costing.condense import condense
from tokenfactory.costing.ledger import Ledger, Track
from tokenfactory.costing.sights import see
from tokenfactory.costing.throughput import decoders
from tokenfactory.costing.tokencount import MAKERS
from tokenfactory.costing.tracks import Sight, Step, advance_all, trim
from tokenfactory.costing.window import Span, TrackView, WindowView, is_fresh, view
from tokenfactory.model import (
    Companion,
    CompanionCheck,
    CompanionFigures,
    CompanionKind,
    Engine,
    EngineId,
    EngineKind,
    Failure,
    Fleet,
    Readings,
    Role,
    RoleLoad,
    Signal,
    id_of_companion,
)

LEAST_TOKENS = 10_000.0
"""Ten times the token floor of §15: what flies around the edges of the window is then small beside it."""

TOLERANCE = 0.05
MOST_MODELS = 16


def follow(fleet: Fleet, readings: Readings, *, ledger: Ledger | None, now: float) -> tuple[Step, ...]:
    """The track of each companion after this cycle; nothing for the pools that have none."""
    if not fleet.companions:
        return ()
    sights = (_see(item, readings, ledger=ledger, now=now) for item in fleet.companions)
    return advance_all(sights, ledger.companions if ledger else {}, now=now)


def _see(item: Companion, readings: Readings, *, ledger: Ledger | None, now: float) -> Sight:
    own = id_of_companion(item)
    engine = Engine(container=item.container, kind=EngineKind.NONE, endpoint=item.endpoint, role=Role.ROUTER)
    return see(own, engine, item.pod, reading=readings.companions.get(own), ledger=ledger, now=now)


def remember(
    before: Mapping[EngineId, Track], steps: Iterable[Step], *, horizon: float, window_seconds: float
) -> dict[EngineId, Track]:
    """The tracks for the next cycle, without what no window can reach any more."""
    kept = {
        step.track.id: condense(trim(step.track, horizon), window_seconds=window_seconds) for step in steps
    }
    for engine_id, track in before.items():
        if engine_id not in kept:
            left = trim(replace(track, present=False, ready=False), horizon)
            if left.segments:
                kept[engine_id] = left
    return kept


def list_companions(
    fleet: Fleet, readings: Readings, ledger: Ledger, span: Span, *, now: float, interval: float
) -> tuple[CompanionFigures, ...]:
    """One row for each companion that is there now, sorted by id."""
    if not fleet.companions:
        return ()
    parts = {part.track.id: part for part in view(ledger.companions.values(), span).parts}
    rows = (
        _figure(item, readings, parts.get(id_of_companion(item)), now=now, interval=interval)
        for item in fleet.companions
    )
    return tuple(sorted(rows, key=lambda row: row.id))


def _figure(
    item: Companion, readings: Readings, part: TrackView | None, *, now: float, interval: float
) -> CompanionFigures:
    own = id_of_companion(item)
    result = readings.companions.get(own)
    found = CompanionFigures(
        id=own,
        kind=item.kind,
        pod=item.pod.name,
        node=item.pod.node_name,
        ready=item.container.running and item.container.ready,
        fresh=part is not None and is_fresh(part.track, now=now, interval=interval),
        failure=result.reason if isinstance(result, Failure) else None,
        why_not=item.why_not,
    )
    if part is None or part.track.snapshot is None:
        return found
    signals = [family for family in part.track.families if isinstance(family, Signal)]
    ranks = {rank for rank in part.track.snapshot.layout.ranks if rank}
    return replace(
        found,
        seconds=part.seconds,
        gained={signal: part.total(signal) for signal in signals},
        running=part.track.running,
        waiting=part.track.waiting,
        waiting_mean=part.waiting_seconds / part.seconds if part.seconds > 0 else 0.0,
        models=tuple(sorted(ranks)[:MOST_MODELS]),
        estimated=part.estimated,
    )


def speak_for_clients(companions: Sequence[CompanionFigures]) -> bool:
    """Whether the frontends' latency is that of this pool: all were read, and they serve no second model.

    One that is not ready serves no client.
    """
    frontends = [item for item in _frontends(companions) if item.ready]
    alone = len({model for item in frontends for model in item.models}) <= 1
    return bool(frontends) and alone and all(item.fresh for item in frontends)


def is_queueing(companions: Sequence[CompanionFigures]) -> bool:
    """Whether requests of this pool waited in a frontend's router at some scrape of the window."""
    return speak_for_clients(companions) and any(item.waiting_mean > 0 for item in _frontends(companions))


def add_queue(loads: tuple[RoleLoad, ...], companions: Sequence[CompanionFigures]) -> tuple[RoleLoad, ...]:
    """The loads with the requests that wait in the frontends' routers: no engine has seen those yet.

    They wait for output, so they count with the role that makes it.
    """
    makers = [load.role for load in loads if load.role in MAKERS]
    if not makers or not speak_for_clients(companions):
        return loads
    judged = Role.DECODE if Role.DECODE in makers else Role.AGGREGATED
    frontends = _frontends(companions)
    now, mean = (
        sum(item.waiting for item in frontends),
        sum(item.waiting_mean for item in frontends),
    )
    return tuple(
        replace(load, waiting=load.waiting + now, waiting_mean=load.waiting_mean + mean)
        if load.role is judged
        else load
        for load in loads
    )


def compare_frontends(
    companions: Sequence[CompanionFigures], window: WindowView, ledger: Ledger, *, complete: bool
) -> CompanionCheck:
    """The frontends' output over the workers' in one window; compared only where both are whole.

    Whole: every replica and every frontend was read, the window is full, the workers' tokens come as they are
    made, nothing restarted, came or went in it, and the frontends serve one model.
    """
    frontends = _frontends(companions)
    workers = [part for part in decoders(window) if part.track.snapshot is not None]
    made = sum(part.total(Signal.OUTPUT_TOKENS) for part in workers)
    seen = sum(item.gained.get(Signal.OUTPUT_TOKENS, 0.0) for item in frontends)
    least = window.span.seconds * (1 - TOLERANCE / 2)
    whole = (
        complete
        and ledger.full
        and speak_for_clients(companions)
        and not any(_has_left(track) for track in ledger.companions.values())
        and not any(item.estimated or not item.ready or item.seconds < least for item in frontends)
        and all(part.counts_live and not part.estimated and part.track.present for part in workers)
    )
    if not whole or max(made, seen) < LEAST_TOKENS:
        return CompanionCheck.NOT_COMPARED
    if abs(seen - made) <= TOLERANCE * max(made, seen):
        return CompanionCheck.AGREE
    more = seen > made
    return CompanionCheck.FRONTENDS_COUNT_MORE if more else CompanionCheck.FRONTENDS_COUNT_LESS


def _has_left(track: Track) -> bool:
    """A frontend that is gone, and whose output the window may hold."""
    return not track.present and track.id.instance == CompanionKind.DYNAMO_FRONTEND.value


def _frontends(companions: Iterable[CompanionFigures]) -> list[CompanionFigures]:
    return [item for item in companions if item.kind is CompanionKind.DYNAMO_FRONTEND]
