"""Pages of Dynamo 1.6.1, LMCache and KVBM: who counts tokens, who repeats them, and who only moves blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.telemetry.test_engine_captures import total
from tokenfactory.model import EngineReading, Failure, FailureReason, Signal
from tokenfactory.telemetry import dynamo, dynamofrontend, kvbm, lmcacheserver, vllm
from tokenfactory.telemetry.exposition import Wanted, scan
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.limits import ScanLimits

CAPTURES = Path(__file__).parents[1] / "captures"
DYNAMO = CAPTURES / "engines" / "dynamo"
VLLM = (CAPTURES / "vllm-0.32.0" / "a-plain" / "metrics-after.prom").read_bytes()
SGLANG = (CAPTURES / "engines" / "sglang" / "0.5.23-plain" / "t60.prom").read_bytes()
TRTLLM = (CAPTURES / "engines" / "trtllm" / "plain" / "t60.prom").read_bytes()
WORKER = (DYNAMO / "pd" / "decode" / "t60.prom").read_bytes()
OWN = b"".join(line for line in WORKER.splitlines(keepends=True) if b"vllm:" not in line)
S = Signal


def gained(before: EngineReading | Failure, after: EngineReading | Failure, signal: Signal) -> float:
    assert isinstance(before, EngineReading), before
    assert isinstance(after, EngineReading), after
    return total(after, signal) - total(before, signal)


def test_an_idle_worker_counts_nothing_yet_although_an_internal_endpoint_was_asked() -> None:
    reading = dynamo.parse_vllm((DYNAMO / "idle/worker/t60.prom").read_bytes(), at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading)
    assert {S.PROMPT_TOKENS, S.OUTPUT_TOKENS} <= reading.families
    assert set(reading.counters) == {0.0}


@pytest.mark.parametrize(
    ("engine", "output"),
    [(VLLM, 808.0), (SGLANG, 233183.0), (TRTLLM, 66508.0)],
    ids=["vllm", "sglang", "trtllm"],
)
def test_a_worker_passes_its_engines_counters_on(engine: bytes, output: float) -> None:
    parse = {VLLM: dynamo.parse_vllm, SGLANG: dynamo.parse_sglang, TRTLLM: dynamo.parse_trtllm}[engine]
    reading = parse(OWN + engine, at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading)
    assert total(reading, S.OUTPUT_TOKENS) >= output


def test_the_mockers_workers_have_no_token_counters_and_say_so() -> None:
    failure = dynamo.parse_vllm(WORKER, at=1.0, layouts=Layouts())
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.NO_ENGINE_METRICS
    assert "--disable-log-stats" in failure.detail


@pytest.mark.parametrize("case", ["pd", "agg-round-robin-2workers"])
def test_a_frontend_repeats_its_workers_and_is_recognised_never_counted(case: str) -> None:
    page = (DYNAMO / case / "frontend" / "t60.prom").read_bytes()
    for parse in (vllm.parse, dynamo.parse_vllm):
        failure = parse(page, at=1.0, layouts=Layouts())
        assert isinstance(failure, Failure)
        assert failure.reason is FailureReason.OTHER_SYSTEM
        assert "a Dynamo frontend" in failure.detail


@pytest.mark.parametrize(
    ("case", "output", "prompts", "cached", "requests"),
    [("pd", 66435, 280844, 0, 552), ("agg-round-robin-2workers", 55778, 231701, 144640, 453)],
)
def test_a_frontend_read_as_one_counts_each_request_once(
    case: str, output: int, prompts: int, cached: int, requests: int
) -> None:
    before, after = (
        dynamofrontend.parse(
            (DYNAMO / case / "frontend" / f"{at}.prom").read_bytes(), at=1.0, layouts=Layouts()
        )
        for at in ("t0", "t60")
    )
    assert gained(before, after, S.OUTPUT_TOKENS) == output
    assert gained(before, after, S.PROMPT_TOKENS) == prompts
    assert gained(before, after, S.CACHED_PROMPT_TOKENS) == cached
    assert gained(before, after, S.REQUESTS) == requests


def test_a_frontend_that_nobody_asked_yet_counts_nothing_and_is_no_failure() -> None:
    page = (DYNAMO / "pd" / "frontend" / "t60.prom").read_bytes()
    idle = b"".join(line for line in page.splitlines(keepends=True) if b"model=" not in line)
    reading = dynamofrontend.parse(idle, at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading), reading
    assert set(reading.counters) == {0.0}


@pytest.mark.parametrize("page", [WORKER, VLLM], ids=["a worker", "an engine"])
def test_another_page_on_a_frontends_port_is_told_apart(page: bytes) -> None:
    failure = dynamofrontend.parse(page, at=1.0, layouts=Layouts())
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.OTHER_SYSTEM


def test_lmcache_counts_hits_and_stores_in_tokens_on_the_page_of_its_engine() -> None:
    pages = [(CAPTURES / "engines/lmcache/effective" / f"{at}.prom").read_bytes() for at in ("t0", "t60")]
    before, after = (vllm.parse(VLLM + page, at=1.0, layouts=Layouts()) for page in pages)
    assert gained(before, after, S.OFFLOAD_HIT_TOKENS) == 144384
    assert gained(before, after, S.OFFLOAD_STORED_TOKENS) == 245248


def test_lmcaches_own_server_counts_tokens_found_and_chunks_in_and_out() -> None:
    pages = [(CAPTURES / "engines/lmcache/server" / f"{at}.prom").read_bytes() for at in ("t0", "t60")]
    before, after = (lmcacheserver.parse(page, at=1.0, layouts=Layouts()) for page in pages)
    assert gained(before, after, S.OFFLOAD_HIT_TOKENS) == 153600
    assert gained(before, after, S.OFFLOAD_STORED_BLOCKS) == 1000
    assert gained(before, after, S.OFFLOAD_LOADED_BLOCKS) == 600


def test_lmcaches_server_has_no_page_of_its_own_before_the_first_request() -> None:
    page = b"# TYPE target_info gauge\ntarget_info 1\n"
    failure = lmcacheserver.parse(page, at=1.0, layouts=Layouts())
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.NO_ENGINE_METRICS


def test_the_page_of_lmcaches_server_is_no_engines() -> None:
    page = (CAPTURES / "engines/lmcache/server/t60.prom").read_bytes()
    failure = vllm.parse(page, at=1.0, layouts=Layouts())
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.OTHER_SYSTEM


def test_kvbm_counts_blocks_in_and_out_and_matched_tokens_without_the_suffix_total() -> None:
    pages = [(CAPTURES / "engines/kvbm/effective" / f"{at}.prom").read_bytes() for at in ("t0", "t60")]
    for before, after in (
        [kvbm.parse(page, at=1.0, layouts=Layouts()) for page in pages],
        [dynamo.parse_vllm(OWN + VLLM + page, at=1.0, layouts=Layouts()) for page in pages],
    ):
        assert gained(before, after, S.OFFLOAD_STORED_BLOCKS) == 13621
        assert gained(before, after, S.OFFLOAD_LOADED_BLOCKS) == 20711 + 2617
        assert gained(before, after, S.OFFLOAD_HIT_TOKENS) == 373248


RATES = {"agg-round-robin-2workers": (61.52, 906.7), "pd": (60.01, 1107.1)}


@pytest.mark.parametrize("case", RATES)
def test_what_a_frontend_shows_is_the_same_work_again(case: str) -> None:
    """The mocker's workers show only when tokens came: with the first ones as many as the frontend counts."""
    seconds, rate = RATES[case]
    folder = DYNAMO / case
    shown = "dynamo_frontend_output_tokens_total"
    tokens = shown_by(folder / "frontend", shown)
    assert tokens / seconds == pytest.approx(rate, abs=0.1)
    parts = ("vllm:time_to_first_token_seconds_count", "vllm:inter_token_latency_seconds_count")
    workers = [path for path in folder.iterdir() if path.is_dir() and path.name != "frontend"]
    made = sum(shown_by(worker, part) for worker in workers for part in parts)
    assert made == pytest.approx(tokens, rel=1e-3)


def shown_by(folder: Path, name: str) -> float:
    """How much a family of the two pages gained."""
    wanted = Wanted(frozenset({name}))
    pages = [(folder / f"{at}.prom").read_bytes() for at in ("t0", "t60")]
    before, after = (sum(item.value for item in scan(page, wanted, ScanLimits())) for page in pages)
    return after - before
