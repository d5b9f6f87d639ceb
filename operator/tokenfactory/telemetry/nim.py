"""NVIDIA NIM for LLMs: 1.x names without a prefix, later versions those of the engine inside.

1.x documents `prompt_tokens_total` and the like on /v1/metrics. Which prefix 2.x and 3.x use is not
documented: the page tells, by what its lines begin with. Source: docs.nvidia.com/nim/large-language-models,
observability.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from tokenfactory.model import INSIDE, EngineKind, EngineReading, Failure, Histogram, Level, Signal
from tokenfactory.telemetry import sglang, trtllm, vllm
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.families import Families, Ranks, System, Term, buckets_of, sum_of
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.owners import begins_line

FAMILIES: Families = MappingProxyType(
    {
        Signal.PROMPT_TOKENS: ((Term("prompt_tokens"),),),
        Signal.OUTPUT_TOKENS: ((Term("generation_tokens"),),),
        # Finished requests; request_success is the older name.
        Signal.REQUESTS: ((Term("request_finish"),), (Term("request_success"),)),
        # As in vLLM of the time: each observation is the time between two tokens.
        Signal.INTER_TOKEN_SECONDS: (sum_of("time_per_output_token_seconds"),),
        Histogram.TIME_TO_FIRST_TOKEN: (buckets_of("time_to_first_token_seconds"),),
        Histogram.INTER_TOKEN_LATENCY: (buckets_of("time_per_output_token_seconds"),),
    }
)

LEVELS = MappingProxyType(
    {
        Level.RUNNING: ("num_requests_running",),
        Level.WAITING: ("num_requests_waiting",),
        Level.KV_CACHE_USAGE: ("gpu_cache_usage_perc",),
    }
)

NIM = System(
    name="NIM",
    families=FAMILIES,
    levels=LEVELS,
    ranks=Ranks(own="engine"),
    advice="the page has no token counters of a NIM: set spec.metrics.path to /v1/metrics",
)

_PAGE = EnginePage(NIM)
_INSIDE = MappingProxyType(
    {
        b"vllm:": (EngineKind.VLLM, vllm.parse),
        b"sglang:": (EngineKind.SGLANG, sglang.parse),
        b"trtllm_": (EngineKind.TENSORRT_LLM, trtllm.parse),
    }
)


def parse(page: bytes, *, at: float, layouts: Layouts) -> EngineReading | Failure:
    """The page as the engine inside writes it, else with NIM's own names."""
    for prefix, (kind, parse_inside) in _INSIDE.items():
        if begins_line(page, prefix):
            found = parse_inside(page, at=at, layouts=layouts)
            return found if isinstance(found, Failure) else _say_inside(found, kind, layouts)
    return _PAGE.parse(page, at=at, layouts=layouts)


def _say_inside(reading: EngineReading, kind: EngineKind, layouts: Layouts) -> EngineReading:
    """The reading with the name of the engine inside among its facts."""
    return replace(reading, info=layouts.facts((*reading.info.items(), (INSIDE, kind.value))))
