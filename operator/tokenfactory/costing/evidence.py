"""What each engine's counters did, and the judge's view of each role (docs/cost-model.md §15, E and c)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tokenfactory.costing.ledger import Track
from tokenfactory.costing.tokencount import WORKERS
from tokenfactory.costing.tracks import Sight
from tokenfactory.costing.window import TrackView, WindowView, is_fresh
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing
from tokenfactory.model import (
    EngineEvidence,
    EngineId,
    EngineKind,
    EngineReading,
    Failure,
    FailureReason,
    Level,
    Role,
    RoleLoad,
    Signal,
)

SOURCE = "engine counters, docs/cost-model.md §15"


def gather_evidence(
    sights: Iterable[Sight], window: WindowView, readings: Mapping[EngineId, EngineReading | Failure]
) -> tuple[EngineEvidence, ...]:
    """One row per engine that is there now, sorted by id; None where the page lacks the family."""
    parts = {part.track.id: part for part in window.parts}
    rows = [_evidence_of(s, parts.get(s.id), readings.get(s.id)) for s in sights if s.engine is not None]
    return tuple(sorted(rows, key=lambda row: row.id))


def _evidence_of(
    sight: Sight, part: TrackView | None, reading: EngineReading | Failure | None
) -> EngineEvidence:
    failure: FailureReason | None = reading.reason if isinstance(reading, Failure) else None
    detail = reading.detail if isinstance(reading, Failure) else ""
    readable = isinstance(reading, EngineReading)
    if part is None or part.track.read_at is None:
        return EngineEvidence(
            id=sight.id, role=sight.role, readable=readable, failure=failure, failure_detail=detail
        )
    track = part.track
    levels = reading.levels if isinstance(reading, EngineReading) else {}

    def gained(signal: Signal) -> float | None:
        return part.total(signal) if part.has(signal) else None

    return EngineEvidence(
        id=sight.id,
        role=sight.role,
        readable=readable,
        failure=failure,
        failure_detail=detail,
        prompt_tokens=part.total(Signal.PROMPT_TOKENS),
        output_tokens=part.total(Signal.OUTPUT_TOKENS),
        drafts=part.drafts,
        draft_tokens=gained(Signal.DRAFT_TOKENS),
        accepted_tokens=part.accepted,
        acceptance_gauge=levels.get(Level.ACCEPTANCE_LENGTH),
        computed_prompt_tokens=gained(Signal.COMPUTED_PROMPT_TOKENS),
        transfers=gained(Signal.TRANSFERS),
        transfer_gauge=levels.get(Level.TRANSFER_SPEED),
        stored_bytes=gained(Signal.OFFLOAD_STORED_BYTES),
        loaded_bytes=gained(Signal.OFFLOAD_LOADED_BYTES),
        stored_tokens=gained(Signal.OFFLOAD_STORED_TOKENS),
        loaded_tokens=gained(Signal.OFFLOAD_LOADED_TOKENS),
        stored_blocks=gained(Signal.OFFLOAD_STORED_BLOCKS),
        loaded_blocks=gained(Signal.OFFLOAD_LOADED_BLOCKS),
        offload_capacity=levels.get(Level.OFFLOAD_CAPACITY),
        offload_hit_tokens=gained(Signal.OFFLOAD_HIT_TOKENS),
        external_hit_tokens=gained(Signal.EXTERNAL_HIT_TOKENS),
        families=track.families,
        kind=sight.engine.kind if sight.engine else EngineKind.OTHER,
        info=track.info,
        model=track.model,
        version=track.version,
    )


def weigh_roles(window: WindowView, *, now: float, interval: float) -> tuple[RoleLoad, ...]:
    """One row per serving role that has an engine now, in the order aggregated, prefill, decode."""
    found = []
    for role in WORKERS:
        parts = tuple(p for p in window.parts if p.track.role is role)
        if any(p.track.present and p.track.id.container for p in parts):
            found.append(_weigh(role, parts, now=now, interval=interval))
    return tuple(found)


def _weigh(role: Role, parts: tuple[TrackView, ...], *, now: float, interval: float) -> RoleLoad:
    """E: tokens over the GPU time that could serve. Loading time is cost, not inefficiency.

    Followers of a multi-node group (no container of their own) bring GPU time and are no replicas.
    """
    signal = Signal.PROMPT_TOKENS if role is Role.PREFILL else Signal.OUTPUT_TOKENS
    tokens = sum(part.total(signal) for part in parts)
    able = sum(part.able_gpu_seconds for part in parts)
    parts = tuple(part for part in parts if part.track.id.container)
    seconds = max((part.seconds for part in parts), default=0.0)
    read = [part for part in parts if part.track.read_at is not None]
    per_gpu: Measure[float] = Missing(Absence.NOT_SCRAPED)
    if read and able > 0:
        per_gpu = Known(
            value=tokens / able, basis=f"{signal.value}/s/ready GPU", source=SOURCE, window_seconds=seconds
        )
    ready = [part.track for part in parts if part.track.present and part.track.ready]
    fresh = [track for track in ready if is_fresh(track, now=now, interval=interval)]
    return RoleLoad(
        role=role,
        tokens=tokens,
        per_ready_gpu=per_gpu,
        concurrency=_concurrency(role, read, seconds=seconds),
        running=sum(track.running for track in fresh),
        waiting=sum(track.waiting for track in fresh),
        fresh_share=_count(fresh) / _count(ready) if ready else 0.0,
        ready_replicas=_count(ready),
    )


def _count(tracks: Iterable[Track]) -> int:
    return len({track.id.pod_uid for track in tracks})


def _concurrency(role: Role, parts: list[TrackView], *, seconds: float) -> Measure[float]:
    """c: decoding (prefilling) seconds over the seconds in which a replica could serve, so per replica."""
    signal = Signal.PREFILL_SECONDS if role is Role.PREFILL else Signal.INTER_TOKEN_SECONDS
    able = sum(part.able_seconds for part in parts)
    if able <= 0:
        return Missing(Absence.NOT_SCRAPED)
    if all(part.has(signal) for part in parts):
        amount, grade = sum(part.total(signal) for part in parts), Grade.MEASURED
    else:
        amount, grade = sum(part.running_seconds for part in parts), Grade.ESTIMATED
    return Known(
        value=amount / able,
        basis="mean sequences per replica",
        source=SOURCE,
        grade=grade,
        window_seconds=seconds,
    )
