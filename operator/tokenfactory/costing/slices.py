"""What a pool's latency histograms gained, cycle by cycle (docs/cost-model.md §15)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from operator import add

from tokenfactory.costing.condense import GRAINS_PER_WINDOW
from tokenfactory.costing.ledger import Gains, LatencySlice
from tokenfactory.costing.tracks import Step
from tokenfactory.model import Role


def merge_buckets(steps: Iterable[Step]) -> LatencySlice | None:
    """The bucket gains of all serving steps of a cycle with the span that they cover; None without any."""
    starts: list[float] = []
    ends: list[float] = []
    parts: list[Gains] = []
    for step in steps:
        snapshot = step.track.snapshot
        if step.segment is None or not step.buckets or snapshot is None or step.track.role is Role.PREFILL:
            continue
        starts.append(step.segment.start)
        ends.append(step.segment.end)
        parts.append(Gains(snapshot.layout.outline.buckets, step.buckets))
    return LatencySlice(min(starts), max(ends), _sum(parts)) if parts else None


def append_slice(
    kept: tuple[LatencySlice, ...], fresh: LatencySlice | None, *, window_seconds: float
) -> tuple[LatencySlice, ...]:
    """The slices with the new one, which becomes part of the last where both are together a grain long."""
    if fresh is None or not kept:
        return (*kept, fresh) if fresh else kept
    *earlier, last = kept
    start, end = min(last.start, fresh.start), max(last.end, fresh.end)
    if end - start > window_seconds / GRAINS_PER_WINDOW:
        return (*kept, fresh)
    return (*earlier, LatencySlice(start, end, _sum((*last.parts, *fresh.parts))))


def _sum(parts: Iterable[Gains]) -> tuple[Gains, ...]:
    """One array for each kind of page."""
    total: dict[int, Gains] = {}
    for part in parts:
        before = total.get(id(part.buckets))
        values = part.values if before is None else array("d", map(add, before.values, part.values))
        total[id(part.buckets)] = Gains(part.buckets, values)
    return tuple(total.values())
