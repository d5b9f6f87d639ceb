"""What is counted and gauged on engines' pages, under names of our own."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Signal(StrEnum):
    """Counters of a serving engine under names of our own; telemetry maps every engine's names onto them.

    OUTPUT_TOKENS are delivered tokens. SGLang and TensorRT-LLM add a request's tokens when it finishes
    (`info["tokens_counted"]` is AT_THE_END then); STEP_OUTPUT_TOKENS are the same tokens as they are made,
    with those of aborted requests and of recomputation, where an engine counts both ways. VERIFY_CALLS are
    steps of speculation of which only the number is known: output tokens over them are the acceptance length.
    The rare ones come last, so that arrays of gains are short (costing.counters.shorten).
    """

    PROMPT_TOKENS = "prompt_tokens"
    CACHED_PROMPT_TOKENS = "cached_prompt_tokens"
    OUTPUT_TOKENS = "output_tokens"
    STEP_OUTPUT_TOKENS = "step_output_tokens"
    COMPUTED_PROMPT_TOKENS = "computed_prompt_tokens"
    REQUESTS = "requests"
    PREEMPTIONS = "preemptions"
    PREFILL_SECONDS = "prefill_seconds"
    DECODE_SECONDS = "decode_seconds"
    INTER_TOKEN_SECONDS = "inter_token_seconds"
    DRAFTS = "drafts"
    DRAFT_TOKENS = "draft_tokens"
    ACCEPTED_TOKENS = "accepted_tokens"
    VERIFY_CALLS = "verify_calls"
    OFFLOAD_STORED_BYTES = "offload_stored_bytes"
    OFFLOAD_LOADED_BYTES = "offload_loaded_bytes"
    OFFLOAD_STORED_TOKENS = "offload_stored_tokens"
    OFFLOAD_LOADED_TOKENS = "offload_loaded_tokens"
    OFFLOAD_STORED_BLOCKS = "offload_stored_blocks"
    OFFLOAD_LOADED_BLOCKS = "offload_loaded_blocks"
    OFFLOAD_HIT_TOKENS = "offload_hit_tokens"
    EXTERNAL_HIT_TOKENS = "external_hit_tokens"
    TRANSFERS = "transfers"
    TRANSFER_FAILURES = "transfer_failures"


class Histogram(StrEnum):
    """Latency histograms kept as cumulative buckets.

    END_TO_END is of whole requests and is read where tokens are counted at their end: the judge needs to know
    how long an engine may be silent. It is kept as it stands on the page, without gains over the window.
    """

    TIME_TO_FIRST_TOKEN = "ttft"
    INTER_TOKEN_LATENCY = "itl"
    QUEUE = "queue"
    END_TO_END = "e2e"


class Level(StrEnum):
    """Gauges: the value at the moment of the scrape."""

    RUNNING = "running"
    WAITING = "waiting"
    KV_CACHE_USAGE = "kv_cache_usage"
    ACCEPTANCE_LENGTH = "acceptance_length"
    TRANSFER_SPEED = "transfer_speed"
    OFFLOAD_CAPACITY = "offload_capacity"


WINDOWED = (Histogram.TIME_TO_FIRST_TOKEN, Histogram.INTER_TOKEN_LATENCY, Histogram.QUEUE)
"""The histograms whose gains are kept for the window, and published."""

SIGNALS = tuple(Signal)
SLOT: Mapping[Signal, int] = {signal: slot for slot, signal in enumerate(SIGNALS)}
"""Where a signal stands in an array of all signals."""
