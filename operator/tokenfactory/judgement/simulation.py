"""Acceptance that never varies: drafts whose outcome a benchmark switch forces, told by the counters alone.

Real acceptance differs from window to window. A ratio that is the same in three windows of at least 10,000
drafts each, and neither none nor all, is forced (design: api).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isclose

from tokenfactory.model import EngineEvidence, EngineId

WINDOWS = 3
LEAST_DRAFTS = 10_000
SAME = 1e-6
MOST_ENGINES = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """The ratio of accepted tokens to drafts in one engine's window that ended at `at` (Unix seconds)."""

    engine: EngineId
    at: float
    ratio: float


def sample_acceptance(
    seen: Iterable[EngineEvidence], samples: tuple[Sample, ...], *, now: float, window: float
) -> tuple[Sample, ...]:
    """The last three samples of each engine that is there, windows that don't overlap; bounded."""
    kept: list[Sample] = []
    for item in sorted(seen, key=lambda item: item.id)[:MOST_ENGINES]:
        own = tuple(sample for sample in samples if sample.engine == item.id)
        ratio = _ratio(item)
        if ratio is not None and (not own or now - own[-1].at >= window):
            own = (*own, Sample(item.id, now, ratio))
        kept += own[-WINDOWS:]
    return tuple(kept)


def is_simulated(samples: tuple[Sample, ...]) -> bool:
    """Whether some engine's ratio was the same in three windows, and neither none nor all."""
    by_engine: dict[EngineId, list[float]] = {}
    for sample in samples:
        by_engine.setdefault(sample.engine, []).append(sample.ratio)
    return any(_is_constant(ratios) for ratios in by_engine.values())


def _ratio(item: EngineEvidence) -> float | None:
    """None for too few drafts. All or none accepted, which is real now and then, gives a whole number."""
    if item.drafts is None or item.accepted_tokens is None or item.drafts < LEAST_DRAFTS:
        return None
    return item.accepted_tokens / item.drafts


def _is_constant(ratios: list[float]) -> bool:
    if len(ratios) < WINDOWS or isclose(ratios[0], round(ratios[0]), abs_tol=SAME):
        return False
    return all(isclose(ratio, ratios[0], rel_tol=SAME) for ratio in ratios)
