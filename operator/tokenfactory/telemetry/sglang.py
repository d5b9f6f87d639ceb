"""SGLang's metric names from 0.4.6 to 0.5.23 and what they mean to us: data only.

A family is absent, HELP and TYPE too, until its first sample. Counters of requests carry no rank and are
added when a request finishes. Those of the scheduler carry tp_rank, pp_rank and moe_ep_rank, and dp_rank
under data-parallel attention, where tp_rank runs together with dp_rank: one tp_rank per dp_rank is read,
for 0.5.23 seeds zeros for all others and repeats tokens of the host cache on each. Throughput gauges
(`gen_throughput`) keep their last value without traffic and are never read (traps T12). Sources:
sglang/srt/observability/ metrics_collector.py, srt/metrics/collector.py up to 0.5.9.
"""

from __future__ import annotations

from types import MappingProxyType

from tokenfactory.model import AT_THE_END, TOKENS_COUNTED, Histogram, Level, Signal
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.families import (
    ABSENT,
    Families,
    Ranks,
    System,
    Term,
    buckets_of,
    count_of,
    sum_of,
)

_CACHED = "sglang:cached_tokens"
_SOURCE = "cache_source"
_OFFLOADED = ("host", "storage*")
_REALTIME = "sglang:realtime_tokens"

FAMILIES: Families = MappingProxyType(
    {
        # All versions; prompt tokens include cached ones. Twice each from 0.5.13 on, by is_streaming.
        Signal.PROMPT_TOKENS: ((Term("sglang:prompt_tokens"),),),
        Signal.OUTPUT_TOKENS: ((Term("sglang:generation_tokens"),),),
        # 0.5.9+: tokens as the scheduler makes them, without the first one of each request.
        Signal.STEP_OUTPUT_TOKENS: ((Term(_REALTIME, "mode", ("decode",)),),),
        Signal.COMPUTED_PROMPT_TOKENS: ((Term(_REALTIME, "mode", ("prefill_compute",)),),),
        # A breakdown by source from 0.5.9 on; `total` stands alone where the source is not known.
        Signal.CACHED_PROMPT_TOKENS: (
            (Term(_CACHED, _SOURCE, (ABSENT, "device", *_OFFLOADED)),),
            (Term(_CACHED, _SOURCE, ("total",)),),
        ),
        Signal.REQUESTS: ((Term("sglang:num_requests"),),),
        # Up to 0.5.9 at least: retractions of finished requests. Newer versions have a gauge only.
        Signal.PREEMPTIONS: (sum_of("sglang:num_retractions"),),
        # Seconds of the forward pass over the prompt, summed over requests, as one tp_rank saw it.
        Signal.PREFILL_SECONDS: (
            sum_of("sglang:per_stage_req_latency_seconds", "stage", ("prefill_forward",)),
        ),
        # Observed as tokens stream out: time between tokens, each counted once, so its sum is decoding time.
        Signal.DECODE_SECONDS: (sum_of("sglang:inter_token_latency_seconds"),),
        Signal.INTER_TOKEN_SECONDS: (sum_of("sglang:inter_token_latency_seconds"),),
        # 0.5.13+: verification steps of finished requests that speculated.
        Signal.VERIFY_CALLS: ((Term("sglang:spec_verify_calls"),),),
        # 0.5.23. Bytes are each tensor-parallel rank's own part, tokens are repeated on each.
        Signal.OFFLOAD_STORED_BYTES: ((Term("sglang:hicache_backup_bytes", every_shard=True),),),
        Signal.OFFLOAD_LOADED_BYTES: ((Term("sglang:load_back_bytes", every_shard=True),),),
        # 0.5.23, and to third-level storage since 0.5.2.
        Signal.OFFLOAD_STORED_TOKENS: (
            (Term("sglang:hicache_backup_tokens"),),
            (Term("sglang:backuped_tokens"),),
        ),
        # 0.5.9+ from the host (up to 0.5.13 summed over tensor-parallel ranks), 0.5.2+ from storage.
        Signal.OFFLOAD_LOADED_TOKENS: (
            (Term("sglang:load_back_tokens"),),
            (Term("sglang:prefetched_tokens"),),
        ),
        # 0.5.9+: prompt tokens that the host or storage (storage_<backend> up to 0.5.13) served.
        Signal.OFFLOAD_HIT_TOKENS: ((Term(_CACHED, _SOURCE, _OFFLOADED),),),
        # 0.5.13+, on the prefill side only; gauges before. Failures on both sides.
        Signal.TRANSFERS: (
            count_of("sglang:kv_transfer_total_mb"),
            count_of("sglang:kv_transfer_latency_ms"),
        ),
        Signal.TRANSFER_FAILURES: (
            (Term("sglang:num_transfer_failed_reqs"), Term("sglang:num_bootstrap_failed_reqs")),
        ),
        Histogram.TIME_TO_FIRST_TOKEN: (buckets_of("sglang:time_to_first_token_seconds"),),
        Histogram.INTER_TOKEN_LATENCY: (buckets_of("sglang:inter_token_latency_seconds"),),
        # 0.5.5+; queue_time_s in 0.5.2.
        Histogram.QUEUE: (buckets_of("sglang:queue_time_seconds"), buckets_of("sglang:queue_time_s")),
        Histogram.END_TO_END: (buckets_of("sglang:e2e_request_latency_seconds"),),
    }
)

LEVELS = MappingProxyType(
    {
        Level.RUNNING: ("sglang:num_running_reqs",),
        Level.WAITING: ("sglang:num_queue_reqs",),
        Level.KV_CACHE_USAGE: ("sglang:token_usage",),
        # With the bonus token, over the last interval of the engine's log; 0: none ran. Stale when idle.
        Level.ACCEPTANCE_LENGTH: ("sglang:spec_accept_length",),
        # 0.5.2 to 0.5.9, on the prefill side: of the last transfers.
        Level.TRANSFER_SPEED: ("sglang:kv_transfer_speed_gb_s",),
        # 0.5.9+: the host cache's size in tokens; more than 0 tells that it is on.
        Level.OFFLOAD_CAPACITY: ("sglang:hicache_host_total_tokens",),
    }
)

SGLANG = System(
    name="SGLang",
    families=FAMILIES,
    levels=LEVELS,
    ranks=Ranks(own="dp_rank", shards=("pp_rank", "tp_rank", "moe_ep_rank")),
    fixed=((TOKENS_COUNTED, AT_THE_END),),
    lazy=(b"sglang:",),
    zeros=frozenset({Signal.PROMPT_TOKENS, Signal.OUTPUT_TOKENS, Signal.CACHED_PROMPT_TOKENS}),
    advice="the page has no sglang: metrics; add --enable-metrics, "
    "or set spec.metrics.port to the engine's own port if a sidecar answers here",
)

parse = EnginePage(SGLANG).parse
