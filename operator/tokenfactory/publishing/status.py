"""The `.status` document of an InferencePool, made from what one cycle found. What is unknown is absent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenfactory.model import (
    Condition,
    DenominatorState,
    Economics,
    Fleet,
    Inspected,
    Pool,
    Truth,
    Verdict,
)
from tokenfactory.publishing import figures, serving
from tokenfactory.publishing.text import clean, count, present, seconds_of, timestamp

LARGEST_DOCUMENT = 32 * 1024
MESSAGE_BYTES = 1024
JUDGED = frozenset(
    state.value
    for state in (
        DenominatorState.HEALTHY,
        DenominatorState.LOW_DEMAND,
        DenominatorState.SATURATED,
        DenominatorState.EFFICIENCY_DEGRADED,
        DenominatorState.THROUGHPUT_COLLAPSED,
        DenominatorState.ENGINE_STALLED,
    )
)
WINDOWED = {
    "gpus": frozenset({"observed", "busyShare", "tensorActiveShare", "memoryUsedShare", "throttledShare"}),
    "cost": frozenset(
        {
            "perMillionTokens",
            "perMillionTokensUncached",
            "allCostPerMillionOutputTokens",
            "perMillionInputTokens",
            "perMillionOutputTokens",
            "idleShare",
            "projectedPerMonth",
            "grade",
        }
    ),
}
WINDOWED_WHOLE = frozenset({"windowSeconds", "throughput", "latency", "energy", "efficiency"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What one cycle found of one pool. Without `economics` no number is published. `now`: Unix seconds."""

    generation: int
    pool: Pool | None
    fleet: Fleet | None
    inspected: tuple[Inspected, ...]
    economics: Economics | None
    verdict: Verdict
    now: float


def render(subject: Subject, previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """The whole status. `previous` is the published one: unchanged conditions keep their transition time.

    At most 32 KiB of JSON: the cheapest findings give way (reference: status size, threat 9).
    """
    economics, verdict = subject.economics, subject.verdict
    document = present(
        {
            "observedGeneration": subject.generation,
            "conditions": conditions(
                hold_verdict(verdict, generation=subject.generation, previous=previous),
                generation=subject.generation,
                now=subject.now,
                previous=previous,
            ),
            "observationTime": timestamp(subject.now),
            "optimizationsActive": serving.optimizations_active(verdict.rows),
            "serving": serving.serving(subject.fleet, subject.inspected, economics),
            **(_numbers(economics, verdict) if economics else {}),
            "optimizations": serving.optimizations(verdict.rows),
            "findings": serving.findings(verdict),
        }
    )
    return fit(document)


def _numbers(economics: Economics, verdict: Verdict) -> dict[str, Any]:
    return {
        "windowSeconds": count(economics.covered_seconds) or None,
        "gpus": figures.gpus(economics),
        "cost": figures.cost(economics),
        "throughput": figures.throughput(economics),
        "latency": figures.latency(economics),
        "energy": figures.energy(economics),
        "efficiency": figures.efficiency(economics, verdict),
    }


def without_window(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` without the numbers that need a full window: those that hold at an instant stay."""
    kept = {name: value for name, value in document.items() if name not in WINDOWED_WHOLE}
    for section, fields in WINDOWED.items():
        if section in kept:
            kept[section] = {name: value for name, value in kept[section].items() if name not in fields}
    if "optimizations" in kept:
        kept["optimizations"] = [
            {name: value for name, value in row.items() if name != "savingPerMillionTokens"}
            for row in kept["optimizations"]
        ]
    return present(kept)


def fit(document: dict[str, Any]) -> dict[str, Any]:
    """`document`, its last findings dropped until it is small enough."""
    fitted = dict(document)
    while size_of(fitted) > LARGEST_DOCUMENT and fitted.get("findings"):
        fitted["findings"] = fitted["findings"][:-1]
    assert size_of(fitted) <= LARGEST_DOCUMENT, "a status is larger than 32 KiB"
    return present(fitted)


def size_of(document: Mapping[str, Any]) -> int:
    """Bytes of the document as JSON in UTF-8."""
    return len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def hold_verdict(
    verdict: Verdict, *, generation: int, previous: Mapping[str, Any] | None
) -> tuple[Condition, ...]:
    """The verdict's conditions; WarmingUp replaces a published verdict only when the baseline is lost."""
    published = published_condition(previous, "DenominatorHealthy")
    keep = (
        verdict.denominator is DenominatorState.WARMING_UP
        and not verdict.baseline_lost
        and published.get("reason") in JUDGED
        and published.get("status") in tuple(Truth)
        and previous is not None
        and previous.get("observedGeneration") == generation
    )
    if not keep:
        return verdict.conditions
    return tuple(
        Condition(
            type=condition.type,
            status=Truth(published["status"]),
            reason=published["reason"],
            message=str(published.get("message", "")),
        )
        if condition.type == "DenominatorHealthy"
        else condition
        for condition in verdict.conditions
    )


def conditions(
    found: Sequence[Condition], *, generation: int, now: float, previous: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Kubernetes conditions; `lastTransitionTime` is `now` only where the status is another one."""
    rows = []
    for condition in found:
        before = published_condition(previous, condition.type)
        since = seconds_of(before.get("lastTransitionTime"))
        same = before.get("status") == condition.status.value and since is not None
        rows.append(
            {
                "type": str(condition.type),
                "status": condition.status.value,
                "reason": str(condition.reason),
                "message": clean(condition.message, limit=MESSAGE_BYTES),
                "lastTransitionTime": timestamp(since if same and since is not None else now),
                "observedGeneration": generation,
            }
        )
    return rows


def published_condition(document: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any]:
    """The condition of that type in a document from the API server; empty when there is none."""
    rows = (document or {}).get("conditions")
    for row in rows if isinstance(rows, list | tuple) else ():
        if isinstance(row, Mapping) and row.get("type") == kind:
            return row
    return {}
