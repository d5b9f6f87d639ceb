"""vLLM's metric names from 0.8 to 0.33 and what they mean to us: data only.

A signal has alternatives in order of preference; the first one whose first family the page carries is
read, and its terms are summed. Counters are written with and without `_total`; both are matched, never
both added. Sources: vllm/v1/metrics/loggers.py and the KV connectors of the named versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from tokenfactory.model import Histogram, Level, Signal

ANY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Term:
    """One family. With `label`, only samples whose label has one of `values` count.

    `part` is empty for a counter, "_sum" or "_bucket" for that half of a histogram.
    """

    family: str
    label: str = ""
    values: frozenset[str] = ANY
    part: str = ""

    @property
    def samples(self) -> tuple[str, ...]:
        """Names as they stand on sample lines, the preferred one first."""
        return (self.family + self.part,) if self.part else (f"{self.family}_total", self.family)

    @property
    def types(self) -> tuple[str, ...]:
        """Names as they stand on `# TYPE` lines."""
        return (self.family,) if self.part else (f"{self.family}_total", self.family)


def _sum(family: str) -> tuple[Term, ...]:
    return (Term(family, part="_sum"),)


def _buckets(family: str) -> tuple[Term, ...]:
    return (Term(family, part="_bucket"),)


_OFFLOADED = frozenset({"host", "disk"})
_TO_CPU = frozenset({"GPU_to_CPU"})
_TO_GPU = frozenset({"CPU_to_GPU"})

OUTPUT_FAMILY = "vllm:generation_tokens"
PROMPT_FAMILY = "vllm:prompt_tokens"
GPU_HITS_FAMILY = "vllm:gpu_prefix_cache_hits"
CACHE_INFO = "vllm:cache_config_info"

FAMILIES: MappingProxyType[Signal | Histogram, tuple[tuple[Term, ...], ...]] = MappingProxyType(
    {
        # All versions. Prompt tokens include cached ones; a preempted request's recomputation is not added.
        Signal.PROMPT_TOKENS: ((Term(PROMPT_FAMILY),),),
        Signal.OUTPUT_TOKENS: ((Term(OUTPUT_FAMILY),),),
        # 0.14+: local and external hits in one. 0.9.2+: the two apart, in tokens. 0.8-0.13: the gpu_ name,
        # in blocks until May 2025 (0.8) and in tokens after; absent when the page does not say which.
        Signal.CACHED_PROMPT_TOKENS: (
            (Term("vllm:prompt_tokens_cached"),),
            (Term("vllm:prefix_cache_hits"), Term("vllm:external_prefix_cache_hits")),
            (Term(GPU_HITS_FAMILY),),
        ),
        # Every finished request, whatever the reason: vLLM counts `abort` and `error` here too.
        Signal.REQUESTS: ((Term("vllm:request_success"),),),
        Signal.PREEMPTIONS: ((Term("vllm:num_preemptions"),),),
        # Seconds summed over requests (docs/cost-model.md §7); never the per-request mean.
        Signal.PREFILL_SECONDS: (_sum("vllm:request_prefill_time_seconds"),),
        Signal.DECODE_SECONDS: (_sum("vllm:request_decode_time_seconds"),),
        # 0.10.2+ and, for the same observations, its older name (0.8 to 0.14).
        Signal.INTER_TOKEN_SECONDS: (
            _sum("vllm:inter_token_latency_seconds"),
            _sum("vllm:time_per_output_token_seconds"),
        ),
        # There only with a speculative configuration; 0.8 and V0 have no draft counter.
        Signal.DRAFTS: ((Term("vllm:spec_decode_num_drafts"),),),
        Signal.DRAFT_TOKENS: ((Term("vllm:spec_decode_num_draft_tokens"),),),
        Signal.ACCEPTED_TOKENS: ((Term("vllm:spec_decode_num_accepted_tokens"),),),
        # 0.24+; the older family, kept as a duplicate in newer versions, counts both directions.
        Signal.OFFLOAD_STORED_BYTES: (
            (Term("vllm:kv_offload_store_bytes"),),
            (Term("vllm:kv_offload_total_bytes", "transfer_type", _TO_CPU),),
        ),
        Signal.OFFLOAD_LOADED_BYTES: (
            (Term("vllm:kv_offload_load_bytes"),),
            (Term("vllm:kv_offload_total_bytes", "transfer_type", _TO_GPU),),
        ),
        # 0.33 (seen in 0.32): the tier that supplied a cached token; p2p is a transfer, not offloading.
        Signal.OFFLOAD_HIT_TOKENS: ((Term("vllm:prompt_tokens_cached_by_source", "source", _OFFLOADED),),),
        # 0.11+: hits through any KV connector, on a decode worker those from the prefill worker too.
        Signal.EXTERNAL_HIT_TOKENS: ((Term("vllm:external_prefix_cache_hits"),),),
        Histogram.TIME_TO_FIRST_TOKEN: (_buckets("vllm:time_to_first_token_seconds"),),
        Histogram.INTER_TOKEN_LATENCY: (
            _buckets("vllm:inter_token_latency_seconds"),
            _buckets("vllm:time_per_output_token_seconds"),
        ),
        Histogram.QUEUE: (_buckets("vllm:request_queue_time_seconds"),),
    }
)

# 0.14+ has only the first name of the cache's gauge, 0.8 only the second. Waiting by reason is a
# breakdown of the same gauge and is not read.
LEVELS: MappingProxyType[Level, tuple[str, ...]] = MappingProxyType(
    {
        Level.RUNNING: ("vllm:num_requests_running",),
        Level.WAITING: ("vllm:num_requests_waiting",),
        Level.KV_CACHE_USAGE: ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    }
)

# Labels of cache_config_info that are passed on; the label set changes with every release.
CACHE_FACTS = (
    "block_size",
    "cache_dtype",
    "enable_prefix_caching",
    "kv_offloading_backend",
    "kv_offloading_size",
    "num_gpu_blocks",
)

# Prefixes that tell whose page it is when it is not vLLM's.
STRANGERS = MappingProxyType(
    {
        b"sglang:": "SGLang",
        b"trtllm_": "TensorRT-LLM",
        b"dynamo_frontend_": "a Dynamo frontend",
        b"DCGM_FI_": "dcgm-exporter",
        b"tgi_": "TGI",
        b"nv_inference_": "Triton",
        b"envoy_": "a proxy",
    }
)

TERMS = tuple(term for choices in FAMILIES.values() for terms in choices for term in terms)
SAMPLE_NAMES = frozenset(
    [name for term in TERMS for name in term.samples]
    + [name for names in LEVELS.values() for name in names]
    + [CACHE_INFO]
)
TYPE_NAMES = frozenset(name.encode() for term in TERMS for name in term.types)
