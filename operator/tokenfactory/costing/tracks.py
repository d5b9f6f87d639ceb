"""Closes segments: what GPU time was spent on between two good scrapes (docs/cost-model.md §1)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tokenfactory.costing.counters import Snapshot, carry_over, count_since, shorten, take_snapshot
from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.history import Segment
from tokenfactory.costing.ledger import Track
from tokenfactory.costing.shares import Share
from tokenfactory.model import SLOT, Engine, EngineId, EngineReading, Histogram, Level, Role, Signal

Families = frozenset[Signal | Histogram]
_MOVED = tuple(
    SLOT[signal]
    for signal in (
        Signal.PROMPT_TOKENS,
        Signal.OUTPUT_TOKENS,
        Signal.STEP_OUTPUT_TOKENS,
        Signal.INTER_TOKEN_SECONDS,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One engine as this cycle sees it. `engine` None: a pod that holds GPUs and runs no engine we know.

    `since` is when its GPU time begins if no track exists yet; None: at its first good scrape.
    `silent_share` is what a pod without a page of its own spends its Ready time on.
    """

    id: EngineId
    role: Role
    facts: HardwareFacts
    gpus: float
    engine: Engine | None
    ready: bool
    reading: EngineReading | None
    since: float | None
    from_zero: bool
    now: float
    epoch: str = ""
    silent_share: Share = Share.IDLE


@dataclass(frozen=True, slots=True)
class Step:
    """A track after this cycle, the segment that it closed and what its histograms gained in it."""

    track: Track
    segment: Segment | None = None
    buckets: array[float] | None = None


def advance(before: Track | None, sight: Sight, *, now: float) -> Step:
    """The track after this cycle. A failed scrape of a Ready engine closes nothing."""
    track = _begin(before, sight)
    reading = sight.reading
    if reading is not None and (track.read_at is None or reading.at > track.read_at):
        if track.closed_at is None:
            return Step(_remember(track, sight, reading=reading, snapshot=take_snapshot(reading)))
        if reading.at > track.closed_at:
            return _close_with_reading(track, sight, reading)
    silent = sight.engine is None or sight.role is Role.WORKER
    if (silent or not sight.ready) and track.closed_at is not None and now > track.closed_at:
        share = sight.silent_share if sight.ready else Share.LOADING
        segment = Segment(track.closed_at, now, track.gpus, share)
        return Step(replace(track, closed_at=now, segments=track.segments.plus(segment)), segment)
    return Step(track)


def advance_all(sights: Iterable[Sight], before: Mapping[EngineId, Track], *, now: float) -> tuple[Step, ...]:
    """Every track after this cycle."""
    return tuple(advance(before.get(sight.id), sight, now=now) for sight in sights)


def trim(track: Track, horizon: float) -> Track:
    """The track without the segments that ended before `horizon`."""
    left = track.segments.after(horizon)
    return track if left is track.segments else replace(track, segments=left)


def _begin(before: Track | None, sight: Sight) -> Track:
    if before is None:
        return Track(
            id=sight.id,
            role=sight.role,
            facts=sight.facts,
            gpus=sight.gpus,
            closed_at=sight.since,
            from_zero=sight.from_zero,
            born=sight.now,
            ready=sight.ready,
            epoch=sight.epoch,
        )
    closed_at = sight.since if before.closed_at is None else before.closed_at
    return replace(
        before,
        role=sight.role,
        facts=sight.facts,
        gpus=sight.gpus,
        closed_at=closed_at,
        present=True,
        ready=sight.ready,
        epoch=sight.epoch,
    )


def _close_with_reading(track: Track, sight: Sight, reading: EngineReading) -> Step:
    first, restarted = track.read_at is None, _has_restarted(track, sight)
    snapshot = take_snapshot(reading)
    baseline = track.snapshot
    if restarted:
        baseline = None
    elif first and not (track.from_zero or _started_since(track, sight)):
        baseline = snapshot
    gained = count_since(baseline, snapshot)
    moved = any(gained.signals[slot] for slot in _MOVED)
    running, waiting = reading.levels.get(Level.RUNNING, 0.0), reading.levels.get(Level.WAITING, 0.0)
    segment = Segment(
        track.closed_at if track.closed_at is not None else reading.at,
        reading.at,
        track.gpus,
        _share(moved=moved or running > 0 or waiting > 0, able=sight.ready and not first and not restarted),
        shorten(gained.signals),
        running,
        waiting,
        estimated=restarted or gained.reset,
    )
    kept = snapshot if restarted else carry_over(track.snapshot, snapshot)
    after = _remember(track, sight, reading=reading, snapshot=kept)
    alive = moved or restarted or after.kv_usage != track.kv_usage
    moved_at = reading.at if alive else track.moved_at
    after = replace(after, segments=track.segments.plus(segment), moved_at=moved_at)
    return Step(after, segment, gained.buckets)


def _share(*, moved: bool, able: bool) -> Share:
    if moved:
        return Share.SERVING
    return Share.IDLE if able else Share.LOADING


def _started_since(track: Track, sight: Sight) -> bool:
    """Whether the container started after the track was begun, so that its first page counts whole."""
    started_at = sight.engine.container.started_at if sight.engine else None
    return started_at is not None and started_at > track.born


def _has_restarted(track: Track, sight: Sight) -> bool:
    """Whether the container started anew after the last good page, so that its counters began at zero.

    A start that is older than that page is already in it: the kubelet's news may come after the page.
    """
    if track.read_at is None or sight.engine is None:
        return False
    container = sight.engine.container
    if container.started_at is not None:
        return container.started_at != track.started_at and container.started_at > track.read_at
    return container.restarts > track.restarts


def _remember(track: Track, sight: Sight, *, reading: EngineReading, snapshot: Snapshot) -> Track:
    container = sight.engine.container if sight.engine else None
    return replace(
        track,
        closed_at=reading.at,
        read_at=reading.at,
        started_at=container.started_at if container else None,
        restarts=container.restarts if container else 0,
        snapshot=snapshot,
        families=_join(reading.families, frozenset(key.signal for key in snapshot.layout))
        if track.snapshot is None or track.snapshot.layout != snapshot.layout
        else _join(reading.families, track.families),
        running=reading.levels.get(Level.RUNNING, 0.0),
        waiting=reading.levels.get(Level.WAITING, 0.0),
        kv_usage=reading.levels.get(Level.KV_CACHE_USAGE),
        moved_at=reading.at if track.moved_at is None else track.moved_at,
        info=reading.info,
        model=reading.info.get("model", ""),
        version=reading.info.get("version", ""),
    )


def _join(shared: Families, others: Families) -> Families:
    """Both, without a copy where there is nothing to add: the engines of a fleet share one set."""
    return shared if others <= shared else shared | others
