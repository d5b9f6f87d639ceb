"""What a vLLM page means to us, from the oldest names to the newest, and what is refused."""

from __future__ import annotations

import pytest

from tokenfactory.model import EngineReading, Failure, FailureReason, Histogram, Level, Signal
from tokenfactory.telemetry import vllm
from tokenfactory.telemetry.layouts import Kept, Layouts
from tokenfactory.telemetry.plans import RANK_LIMIT

LABELS = 'engine="0",model_name="m"'
S = Signal


def sample(name: str, value: object, labels: str = LABELS) -> str:
    return f"vllm:{name}{{{labels}}} {value}\n" if labels else f"vllm:{name} {value}\n"


BASE = sample("prompt_tokens_total", 1000) + sample("generation_tokens_total", 200)


def parse(page: str, layouts: Layouts | None = None) -> EngineReading | Failure:
    return vllm.parse(page.encode(), at=5.0, layouts=layouts or Layouts())


def read(page: str) -> EngineReading:
    reading = parse(page)
    assert isinstance(reading, EngineReading), reading
    return reading


def counters(page: str, signal: Signal | Histogram) -> dict[str, float]:
    reading = read(page)
    pairs = zip(reading.layout, reading.counters, strict=True)
    return {key.rank: value for key, value in pairs if key.signal is signal and key.bound is None}


def sole(page: str, signal: Signal) -> float | None:
    """The value of the only rank, None when the signal is absent."""
    found = counters(page, signal)
    assert set(found) <= {"0/m"}
    return found.get("0/m")


NAMES = [
    ("prompt tokens without _total", "prompt_tokens", 7, S.PROMPT_TOKENS),
    ("successes of every reason are added", "request_success_total", 3, S.REQUESTS),
    ("preemptions", "num_preemptions_total", 2, S.PREEMPTIONS),
    ("prefill seconds from the histogram's sum", "request_prefill_time_seconds_sum", 1.5, S.PREFILL_SECONDS),
    ("decode seconds from the histogram's sum", "request_decode_time_seconds_sum", 2.5, S.DECODE_SECONDS),
    ("inter-token seconds", "inter_token_latency_seconds_sum", 9.5, S.INTER_TOKEN_SECONDS),
    (
        "inter-token seconds by the name up to 0.14",
        "time_per_output_token_seconds_sum",
        8,
        S.INTER_TOKEN_SECONDS,
    ),
    ("drafts", "spec_decode_num_drafts_total", 4, S.DRAFTS),
    ("draft tokens", "spec_decode_num_draft_tokens", 12, S.DRAFT_TOKENS),
    ("accepted tokens", "spec_decode_num_accepted_tokens_total", 6, S.ACCEPTED_TOKENS),
    ("bytes stored", "kv_offload_store_bytes_total", 64, S.OFFLOAD_STORED_BYTES),
    ("bytes loaded", "kv_offload_load_bytes_total", 32, S.OFFLOAD_LOADED_BYTES),
    ("external hits", "external_prefix_cache_hits_total", 16, S.EXTERNAL_HIT_TOKENS),
    ("cached prompt tokens", "prompt_tokens_cached_total", 5, S.CACHED_PROMPT_TOKENS),
    ("cached prompt tokens before 0.14", "prefix_cache_hits_total", 11, S.CACHED_PROMPT_TOKENS),
]


@pytest.mark.parametrize(
    ("name", "value", "signal"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES]
)
def test_a_counter_is_read_under_its_names(name: str, value: float, signal: Signal) -> None:
    page = (BASE.replace("prompt_tokens_total", "unknown") if name == "prompt_tokens" else BASE) + sample(
        name, value
    )
    assert sole(page, signal) == value
    assert signal in read(page).families


def test_reasons_tiers_and_directions_are_summed_or_chosen_by_their_label() -> None:
    page = (
        BASE
        + "".join(
            sample("request_success_total", 2, f'{LABELS},finished_reason="{r}"') for r in ("stop", "abort")
        )
        + "".join(
            sample("prompt_tokens_cached_by_source_total", tokens, f'{LABELS},source="{tier}"')
            for tier, tokens in (("device", 100), ("host", 30), ("disk", 4), ("p2p", 500))
        )
    )
    assert sole(page, S.REQUESTS) == 4.0
    assert sole(page, S.OFFLOAD_HIT_TOKENS) == 34.0


def test_the_newer_family_outranks_its_older_duplicate_and_nothing_is_added_twice() -> None:
    older = "".join(
        sample("kv_offload_total_bytes_total", size, f'{LABELS},transfer_type="{way}"')
        for way, size in (("GPU_to_CPU", 100), ("CPU_to_GPU", 40))
    )
    assert sole(BASE + older, S.OFFLOAD_STORED_BYTES) == 100.0
    assert sole(BASE + older, S.OFFLOAD_LOADED_BYTES) == 40.0
    newer = sample("kv_offload_store_bytes_total", 100) + sample("kv_offload_load_bytes_total", 40)
    assert sole(BASE + older + newer, S.OFFLOAD_STORED_BYTES) == 100.0
    assert sole(BASE + older + newer, S.OFFLOAD_LOADED_BYTES) == 40.0
    both = sample("inter_token_latency_seconds_sum", 3) + sample("time_per_output_token_seconds_sum", 3)
    assert sole(BASE + both, S.INTER_TOKEN_SECONDS) == 3.0
    assert sole(BASE + sample("prompt_tokens", 1000), S.PROMPT_TOKENS) == 1000.0


def test_cached_tokens_before_0_14_are_local_and_external_hits_together() -> None:
    page = BASE + sample("prefix_cache_hits_total", 10) + sample("external_prefix_cache_hits_total", 5)
    assert sole(page, S.CACHED_PROMPT_TOKENS) == 15.0
    assert sole(page + sample("prompt_tokens_cached_total", 14), S.CACHED_PROMPT_TOKENS) == 14.0


HITS = sample("gpu_prefix_cache_hits_total", 10)
HELP = "# HELP vllm:gpu_prefix_cache_hits_total GPU prefix cache hits, in terms of number of cached"
INFO = sample("cache_config_info", 1.0, 'engine="0",block_size="16",cache_dtype="auto"')


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        pytest.param(f"{HELP} blocks.\n{HITS}{INFO}", 160.0, id="blocks are multiplied by the block size"),
        pytest.param(f"{HELP} tokens.\n{HITS}{INFO}", 10.0, id="tokens are taken as they are"),
        pytest.param(f"{HELP} blocks.\n{HITS}", None, id="blocks without a block size are absent"),
        pytest.param(f"{HITS}{INFO}", None, id="hits in a unit that nobody states are absent"),
    ],
)
def test_hits_of_0_8_count_blocks_and_are_never_taken_for_tokens(page: str, expected: float | None) -> None:
    whole = sample("num_requests_running", 1) + page + BASE
    assert sole(whole, S.CACHED_PROMPT_TOKENS) == expected
    assert (S.CACHED_PROMPT_TOKENS in read(whole).families) == (expected is not None)


def test_ranks_and_models_stay_apart_and_a_new_model_renames_no_series() -> None:
    ranks = "".join(
        sample("generation_tokens_total", 10 * rank, f'engine="{rank}",model_name="m"')
        + sample("prompt_tokens_total", 1, f'engine="{rank}",model_name="m"')
        for rank in range(3)
    )
    assert counters(ranks, S.OUTPUT_TOKENS) == {"0/m": 0.0, "1/m": 10.0, "2/m": 20.0}
    models = ranks + sample("generation_tokens_total", 5, 'engine="0",model_name="n"')
    assert counters(models, S.OUTPUT_TOKENS) == counters(ranks, S.OUTPUT_TOKENS) | {"0/n": 5.0}


def test_a_page_without_engine_labels_has_one_nameless_rank() -> None:
    page = sample("prompt_tokens_total", 3, "") + sample("generation_tokens_total", 4, "")
    assert counters(page, S.OUTPUT_TOKENS) == {"": 4.0}


def test_a_declared_family_without_a_sample_is_zero_and_one_not_declared_is_absent() -> None:
    page = BASE + "# TYPE vllm:kv_offload_load_bytes_total counter\n"
    assert sole(page, S.OFFLOAD_LOADED_BYTES) == 0.0
    assert sole(page, S.OFFLOAD_STORED_BYTES) is None
    assert S.OFFLOAD_STORED_BYTES not in read(page).families
    near_miss = BASE + "# TYPE vllm:kv_offload_load_bytes_created gauge\n"
    assert S.OFFLOAD_LOADED_BYTES not in read(near_miss).families


def test_histograms_keep_their_cumulative_buckets_by_bound() -> None:
    buckets = "".join(
        sample("time_to_first_token_seconds_bucket", count, f'{LABELS},le="{bound}"')
        for bound, count in (("+Inf", 9), ("0.5", 4), ("1", 7))
    )
    reading = read(BASE + buckets)
    found = {
        key.bound: value for key, value in zip(reading.layout, reading.counters, strict=True) if key.bound
    }
    assert found == {0.5: 4.0, 1.0: 7.0, float("inf"): 9.0}
    assert Histogram.TIME_TO_FIRST_TOKEN in reading.families


def test_requests_are_summed_over_ranks_and_cache_usage_is_their_mean() -> None:
    gauges = "".join(
        sample("num_requests_running", rank + 1, f'engine="{rank}"')
        + sample("kv_cache_usage_perc", 0.2 + 0.4 * rank, f'engine="{rank}"')
        + sample("gpu_cache_usage_perc", 1.0, f'engine="{rank}"')
        for rank in range(2)
    )
    levels = read(BASE + gauges).levels
    assert levels == {Level.RUNNING: 3.0, Level.KV_CACHE_USAGE: pytest.approx(0.4)}
    assert read(BASE + sample("gpu_cache_usage_perc", 0.7)).levels == {Level.KV_CACHE_USAGE: 0.7}


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf"])
def test_a_gauge_that_is_no_amount_is_left_out_and_the_page_stands(value: str) -> None:
    assert read(BASE + sample("num_requests_waiting", value)).levels == {}


@pytest.mark.parametrize("value", ["NaN", "-0.5", "-Inf", "+Inf", "1e308", "9.3e18"])
@pytest.mark.parametrize("name", ["num_preemptions_total", "time_to_first_token_seconds_bucket"])
def test_one_impossible_counter_refuses_the_whole_page(name: str, value: str) -> None:
    labels = f'{LABELS},le="1"'
    failure = parse(BASE + sample(name, value, labels))
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.at) == (FailureReason.BAD_VALUE, 5.0)


@pytest.mark.parametrize("bound", ["NaN", "", "wide"])
def test_a_bucket_without_a_bound_refuses_the_page(bound: str) -> None:
    failure = parse(BASE + sample("request_queue_time_seconds_bucket", 1, f'{LABELS},le="{bound}"'))
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.MALFORMED


OTHERS = [
    ("statistics switched off", "http_requests_total 4\n", "--disable-log-stats"),
    ("half of the token counters", sample("generation_tokens_total", 4), "lacks"),
    (
        "declared and not yet counted",
        "up 1\n# TYPE vllm:generation_tokens_total counter\n# TYPE vllm:prompt_tokens_total counter\n",
        "starting",
    ),
]


STRANGERS = [
    ("another engine on the port", 'sglang:prompt_tokens_total{model="m"} 4\n', "SGLang"),
    ("another engine after the first line", "up 1\ntrtllm_request_success_total 4\n", "TensorRT-LLM"),
    ("a frontend of the workers", "dynamo_frontend_requests_total 4\n", "a Dynamo frontend"),
]


@pytest.mark.parametrize(("page", "owner"), [row[1:] for row in STRANGERS], ids=[row[0] for row in STRANGERS])
def test_the_page_of_another_system_is_a_failure_that_names_it(page: str, owner: str) -> None:
    failure = parse(page)
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.OTHER_SYSTEM
    assert owner in failure.detail


@pytest.mark.parametrize(("page", "hint"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_a_page_without_token_counters_is_a_failure_that_says_what_to_do(page: str, hint: str) -> None:
    failure = parse(page)
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.NO_ENGINE_METRICS
    assert hint in failure.detail


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("", FailureReason.EMPTY_PAGE),
        ("<html></html>", FailureReason.NOT_EXPOSITION),
        (BASE + "vllm:num_preemptions_total{engine=\n", FailureReason.MALFORMED),
        (BASE + "vllm:num_preemptions_total 1", FailureReason.MALFORMED),
    ],
    ids=["empty", "html", "a torn sample", "cut off"],
)
def test_what_the_scanner_refuses_is_a_failure_in_its_words(page: str, reason: FailureReason) -> None:
    failure = parse(page)
    assert isinstance(failure, Failure)
    assert failure.reason is reason


def test_facts_are_an_allow_list_of_printable_and_short_texts() -> None:
    info = sample("cache_config_info", 1.0, 'block_size="16",cache_dtype="fp8",secret="x",num_gpu_blocks="9"')
    page = BASE.replace('"m"', '"' + "ab\u202e" + "c" * 300 + '"')
    facts = read(page + info).info
    assert facts["model"] == "ab?" + "c" * 125
    assert set(facts) == {"model", "block_size", "cache_dtype", "num_gpu_blocks"}


def test_a_page_of_too_many_ranks_is_refused() -> None:
    page = "".join(
        sample(name, 1, f'engine="{rank}"')
        for rank in range(RANK_LIMIT + 1)
        for name in ("prompt_tokens_total", "generation_tokens_total")
    )
    failure = parse(page)
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.LIMIT_EXCEEDED


def test_the_order_of_a_page_does_not_matter_to_its_layout() -> None:
    layouts = Layouts()
    lines = (BASE + sample("num_preemptions_total", 1)).splitlines(keepends=True)
    first, second = (parse("".join(order), layouts) for order in (lines, lines[::-1]))
    assert isinstance(first, EngineReading)
    assert isinstance(second, EngineReading)
    assert first.layout is second.layout
    assert first == second


def test_a_layout_is_sorted_by_signal_then_rank_then_bound() -> None:
    page = "".join(
        sample(name, 1, f'engine="{rank}"')
        for rank in "210"
        for name in ("prompt_tokens_total", "generation_tokens_total", "num_preemptions_total")
    )
    page += "".join(
        sample("request_queue_time_seconds_bucket", 1, f'engine="0",le="{le}"') for le in ("+Inf", "10", "9")
    )
    layout = [(key.signal.value, key.rank, key.bound or 0.0) for key in read(page).layout]
    assert len(layout) == 12
    assert layout == sorted(layout)


def test_a_memory_of_shapes_never_outgrows_its_capacity_and_forgets_the_oldest() -> None:
    kept: Kept[int, int] = Kept(10)
    for key in range(8):
        kept.recall(key, cost=2, make=lambda key=key: key)
        assert kept.held <= 10
    assert kept.recall(7, cost=2, make=lambda: -1) == 7
    assert kept.recall(0, cost=2, make=lambda: -1) == -1
    kept.recall(99, cost=3, make=lambda: 99)
    assert kept.recall(99, cost=3, make=lambda: -1) == -1, "too large to be kept"


def test_pages_of_ever_new_labels_leave_no_memory_behind() -> None:
    layouts = Layouts(capacity=400)
    for number in range(100):
        parse(BASE.replace('engine="0"', f'engine="{number}"'), layouts)
    assert 0 < layouts.plans.held <= 400
