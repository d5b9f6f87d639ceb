"""TensorRT-LLM's metric names (main of 2026, PyTorch backend) and what they mean to us: data only.

The page is `/prometheus/metrics`; `/metrics` is a JSON array that each reader drains and is never asked
for. A family is absent, HELP and TYPE too, until its first sample, and every gauge carries a pid. Tokens
are added when a request finishes. Images of 1.0 to 1.2 have no token counter at all.
`spec_decode_acceptance_length` is the last iteration's value and is never read. Older pages say "undefined"
for the model. Sources: tensorrt_llm/metrics/collector.py, serve/openai_server.py.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from tokenfactory.model import AT_THE_END, TOKENS_COUNTED, Histogram, Level, Signal
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.families import Families, Ranks, Scales, System, Term, buckets_of, sum_of
from tokenfactory.telemetry.layouts import Facts
from tokenfactory.telemetry.shapes import Shape

_ITERATION_DRAFTS = "trtllm_spec_decode_num_draft_tokens"
_PER_DRAFT = "spec_num_tokens"

FAMILIES: Families = MappingProxyType(
    {
        # At the end of a request; prompt tokens include cached ones.
        Signal.PROMPT_TOKENS: ((Term("trtllm_prompt_tokens"),),),
        Signal.OUTPUT_TOKENS: ((Term("trtllm_generation_tokens"),),),
        Signal.CACHED_PROMPT_TOKENS: ((Term("trtllm_prompt_cached_tokens"),),),
        Signal.REQUESTS: ((Term("trtllm_request_success"),), (Term("trtllm_num_requests_completed"),)),
        # Seconds summed over finished requests; time_per_output_token holds means and is no sum (traps T2).
        Signal.PREFILL_SECONDS: (sum_of("trtllm_request_prefill_time_seconds"),),
        Signal.DECODE_SECONDS: (sum_of("trtllm_request_decode_time_seconds"),),
        Signal.INTER_TOKEN_SECONDS: (sum_of("trtllm_request_decode_time_seconds"),),
        # By position, at the end of a request: position 0 is drafted once per draft. The families with num_
        # count the same by iteration; a draft has spec_num_tokens tokens there (an info gauge says how many).
        Signal.DRAFTS: (
            (Term("trtllm_spec_decode_drafted_tokens", "token_position", ("0",)),),
            (Term(_ITERATION_DRAFTS),),
        ),
        Signal.DRAFT_TOKENS: ((Term("trtllm_spec_decode_drafted_tokens"),), (Term(_ITERATION_DRAFTS),)),
        Signal.ACCEPTED_TOKENS: (
            (Term("trtllm_spec_decode_accepted_tokens"),),
            (Term("trtllm_spec_decode_num_accepted_tokens"),),
        ),
        # From the GPU to the host, and back.
        Signal.OFFLOAD_STORED_BYTES: ((Term("trtllm_kv_cache_offload_bytes"),),),
        Signal.OFFLOAD_LOADED_BYTES: ((Term("trtllm_kv_cache_onboard_bytes"),),),
        Signal.OFFLOAD_HIT_TOKENS: (
            (Term("trtllm_prompt_cache_hit_tokens", "cache_tier", ("host", "disk")),),
        ),
        # Dynamo's worker counts its transfers; the server itself shows none in Prometheus.
        Signal.TRANSFERS: ((Term("trtllm_kv_transfer_success"),),),
        Histogram.TIME_TO_FIRST_TOKEN: (buckets_of("trtllm_time_to_first_token_seconds"),),
        # One mean per request: quantiles over requests, not over tokens.
        Histogram.INTER_TOKEN_LATENCY: (buckets_of("trtllm_time_per_output_token_seconds"),),
        Histogram.QUEUE: (buckets_of("trtllm_request_queue_time_seconds"),),
        Histogram.END_TO_END: (buckets_of("trtllm_e2e_request_latency_seconds"),),
    }
)

LEVELS = MappingProxyType(
    {
        Level.RUNNING: ("trtllm_num_requests_running", "trtllm_num_generation_requests"),
        Level.WAITING: ("trtllm_num_requests_waiting",),
        Level.KV_CACHE_USAGE: ("trtllm_kv_cache_utilization",),
    }
)

_FINISHED = re.compile(rb"\ntrtllm_request_success(?:_total)?\{[^\n]*\} [1-9]")


def _scale_drafts(_page: bytes, _shape: Shape, facts: Facts) -> Scales:
    """Drafts that one drafted token stands for; not known without the info gauge."""
    several = dict(facts).get(_PER_DRAFT, "")
    known = re.fullmatch(r"[1-9][0-9]?", several)
    return ((_ITERATION_DRAFTS, 1.0 / float(several) if known else None),)


TRTLLM = System(
    name="TensorRT-LLM",
    families=FAMILIES,
    levels=LEVELS,
    ranks=Ranks(own=""),
    infos=(
        "trtllm_model_config_info",
        "trtllm_parallel_config_info",
        "trtllm_speculative_config_info",
        "trtllm_kv_cache_config_info",
        "trtllm_cache_config_info",
    ),
    facts=(
        ("quantization", "quantization"),
        ("gpu_type", "gpu_type"),
        ("gpu_count", "gpu_count"),
        ("spec_method", "spec_method"),
        (_PER_DRAFT, _PER_DRAFT),
        ("cache_dtype", "cache_dtype"),
        ("enable_block_reuse", "enable_block_reuse"),
    ),
    fixed=((TOKENS_COUNTED, AT_THE_END),),
    lazy=(b"trtllm_",),
    zeros=frozenset({Signal.PROMPT_TOKENS, Signal.OUTPUT_TOKENS, Signal.CACHED_PROMPT_TOKENS}),
    worked=lambda page: _FINISHED.search(page) is not None,
    signs=("trtllm_request_success_total", "trtllm_request_success"),
    scales=_scale_drafts,
    lacking="the page counts finished requests and no tokens: use an image of TensorRT-LLM later than 1.2",
    advice="the page has no trtllm_ metrics; set return_perf_metrics: true in the file of --config, "
    "or set spec.metrics.port to the engine's own port if a sidecar answers here",
)

parse = EnginePage(TRTLLM).parse
