"""What each engine's counters did over the window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tokenfactory.costing.tracks import Sight
from tokenfactory.costing.window import TrackView, WindowView
from tokenfactory.model import (
    EngineEvidence,
    EngineId,
    EngineKind,
    EngineReading,
    Failure,
    Level,
    Signal,
)


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
    failed = reading if isinstance(reading, Failure) else None
    base = EngineEvidence(
        id=sight.id,
        role=sight.role,
        kind=sight.engine.kind if sight.engine else EngineKind.OTHER,
        readable=isinstance(reading, EngineReading),
        failure=failed.reason if failed else None,
        failure_detail=failed.detail if failed else "",
    )
    if part is None or part.track.read_at is None:
        return base
    track = part.track
    levels = reading.levels if isinstance(reading, EngineReading) else {}
    return replace(
        _with_counters(base, part),
        acceptance_gauge=levels.get(Level.ACCEPTANCE_LENGTH),
        transfer_gauge=levels.get(Level.TRANSFER_SPEED),
        offload_capacity=levels.get(Level.OFFLOAD_CAPACITY),
        families=track.families,
        info=track.info,
        model=track.model,
        version=track.version,
    )


def _with_counters(base: EngineEvidence, part: TrackView) -> EngineEvidence:
    """What the window's counters gained; None where the page lacks the family."""

    def gained(signal: Signal) -> float | None:
        return part.total(signal) if part.has(signal) else None

    return replace(
        base,
        prompt_tokens=part.total(Signal.PROMPT_TOKENS),
        output_tokens=part.total(Signal.OUTPUT_TOKENS),
        computed_prompt_tokens=gained(Signal.COMPUTED_PROMPT_TOKENS),
        drafts=part.drafts,
        draft_tokens=gained(Signal.DRAFT_TOKENS),
        accepted_tokens=part.accepted,
        transfers=gained(Signal.TRANSFERS),
        transfer_failures=gained(Signal.TRANSFER_FAILURES),
        stored_bytes=gained(Signal.OFFLOAD_STORED_BYTES),
        loaded_bytes=gained(Signal.OFFLOAD_LOADED_BYTES),
        stored_tokens=gained(Signal.OFFLOAD_STORED_TOKENS),
        loaded_tokens=gained(Signal.OFFLOAD_LOADED_TOKENS),
        stored_blocks=gained(Signal.OFFLOAD_STORED_BLOCKS),
        loaded_blocks=gained(Signal.OFFLOAD_LOADED_BLOCKS),
        offload_hit_tokens=gained(Signal.OFFLOAD_HIT_TOKENS),
        external_hit_tokens=gained(Signal.EXTERNAL_HIT_TOKENS),
    )
