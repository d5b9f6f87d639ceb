"""A vLLM page as one EngineReading. Pure: bytes in, a value out; what differs by version is in vllm_names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType

from tokenfactory.model import EngineReading, Failure, FailureReason, Level, Signal
from tokenfactory.telemetry.exposition import PageRefused, Wanted, scan_columns
from tokenfactory.telemetry.layouts import Facts, Layouts, Plan
from tokenfactory.telemetry.limits import ScanLimits
from tokenfactory.telemetry.shapes import Columns, Labels, Shape
from tokenfactory.telemetry.vllm_names import (
    CACHE_FACTS,
    CACHE_INFO,
    GPU_HITS_FAMILY,
    SAMPLE_NAMES,
    STRANGERS,
    TYPE_NAMES,
)
from tokenfactory.telemetry.vllm_plan import draw_plan

COUNTER_LIMIT = 2.0**63
_TEXT_LENGTH = 128
_WANTED = Wanted(SAMPLE_NAMES, loose=frozenset({CACHE_INFO}), types=TYPE_NAMES)
_GPU_HITS_NAMES = frozenset({GPU_HITS_FAMILY, f"{GPU_HITS_FAMILY}_total"})
_GPU_HITS_TYPES = frozenset(name.encode() for name in _GPU_HITS_NAMES)
_GPU_HITS_UNIT = re.compile(rb"\n# HELP " + GPU_HITS_FAMILY.encode() + rb"(?:_total)? [^\n]*?(blocks|tokens)")
_DEFAULT_LIMITS = ScanLimits()


def parse(
    page: bytes, *, at: float, layouts: Layouts, limits: ScanLimits = _DEFAULT_LIMITS
) -> EngineReading | Failure:
    """The page's counters, levels and facts. `at` is the Unix time of the page.

    Cached prompt tokens are tokens in every version (blocks are multiplied by the block size that the page
    states). A family that the page declares without a sample is a counter at zero for every rank. One
    counter that is negative, NaN or infinite refuses the whole page.
    """
    try:
        columns = scan_columns(page, _WANTED, limits)
        return _read(page, columns, at=at, layouts=layouts)
    except PageRefused as refused:
        return Failure(at=at, reason=refused.failure_reason, detail=refused.detail)


def _read(page: bytes, columns: Columns, *, at: float, layouts: Layouts) -> EngineReading | Failure:
    shape, values, loose = columns
    facts = _cache_facts(loose)
    scale = _tokens_per_gpu_hit(page, facts) if _counts_gpu_hits(shape) else None
    plan = layouts.plans.recall(
        (shape, scale),
        cost=len(shape.rows) + 1,
        make=lambda: draw_plan(shape.rows, shape.types, layouts, gpu_hit_tokens=scale),
    )
    if not {Signal.OUTPUT_TOKENS, Signal.PROMPT_TOKENS} <= plan.families or not plan.layout:
        return Failure(at=at, reason=FailureReason.NO_ENGINE_METRICS, detail=_why_not(page, plan))
    counters = _sum_counters(plan, values)
    if counters is None:
        return Failure(at=at, reason=FailureReason.BAD_VALUE, detail="a counter is negative or not finite")
    return EngineReading(
        at=at,
        layout=plan.layout,
        counters=counters,
        levels=_read_levels(plan, values),
        families=plan.families,
        info=layouts.facts((("model", _tidy(plan.model)), *facts)),
    )


def _sum_counters(plan: Plan, values: Sequence[float]) -> tuple[float, ...] | None:
    counters = [0.0] * len(plan.layout)
    for place, slot, factor in plan.moves:
        value = values[place]
        if not 0.0 <= value < COUNTER_LIMIT:
            return None
        counters[slot] += value * factor
    return tuple(counters)


def _read_levels(plan: Plan, values: Sequence[float]) -> MappingProxyType[Level, float]:
    """Requests summed over ranks, cache usage as their mean; a gauge that is no number is left out."""
    found: dict[Level, list[float]] = {}
    for place, level in plan.levels:
        found.setdefault(level, []).append(values[place])
    return MappingProxyType(
        {
            level: sum(several) / (len(several) if level is Level.KV_CACHE_USAGE else 1)
            for level, several in found.items()
            if all(0.0 <= value < COUNTER_LIMIT for value in several)
        }
    )


def _cache_facts(cache_info: Sequence[Labels]) -> Facts:
    said = dict(cache_info[0]) if cache_info else {}
    return tuple([(fact, _tidy(said[fact])) for fact in CACHE_FACTS if fact in said])


def _counts_gpu_hits(shape: Shape) -> bool:
    return not (shape.names.isdisjoint(_GPU_HITS_NAMES) and shape.types.isdisjoint(_GPU_HITS_TYPES))


def _tokens_per_gpu_hit(page: bytes, facts: Facts) -> float | None:
    """Tokens that one of `gpu_prefix_cache_hits` stands for; None when the page does not tell (traps T3)."""
    unit = _GPU_HITS_UNIT.search(page)
    if unit is None:
        return None
    if unit[1] == b"tokens":
        return 1.0
    block_size = dict(facts).get("block_size", "")
    return float(block_size) if re.fullmatch(r"[1-9][0-9]{0,5}", block_size) else None


def _tidy(text: str) -> str:
    if len(text) <= _TEXT_LENGTH and text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_TEXT_LENGTH])


def _why_not(page: bytes, plan: Plan) -> str:
    if {Signal.OUTPUT_TOKENS, Signal.PROMPT_TOKENS} <= plan.families:
        return "the engine has counted nothing yet; it is probably still starting"
    for prefix, whose in STRANGERS.items():
        if b"\n" + prefix in page or page.startswith(prefix):
            return f"the page is that of {whose}, not of vLLM; check spec.metrics.port"
    if b"vllm:" in page:
        return "the page lacks vllm:prompt_tokens or vllm:generation_tokens"
    return (
        "the page has no vllm: metrics; remove --disable-log-stats, "
        "or set spec.metrics.port to the engine's own port if a sidecar answers here"
    )
