"""T01, T03, T11, T22-T24 on pages of SGLang and TensorRT-LLM around a known traffic of 60 seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.telemetry.test_engine_captures import PARSERS, gained, read, total
from tokenfactory.costing.tokencount import RoleCount, count_once
from tokenfactory.model import Failure, Level, Role, Signal
from tokenfactory.telemetry.layouts import Layouts

CAPTURES = Path(__file__).parents[2] / "golden" / "captures" / "engines"
S = Signal


def role_count(capture: str, role: Role) -> RoleCount:
    signals = (S.PROMPT_TOKENS, S.CACHED_PROMPT_TOKENS, S.OUTPUT_TOKENS)
    prompt, cached, output = (gained(capture, signal) for signal in signals)
    return RoleCount(role, prompt, cached, output)


def test_T01_prompts_of_a_disaggregated_sglang_pool_count_once_and_throw_away_tokens_never() -> None:
    pair = (
        role_count("sglang/0.5.23-pd-prefill", Role.PREFILL),
        role_count("sglang/0.5.23-pd-decode", Role.DECODE),
    )
    found = count_once(pair)
    assert found.uncached_input + found.cached_input == 624717
    assert found.output == 98271
    assert pair[0].output == 210


def test_T03_cached_input_of_sglang_is_in_tokens_and_a_part_of_the_prompt() -> None:
    prompt, cached, loaded = (
        gained("sglang/0.5.23-hicache-effective", signal)
        for signal in (S.PROMPT_TOKENS, S.CACHED_PROMPT_TOKENS, S.OFFLOAD_HIT_TOKENS)
    )
    assert 0 < loaded <= cached <= prompt
    assert loaded / prompt == pytest.approx(0.259, abs=0.001)


def test_T12_the_throughput_gauge_of_sglang_stands_on_the_page_and_is_not_read() -> None:
    page = (CAPTURES / "sglang/0.5.23-plain/t60.prom").read_bytes()
    assert b"\nsglang:gen_throughput" in page
    assert gained("sglang/0.5.23-plain", S.OUTPUT_TOKENS) == 54552


def test_T22_the_length_of_tensorrt_llm_counts_the_bonus_token_and_is_not_the_last_iterations_gauge() -> None:
    drafts, accepted = (gained("trtllm/mtp-effective", signal) for signal in (S.DRAFTS, S.ACCEPTED_TOKENS))
    assert 1 + accepted / drafts == pytest.approx(3.04, abs=0.01)


@pytest.mark.parametrize(
    ("capture", "length"), [("sglang/0.5.23-eagle-effective", 2.84), ("sglang/0.5.23-spec-useless", 1.01)]
)
def test_T22_speculation_of_sglang_is_measured_by_its_steps(capture: str, length: float) -> None:
    steps = gained(capture, S.VERIFY_CALLS)
    assert gained(capture, S.OUTPUT_TOKENS) / steps == pytest.approx(length, abs=0.005)


def test_T23_tokens_that_were_loaded_prove_offloading_and_stored_ones_do_not() -> None:
    stored, loaded = (
        gained("sglang/0.5.23-hicache-effective", signal)
        for signal in (S.OFFLOAD_STORED_TOKENS, S.OFFLOAD_LOADED_TOKENS)
    )
    assert (stored, loaded) == (548032, 233344)


def test_T24_the_json_of_tensorrt_llm_is_a_failure_and_no_page_without_tokens() -> None:
    (page,) = sorted((CAPTURES / "trtllm/json-metrics-array").glob("*.json"))[:1]
    found = PARSERS["trtllm"](page.read_bytes(), at=1.0, layouts=Layouts())
    assert isinstance(found, Failure)


def test_T12_levels_of_a_page_are_no_money() -> None:
    reading = read("sglang/0.5.23-plain")
    assert set(reading.levels) <= set(Level)
    assert total(reading, S.OUTPUT_TOKENS) > 0
