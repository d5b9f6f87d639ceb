"""A vLLM page as one EngineReading. Pure: bytes in, a value out; what differs by version is in vllm_names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType

from tokenfactory.model import EngineReading, Failure, FailureReason, Level, Signal
from tokenfactory.telemetry.exposition import PageRefused, Sample, Wanted, scan
from tokenfactory.telemetry.layouts import Facts, Layouts, Plan
from tokenfactory.telemetry.limits import ScanLimits
from tokenfactory.telemetry.vllm_names import (
    CACHE_FACTS,
    CACHE_INFO,
    GPU_HITS_FAMILY,
    SAMPLE_NAMES,
    STRANGERS,
    TYPE_NAMES,
)
from tokenfactory.telemetry.vllm_plan import Shape, draw_plan

COUNTER_LIMIT = 2.0**63
_TEXT_LENGTH = 128
_WANTED = Wanted(SAMPLE_NAMES)
_TYPE_LINE = re.compile(rb"\n# TYPE (vllm:[a-zA-Z0-9_:]+) ")
_GPU_HITS = GPU_HITS_FAMILY.encode()
_GPU_HITS_UNIT = re.compile(rb"\n# HELP " + _GPU_HITS + rb"(?:_total)? [^\n]*?(blocks|tokens)")
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
        samples = scan(page, _WANTED, limits)
        return _read(page, samples, at=at, layouts=layouts)
    except PageRefused as refused:
        return Failure(at=at, reason=refused.failure_reason, detail=refused.detail)


def _read(page: bytes, samples: Sequence[Sample], *, at: float, layouts: Layouts) -> EngineReading | Failure:
    facts = _cache_facts(samples)
    moving = [sample for sample in samples if sample[0] != CACHE_INFO]
    declared = TYPE_NAMES.intersection(_TYPE_LINE.findall(page))
    scale = _tokens_per_gpu_hit(page, facts)
    shape: Shape = tuple([sample[:2] for sample in moving])
    plan = layouts.plans.recall(
        (shape, declared, scale),
        cost=len(shape) + 1,
        make=lambda: draw_plan(shape, declared, layouts, gpu_hit_tokens=scale),
    )
    if not {Signal.OUTPUT_TOKENS, Signal.PROMPT_TOKENS} <= plan.families or not plan.layout:
        return Failure(at=at, reason=FailureReason.NO_ENGINE_METRICS, detail=_why_not(page, plan))
    counters = _sum_counters(plan, moving)
    if counters is None:
        return Failure(at=at, reason=FailureReason.BAD_VALUE, detail="a counter is negative or not finite")
    return EngineReading(
        at=at,
        layout=plan.layout,
        counters=counters,
        levels=_read_levels(plan, moving),
        families=plan.families,
        info=layouts.facts((("model", _tidy(plan.model)), *facts)),
    )


def _sum_counters(plan: Plan, samples: Sequence[Sample]) -> tuple[float, ...] | None:
    counters = [0.0] * len(plan.layout)
    for place, slot, factor in plan.moves:
        value = samples[place][2]
        if not 0.0 <= value < COUNTER_LIMIT:
            return None
        counters[slot] += value * factor
    return tuple(counters)


def _read_levels(plan: Plan, samples: Sequence[Sample]) -> MappingProxyType[Level, float]:
    """Requests summed over ranks, cache usage as their mean; a gauge that is no number is left out."""
    values: dict[Level, list[float]] = {}
    for place, level in plan.levels:
        values.setdefault(level, []).append(samples[place][2])
    return MappingProxyType(
        {
            level: sum(several) / (len(several) if level is Level.KV_CACHE_USAGE else 1)
            for level, several in values.items()
            if all(0.0 <= value < COUNTER_LIMIT for value in several)
        }
    )


def _cache_facts(samples: Sequence[Sample]) -> Facts:
    for name, labels, _ in samples:
        if name == CACHE_INFO:
            said = dict(labels)
            return tuple((fact, _tidy(said[fact])) for fact in CACHE_FACTS if fact in said)
    return ()


def _tokens_per_gpu_hit(page: bytes, facts: Facts) -> float | None:
    """Tokens that one of `gpu_prefix_cache_hits` stands for; None when the page does not tell (traps T3)."""
    if page.find(_GPU_HITS) < 0:
        return None
    unit = _GPU_HITS_UNIT.search(page)
    if unit is None:
        return None
    if unit[1] == b"tokens":
        return 1.0
    block_size = dict(facts).get("block_size", "")
    return float(block_size) if re.fullmatch(r"[1-9][0-9]{0,5}", block_size) else None


def _tidy(text: str) -> str:
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
