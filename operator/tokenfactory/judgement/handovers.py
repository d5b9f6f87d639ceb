"""What TensorRT-LLM's orchestrators handed over from prefill to decode, where any was read."""

from __future__ import annotations

from dataclasses import dataclass

from tokenfactory.judgement.evidence import Evidence
from tokenfactory.model import CompanionKind, Signal


@dataclass(frozen=True, slots=True)
class HandOvers:
    """Requests of the window: filled by prefill servers and handed over, and completed by decode servers."""

    filled: float
    completed: float


def find_handovers(evidence: Evidence) -> HandOvers | None:
    """Over all orchestrators; None when none was read."""
    gained = [
        item.gained
        for item in evidence.economics.companions
        if item.kind is CompanionKind.ORCHESTRATOR and item.fresh and item.gained
    ]
    if not gained:
        return None
    return HandOvers(
        filled=sum(each.get(Signal.TRANSFERS, 0.0) for each in gained),
        completed=sum(each.get(Signal.REQUESTS, 0.0) for each in gained),
    )
