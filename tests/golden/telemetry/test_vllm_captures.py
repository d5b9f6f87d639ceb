"""Pages of a real vLLM 0.32.0 around a known traffic."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenfactory.model import WINDOWED, EngineReading, Histogram, Level, Signal
from tokenfactory.telemetry import vllm
from tokenfactory.telemetry.layouts import Layouts

CAPTURES = Path(__file__).parents[1] / "captures" / "vllm-0.32.0"
S = Signal

# Deltas between the pages before and after the traffic, as the captures' own README states them.
FACTS: dict[str, dict[Signal, float]] = {
    "a-plain": {S.REQUESTS: 26, S.CACHED_PROMPT_TOKENS: 896, S.PROMPT_TOKENS: 2147, S.OUTPUT_TOKENS: 808},
    "b-ngram-effective": {S.DRAFT_TOKENS: 2505, S.ACCEPTED_TOKENS: 1721},
    "b-ngram-drafts-rejected": {S.DRAFT_TOKENS: 443, S.ACCEPTED_TOKENS: 0},
    "c-offload-outoftree-effective": {
        S.OFFLOAD_STORED_BYTES: 2**20,
        S.OFFLOAD_LOADED_BYTES: 2**20,
        S.OFFLOAD_HIT_TOKENS: 4096,
        S.EXTERNAL_HIT_TOKENS: 4096,
        S.CACHED_PROMPT_TOKENS: 4096,
    },
    "c-offload-outoftree-stored-never-loaded": {
        S.OFFLOAD_STORED_BYTES: 2**20,
        S.OFFLOAD_LOADED_BYTES: 0,
        S.OFFLOAD_HIT_TOKENS: 0,
        S.EXTERNAL_HIT_TOKENS: 0,
    },
    "c-example-connector-shared-storage": {S.EXTERNAL_HIT_TOKENS: 4096, S.OFFLOAD_HIT_TOKENS: 0},
    "d-prefix-declared-short-prompts": {S.CACHED_PROMPT_TOKENS: 0},
    "d-prefix-caching-off": {S.CACHED_PROMPT_TOKENS: 0, S.PROMPT_TOKENS: 2147},
    "e-api-server-count-2": {S.REQUESTS: 26, S.PROMPT_TOKENS: 2147, S.OUTPUT_TOKENS: 808},
    "f-load-format-dummy": {S.OUTPUT_TOKENS: 1160},
    "g-pd-nixl/decode": {S.EXTERNAL_HIT_TOKENS: 3600, S.PROMPT_TOKENS: 3600, S.OFFLOAD_HIT_TOKENS: 0},
    "g-pd-example/decode": {S.EXTERNAL_HIT_TOKENS: 3072, S.PROMPT_TOKENS: 3600},
}
SPECULATION = {S.DRAFTS, S.DRAFT_TOKENS, S.ACCEPTED_TOKENS}
OFFLOAD_BYTES = {S.OFFLOAD_STORED_BYTES, S.OFFLOAD_LOADED_BYTES}
TRANSFERS = {S.TRANSFERS, S.TRANSFER_FAILURES}
ALWAYS = {
    S.PROMPT_TOKENS,
    S.CACHED_PROMPT_TOKENS,
    S.COMPUTED_PROMPT_TOKENS,
    S.OUTPUT_TOKENS,
    S.REQUESTS,
    S.PREEMPTIONS,
    S.PREFILL_SECONDS,
    S.DECODE_SECONDS,
    S.INTER_TOKEN_SECONDS,
    S.EXTERNAL_HIT_TOKENS,
    S.OFFLOAD_HIT_TOKENS,
    *WINDOWED,
}


def read(capture: str, moment: str = "after") -> EngineReading:
    page = (CAPTURES / capture / f"metrics-{moment}.prom").read_bytes()
    reading = vllm.parse(page, at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading), reading
    return reading


def total(reading: EngineReading, signal: Signal | Histogram, bound: float | None = None) -> float:
    return sum(
        value
        for key, value in zip(reading.layout, reading.counters, strict=True)
        if key.signal is signal and key.bound == bound
    )


@pytest.mark.parametrize("capture", sorted(FACTS))
def test_the_traffic_of_a_capture_is_what_its_pages_say(capture: str) -> None:
    before, after = read(capture, "before"), read(capture)
    for signal, expected in FACTS[capture].items():
        assert signal in after.families, signal
        assert total(after, signal) - total(before, signal) == expected, signal


@pytest.mark.parametrize("capture", sorted(FACTS))
def test_families_are_known_exactly_where_they_are_configured(capture: str) -> None:
    expected = set(ALWAYS)
    if capture.startswith("b-"):
        expected |= SPECULATION
    if capture.startswith("c-offload"):
        expected |= OFFLOAD_BYTES
    if capture.startswith("g-pd-nixl"):
        expected |= TRANSFERS
    assert read(capture).families == expected
    assert read(capture, "before").families == expected


def test_bytes_stored_but_never_loaded_are_a_counter_at_zero_before_the_first_event() -> None:
    before = read("c-offload-outoftree-stored-never-loaded", "before")
    keys = {(key.signal, key.rank): value for key, value in zip(before.layout, before.counters, strict=True)}
    assert keys[S.OFFLOAD_LOADED_BYTES, "0/tiny"] == 0.0
    assert keys[S.OFFLOAD_STORED_BYTES, "0/tiny"] == 0.0


def test_a_scrape_in_a_busy_moment_sees_eight_running_and_thirty_two_waiting() -> None:
    levels = read("a-queue-during", "during").levels
    assert (levels[Level.RUNNING], levels[Level.WAITING]) == (8.0, 32.0)
    assert 0.0 < levels[Level.KV_CACHE_USAGE] <= 1.0


def test_the_infinite_bucket_of_a_histogram_counts_all_of_its_observations() -> None:
    reading = read("a-plain")
    for histogram, expected in (
        (Histogram.TIME_TO_FIRST_TOKEN, 26.0),
        (Histogram.INTER_TOKEN_LATENCY, 782.0),
        (Histogram.QUEUE, 26.0),
    ):
        assert total(reading, histogram, float("inf")) == expected


def test_a_connector_given_as_json_leaves_the_offloading_size_unset() -> None:
    info = read("c-offload-outoftree-effective").info
    assert info["kv_offloading_size"] == "None"
    assert (info["model"], info["cache_dtype"], info["block_size"]) == ("tiny", "auto", "128")


def test_pages_of_one_shape_share_one_layout_and_one_set_of_facts() -> None:
    layouts = Layouts()
    pages = [(CAPTURES / "a-plain" / f"metrics-{moment}.prom").read_bytes() for moment in ("before", "after")]
    first, second, again = (vllm.parse(page, at=1.0, layouts=layouts) for page in (*pages, pages[1]))
    assert isinstance(first, EngineReading)
    assert isinstance(second, EngineReading)
    assert isinstance(again, EngineReading)
    assert second.layout is first.layout is again.layout
    assert second.info is again.info
    assert second.counters != first.counters
