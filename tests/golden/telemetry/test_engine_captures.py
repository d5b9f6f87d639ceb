"""Pages of SGLang and TensorRT-LLM around a known traffic of 60 seconds (captures/engines/README.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenfactory.model import (
    AT_THE_END,
    TOKENS_COUNTED,
    WINDOWED,
    EngineReading,
    Failure,
    FailureReason,
    Histogram,
    Level,
    Signal,
)
from tokenfactory.telemetry import sglang, trtllm
from tokenfactory.telemetry.layouts import Layouts

CAPTURES = Path(__file__).parents[1] / "captures" / "engines"
PARSERS = {"sglang": sglang.parse, "trtllm": trtllm.parse}
S = Signal
SECONDS = 60.0

# Deltas over the 60 seconds, as the captures' own READMEs state them.
FACTS: dict[str, dict[Signal, float]] = {
    "sglang/0.5.23-plain": {S.OUTPUT_TOKENS: 54552, S.PROMPT_TOKENS: 314831, S.REQUESTS: 150},
    "sglang/0.5.23-eagle-effective": {
        S.OUTPUT_TOKENS: 94544,
        S.PROMPT_TOKENS: 530379,
        S.REQUESTS: 260,
        S.VERIFY_CALLS: 33318,
    },
    "sglang/0.5.23-spec-useless": {S.OUTPUT_TOKENS: 40404, S.PROMPT_TOKENS: 233075, S.VERIFY_CALLS: 40001},
    "sglang/0.5.23-hicache-effective": {
        S.OUTPUT_TOKENS: 52500,
        S.PROMPT_TOKENS: 900415,
        S.OFFLOAD_STORED_TOKENS: 548032,
        S.OFFLOAD_LOADED_TOKENS: 233344,
        S.OFFLOAD_HIT_TOKENS: 233344,
    },
    "sglang/0.5.23-pd-prefill": {S.OUTPUT_TOKENS: 210, S.PROMPT_TOKENS: 624717, S.TRANSFERS: 210},
    "sglang/0.5.23-pd-decode": {S.OUTPUT_TOKENS: 98271, S.PROMPT_TOKENS: 624717, S.REQUESTS: 210},
    "sglang/0.5.9-eagle-effective": {S.OUTPUT_TOKENS: 94544, S.PROMPT_TOKENS: 530379, S.REQUESTS: 260},
    "trtllm/plain": {},
    "trtllm/mtp-effective": {S.OUTPUT_TOKENS: 144699, S.PROMPT_TOKENS: 854302, S.REQUESTS: 488},
    "trtllm/host-offload-effective": {},
    "trtllm/fp4-b200": {},
    "trtllm/fp4-h100": {},
}
RATES = {
    "sglang/0.5.23-plain": 909.20,
    "sglang/0.5.23-eagle-effective": 1575.73,
    "sglang/0.5.23-spec-useless": 673.40,
    "sglang/0.5.23-hicache-effective": 875.00,
    "sglang/0.5.23-pd-decode": 1637.85,
    "sglang/0.5.9-eagle-effective": 1575.73,
    "trtllm/plain": 1108.47,
    "trtllm/mtp-effective": 2411.65,
    "trtllm/host-offload-effective": 746.88,
    "trtllm/fp4-b200": 1246.43,
    "trtllm/fp4-h100": 586.07,
}


def read(capture: str, moment: str = "t60") -> EngineReading:
    page = (CAPTURES / capture / f"{moment}.prom").read_bytes()
    reading = PARSERS[capture.partition("/")[0]](page, at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading), reading
    return reading


def total(reading: EngineReading, signal: Signal | Histogram, bound: float | None = None) -> float:
    return sum(
        value
        for key, value in zip(reading.layout, reading.counters, strict=True)
        if key.signal is signal and key.bound == bound
    )


def gained(capture: str, signal: Signal) -> float:
    return total(read(capture), signal) - total(read(capture, "t0"), signal)


@pytest.mark.parametrize("capture", sorted(FACTS))
def test_the_traffic_of_a_capture_is_what_its_readme_says(capture: str) -> None:
    after = read(capture)
    for signal, expected in FACTS[capture].items():
        assert signal in after.families, signal
        assert gained(capture, signal) == expected, signal


@pytest.mark.parametrize("capture", sorted(RATES))
def test_generated_tokens_per_second_are_those_of_the_table(capture: str) -> None:
    assert gained(capture, S.OUTPUT_TOKENS) / SECONDS == pytest.approx(RATES[capture], abs=0.006)


@pytest.mark.parametrize(
    ("capture", "length"), [("sglang/0.5.23-eagle-effective", 2.84), ("sglang/0.5.23-spec-useless", 1.01)]
)
def test_verification_steps_give_the_acceptance_length(capture: str, length: float) -> None:
    measured = gained(capture, S.OUTPUT_TOKENS) / gained(capture, S.VERIFY_CALLS)
    assert measured == pytest.approx(length, abs=0.005)


def test_only_a_gauge_tells_the_acceptance_of_sglang_0_5_9() -> None:
    reading = read("sglang/0.5.9-eagle-effective")
    assert S.VERIFY_CALLS not in reading.families
    assert reading.levels[Level.ACCEPTANCE_LENGTH] == pytest.approx(2.837, abs=0.001)


def test_a_gauge_that_is_no_number_poisons_nothing() -> None:
    reading = read("sglang/0.5.23-plain")
    assert reading.levels[Level.RUNNING] == 23
    assert reading.levels[Level.WAITING] == 0
    assert reading.levels[Level.KV_CACHE_USAGE] == pytest.approx(0.1355)


def test_drafts_by_position_give_the_acceptance_length_of_mtp() -> None:
    drafts, accepted = (gained("trtllm/mtp-effective", signal) for signal in (S.DRAFTS, S.ACCEPTED_TOKENS))
    assert 1 + accepted / drafts == pytest.approx(3.04, abs=0.01)


def test_an_older_page_without_positions_gives_the_same_length_by_the_number_of_tokens_in_a_draft() -> None:
    lengths = []
    for moment in ("t0", "t60"):
        page = (CAPTURES / "trtllm/mtp-effective" / f"{moment}.prom").read_bytes()
        later = (b"spec_decode_drafted_tokens", b"spec_decode_accepted_tokens")
        lines = [line for line in page.splitlines(keepends=True) if not any(name in line for name in later)]
        reading = trtllm.parse(b"".join(lines), at=1.0, layouts=Layouts())
        assert isinstance(reading, EngineReading)
        lengths.append((total(reading, S.DRAFTS), total(reading, S.ACCEPTED_TOKENS)))
    drafts, accepted = lengths[1][0] - lengths[0][0], lengths[1][1] - lengths[0][1]
    assert drafts == pytest.approx(143613 / 3)
    assert 1 + accepted / drafts == pytest.approx(3.04, abs=0.005)


def test_one_tensor_parallel_rank_is_read_for_tokens_and_all_for_bytes() -> None:
    assert gained("sglang/0.5.23-hicache-effective", S.OFFLOAD_STORED_BYTES) == pytest.approx(
        179.6e9, rel=1e-3
    )
    assert gained("sglang/0.5.23-hicache-effective", S.OFFLOAD_LOADED_BYTES) == pytest.approx(
        76.5e9, rel=1e-3
    )


@pytest.mark.parametrize(
    ("capture", "share"), [("sglang/0.5.23-hicache-effective", 25.9), ("trtllm/host-offload-effective", 29.7)]
)
def test_the_share_of_the_prompt_that_came_from_the_host_is_that_of_the_table(
    capture: str, share: float
) -> None:
    hits, prompt = (gained(capture, signal) for signal in (S.OFFLOAD_HIT_TOKENS, S.PROMPT_TOKENS))
    assert 100 * hits / prompt == pytest.approx(share, abs=0.05)


def test_sglang_counts_output_as_it_is_made_too_and_says_that_tokens_come_at_the_end_of_a_request() -> None:
    reading = read("sglang/0.5.23-plain")
    assert gained("sglang/0.5.23-plain", S.STEP_OUTPUT_TOKENS) == 54807
    assert reading.info[TOKENS_COUNTED] == AT_THE_END
    assert read("trtllm/plain").info[TOKENS_COUNTED] == AT_THE_END


def test_the_decode_half_of_a_pair_computes_no_prompt_and_the_prefill_half_has_no_latency() -> None:
    assert S.COMPUTED_PROMPT_TOKENS not in {
        key.signal for key, value in zip(*parts("sglang/0.5.23-pd-decode"), strict=True) if value
    }
    assert not set(WINDOWED) - {Histogram.QUEUE} & read("sglang/0.5.23-pd-prefill").families


def parts(capture: str) -> tuple[tuple[object, ...], tuple[float, ...]]:
    reading = read(capture)
    return reading.layout, reading.counters


def test_info_gauges_tell_weights_and_gpus() -> None:
    info = read("trtllm/fp4-b200").info
    assert (info["quantization"], info["gpu_type"], info["gpu_count"]) == ("NVFP4", "NVIDIA B200", "1")
    assert read("trtllm/fp4-h100").info["gpu_type"].startswith("NVIDIA H100")
    assert read("trtllm/mtp-effective").info["spec_method"] == "MTP"


def test_a_json_array_is_recognised_as_no_page() -> None:
    for name in ("metrics.json", "metrics-drained.json"):
        page = (CAPTURES / "trtllm/json-metrics-array" / name).read_bytes()
        failure = trtllm.parse(page, at=1.0, layouts=Layouts())
        assert isinstance(failure, Failure)
        assert failure.reason is FailureReason.NOT_EXPOSITION
