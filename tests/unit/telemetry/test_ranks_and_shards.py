"""Ranks of SGLang: data-parallel ranks are summed, of tensor-parallel ones a single one is read."""

from __future__ import annotations

from tokenfactory.model import EngineReading, Failure, FailureReason, Level, SeriesKey, Signal
from tokenfactory.telemetry import nim, sglang, trtllm
from tokenfactory.telemetry.layouts import Layouts

S = Signal
TOKENS = 'sglang:prompt_tokens_total{model_name="m"} 10\nsglang:generation_tokens_total{model_name="m"} 5\n'


def read(page: str) -> EngineReading:
    reading = sglang.parse(page.encode(), at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading), reading
    return reading


def counters(reading: EngineReading) -> dict[SeriesKey, float]:
    return dict(zip(reading.layout, reading.counters, strict=True))


def decoded(dp: int, tp: int, value: float) -> str:
    labels = f'mode="decode",model_name="m",moe_ep_rank="{tp}",pp_rank="0",tp_rank="{tp}",dp_rank="{dp}"'
    return f"sglang:realtime_tokens_total{{{labels}}} {value}\n"


def test_one_tensor_parallel_rank_of_each_data_parallel_rank_is_read() -> None:
    page = TOKENS + decoded(0, 1, 0) + decoded(0, 0, 7) + decoded(1, 2, 9) + decoded(1, 3, 0)
    found = counters(read(page))
    assert found[SeriesKey(S.STEP_OUTPUT_TOKENS, "0/m")] == 7
    assert found[SeriesKey(S.STEP_OUTPUT_TOKENS, "1/m")] == 9


def test_the_tenth_rank_is_higher_than_the_ninth() -> None:
    page = TOKENS + decoded(0, 10, 3) + decoded(0, 9, 4)
    assert counters(read(page))[SeriesKey(S.STEP_OUTPUT_TOKENS, "0/m")] == 4


def test_gauges_are_summed_over_data_parallel_ranks_and_usage_is_their_mean() -> None:
    page = TOKENS
    for dp, (running, usage) in enumerate(((3, 0.2), (5, 0.6))):
        for tp in (2 * dp, 2 * dp + 1):
            labels = f'model_name="m",pp_rank="0",tp_rank="{tp}",dp_rank="{dp}"'
            page += f"sglang:num_running_reqs{{{labels}}} {running}\nsglang:token_usage{{{labels}}} {usage}\n"
    levels = read(page).levels
    assert levels[Level.RUNNING] == 8
    assert levels[Level.KV_CACHE_USAGE] == 0.4


def test_tokens_by_streaming_are_added_and_those_of_an_unlabelled_page_are_read_too() -> None:
    split = TOKENS.replace('model_name="m"', 'is_streaming="true",model_name="m"')
    both = split + split.replace("true", "false")
    assert counters(read(both))[SeriesKey(S.OUTPUT_TOKENS, "/m")] == 10
    assert counters(read(TOKENS))[SeriesKey(S.OUTPUT_TOKENS, "/m")] == 5


def cached(source: str, value: int) -> str:
    return f'sglang:cached_tokens_total{{cache_source="{source}",model_name="m"}} {value}\n'


def test_cached_tokens_by_source_are_added_and_the_total_is_read_only_where_it_stands_alone() -> None:
    several = TOKENS + cached("device", 4) + cached("storage_mooncake", 2) + cached("total", 6)
    assert counters(read(several))[SeriesKey(S.CACHED_PROMPT_TOKENS, "/m")] == 6
    assert counters(read(several))[SeriesKey(S.OFFLOAD_HIT_TOKENS, "/m")] == 2
    assert counters(read(TOKENS + cached("total", 6)))[SeriesKey(S.CACHED_PROMPT_TOKENS, "/m")] == 6
    old = 'sglang:cached_tokens_total{model_name="m"} 3\n'
    assert counters(read(TOKENS + old))[SeriesKey(S.CACHED_PROMPT_TOKENS, "/m")] == 3


def test_a_server_without_a_finished_request_counts_zero() -> None:
    reading = read('sglang:max_total_num_tokens{model_name="m"} 1000\n')
    zeros = (S.CACHED_PROMPT_TOKENS, S.OUTPUT_TOKENS, S.PROMPT_TOKENS)
    assert counters(reading) == {SeriesKey(signal): 0.0 for signal in zeros}


def test_no_cached_token_yet_is_zero_and_not_unknown() -> None:
    reading = read(TOKENS)
    assert S.CACHED_PROMPT_TOKENS in reading.families
    assert counters(reading)[SeriesKey(S.CACHED_PROMPT_TOKENS, "/m")] == 0


def test_an_image_that_finishes_requests_without_counting_tokens_is_named() -> None:
    page = b'# TYPE x counter\ntrtllm_request_success_total{finished_reason="stop"} 4.0\n'
    failure = trtllm.parse(page, at=1.0, layouts=Layouts())
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.NO_ENGINE_METRICS
    assert "later than 1.2" in failure.detail


def test_an_undefined_model_is_no_model() -> None:
    page = b"".join(
        b'trtllm_%b_total{engine_type="undefined",model_name="undefined"} 4.0\n' % name
        for name in (b"prompt_tokens", b"generation_tokens")
    )
    reading = trtllm.parse(page, at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading)
    assert reading.info["model"] == ""
    assert {key.rank for key in reading.layout} == {""}


def test_a_nim_is_read_with_its_own_names_and_with_those_of_the_engine_inside() -> None:
    own = b"prompt_tokens_total 10\ngeneration_tokens_total 5\nnum_requests_running 2\n"
    inside = b'vllm:prompt_tokens_total{engine="0"} 10\nvllm:generation_tokens_total{engine="0"} 5\n'
    for page in (own, inside, TOKENS.encode()):
        reading = nim.parse(page, at=1.0, layouts=Layouts())
        assert isinstance(reading, EngineReading)
        assert sum(v for key, v in counters(reading).items() if key.signal is S.OUTPUT_TOKENS) == 5
