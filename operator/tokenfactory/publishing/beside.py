"""What runs beside the engines, as an explanation shows it: read, and never a part of tokens or money."""

from __future__ import annotations

from typing import Any

from tokenfactory.model import CompanionFigures, CompanionKind, Economics, Signal
from tokenfactory.publishing.text import clean, plain, present

NAMES = {
    Signal.REQUESTS: "requests",
    Signal.PROMPT_TOKENS: "inputTokens",
    Signal.CACHED_PROMPT_TOKENS: "cachedInputTokens",
    Signal.OUTPUT_TOKENS: "outputTokens",
    Signal.OFFLOAD_HIT_TOKENS: "tokensFound",
    Signal.OFFLOAD_STORED_BLOCKS: "chunksStored",
    Signal.OFFLOAD_LOADED_BLOCKS: "chunksLoaded",
}
OF_ORCHESTRATORS = {Signal.TRANSFERS: "requestsHandedOver", Signal.REQUESTS: "requestsCompleted"}
NOT_READ = "not read yet"


def list_beside(economics: Economics) -> list[dict[str, Any]]:
    """One row for each companion: what it counted in the window, or why it was not read."""
    return [_row(item) for item in economics.companions]


def _row(item: CompanionFigures) -> dict[str, Any]:
    failed = item.failure.value if item.failure else ""
    why = "" if item.fresh else item.why_not or failed or NOT_READ
    names = OF_ORCHESTRATORS if item.kind is CompanionKind.ORCHESTRATOR else NAMES
    counted = {names[signal]: plain(value) for signal, value in item.gained.items() if signal in names}
    return present(
        {
            "pod": clean(item.pod, limit=253),
            "container": clean(item.id.container, limit=63),
            "kind": item.kind.value,
            "notRead": clean(why, limit=256),
            "models": len(item.models) or None,
            "seconds": plain(item.seconds) if item.gained else None,
            "running": plain(item.running) if item.gained else None,
            "waiting": plain(item.waiting) if item.gained else None,
            "counted": dict(sorted(counted.items())),
        }
    )
