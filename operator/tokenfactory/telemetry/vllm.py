"""vLLM's metric names from 0.8 to 0.33 and what they mean to us: data, and one unit that the page tells.

Sources: vllm/v1/metrics/loggers.py and the KV connectors of the named versions.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from tokenfactory.model import Histogram, Level, Signal
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.families import (
    Families,
    Ranks,
    Scales,
    System,
    Term,
    buckets_of,
    count_of,
    sum_of,
)
from tokenfactory.telemetry.layouts import Facts
from tokenfactory.telemetry.lmcache import LMCACHE_FAMILIES
from tokenfactory.telemetry.shapes import Shape

_OFFLOADED = ("host", "disk")
_GPU_HITS = "vllm:gpu_prefix_cache_hits"

FAMILIES: Families = MappingProxyType(
    {
        # All versions. Prompt tokens include cached ones; a preempted request's recomputation is not added.
        Signal.PROMPT_TOKENS: ((Term("vllm:prompt_tokens"),),),
        Signal.OUTPUT_TOKENS: ((Term("vllm:generation_tokens"),),),
        # 0.14+: local and external hits in one. 0.9.2+: the two apart, in tokens. 0.8-0.13: the gpu_ name,
        # in blocks until May 2025 (0.8) and in tokens after; absent when the page does not say which.
        Signal.CACHED_PROMPT_TOKENS: (
            (Term("vllm:prompt_tokens_cached"),),
            (Term("vllm:prefix_cache_hits"), Term("vllm:external_prefix_cache_hits")),
            (Term(_GPU_HITS),),
        ),
        # 0.14+ (seen in 0.17): what the engine filled itself, neither cached nor received.
        Signal.COMPUTED_PROMPT_TOKENS: (
            (Term("vllm:prompt_tokens_by_source", "source", ("local_compute",)),),
        ),
        # Every finished request, whatever the reason: vLLM counts `abort` and `error` here too.
        Signal.REQUESTS: ((Term("vllm:request_success"),),),
        Signal.PREEMPTIONS: ((Term("vllm:num_preemptions"),),),
        # Seconds summed over requests (docs/cost-model.md §7); never the per-request mean.
        Signal.PREFILL_SECONDS: (sum_of("vllm:request_prefill_time_seconds"),),
        Signal.DECODE_SECONDS: (sum_of("vllm:request_decode_time_seconds"),),
        # 0.10.2+ and, for the same observations, its older name (0.8 to 0.14).
        Signal.INTER_TOKEN_SECONDS: (
            sum_of("vllm:inter_token_latency_seconds"),
            sum_of("vllm:time_per_output_token_seconds"),
        ),
        # There only with a speculative configuration; 0.8 and V0 have no draft counter.
        Signal.DRAFTS: ((Term("vllm:spec_decode_num_drafts"),),),
        Signal.DRAFT_TOKENS: ((Term("vllm:spec_decode_num_draft_tokens"),),),
        Signal.ACCEPTED_TOKENS: ((Term("vllm:spec_decode_num_accepted_tokens"),),),
        # 0.24+; the older family, kept as a duplicate in newer versions, counts both directions.
        Signal.OFFLOAD_STORED_BYTES: (
            (Term("vllm:kv_offload_store_bytes"),),
            (Term("vllm:kv_offload_total_bytes", "transfer_type", ("GPU_to_CPU",)),),
        ),
        Signal.OFFLOAD_LOADED_BYTES: (
            (Term("vllm:kv_offload_load_bytes"),),
            (Term("vllm:kv_offload_total_bytes", "transfer_type", ("CPU_to_GPU",)),),
        ),
        # 0.33 (seen in 0.32): the tier that supplied a cached token; p2p is a transfer, not offloading.
        Signal.OFFLOAD_HIT_TOKENS: ((Term("vllm:prompt_tokens_cached_by_source", "source", _OFFLOADED),),),
        # 0.11+: hits through any KV connector, on a decode worker those from the prefill worker too.
        Signal.EXTERNAL_HIT_TOKENS: ((Term("vllm:external_prefix_cache_hits"),),),
        # 0.11+ and 0.33: on the side that posts the read, which is decode (prefill with a push).
        Signal.TRANSFERS: (
            count_of("vllm:nixl_bytes_transferred"),
            count_of("vllm:mooncake_bytes_transferred"),
        ),
        Signal.TRANSFER_FAILURES: (
            (Term("vllm:nixl_num_failed_transfers"),),
            (Term("vllm:mooncake_num_failed_transfers"),),
        ),
        Histogram.TIME_TO_FIRST_TOKEN: (buckets_of("vllm:time_to_first_token_seconds"),),
        Histogram.INTER_TOKEN_LATENCY: (
            buckets_of("vllm:inter_token_latency_seconds"),
            buckets_of("vllm:time_per_output_token_seconds"),
        ),
        Histogram.QUEUE: (buckets_of("vllm:request_queue_time_seconds"),),
    }
)

# 0.14+ has only the first name of the cache's gauge, 0.8 only the second. Waiting by reason is a
# breakdown of the same gauge and is not read.
LEVELS = MappingProxyType(
    {
        Level.RUNNING: ("vllm:num_requests_running",),
        Level.WAITING: ("vllm:num_requests_waiting",),
        Level.KV_CACHE_USAGE: ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    }
)

# Labels of cache_config_info that are passed on; the label set changes with every release.
_CACHE_FACTS = (
    "block_size",
    "cache_dtype",
    "enable_prefix_caching",
    "kv_offloading_backend",
    "kv_offloading_size",
    "num_gpu_blocks",
)

_GPU_HITS_NAMES = frozenset({_GPU_HITS, f"{_GPU_HITS}_total"})
_GPU_HITS_TYPES = frozenset(name.encode() for name in _GPU_HITS_NAMES)
_GPU_HITS_UNIT = re.compile(rb"\n# HELP " + _GPU_HITS.encode() + rb"(?:_total)? [^\n]*?(blocks|tokens)")


def _scale_gpu_hits(page: bytes, shape: Shape, facts: Facts) -> Scales:
    """Tokens that one of `gpu_prefix_cache_hits` stands for; None when the page does not tell (traps T3)."""
    if shape.names.isdisjoint(_GPU_HITS_NAMES) and shape.types.isdisjoint(_GPU_HITS_TYPES):
        return ()
    unit = _GPU_HITS_UNIT.search(page)
    if unit is None:
        return ((_GPU_HITS, None),)
    if unit[1] == b"tokens":
        return ((_GPU_HITS, 1.0),)
    block_size = dict(facts).get("block_size", "")
    known = re.fullmatch(r"[1-9][0-9]{0,5}", block_size)
    return ((_GPU_HITS, float(block_size) if known else None),)


VLLM = System(
    name="vLLM",
    families=FAMILIES,
    levels=LEVELS,
    ranks=Ranks(own="engine"),
    infos=("vllm:cache_config_info",),
    facts=tuple((label, label) for label in _CACHE_FACTS),
    scales=_scale_gpu_hits,
    lacking="the page lacks vllm:prompt_tokens or vllm:generation_tokens",
    advice="the page has no vllm: metrics; remove --disable-log-stats, "
    "or set spec.metrics.port to the engine's own port if a sidecar answers here",
).with_families(LMCACHE_FAMILIES)

parse = EnginePage(VLLM).parse
