"""The page of TensorRT-LLM's orchestrator: requests by side, and whose page it is and is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.model import CompanionKind, EngineReading, Failure, FailureReason, Signal
from tokenfactory.telemetry import dynamo, trtllm, trtllmorchestrator, vllm
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.systems import EngineParser, parser_beside

CAPTURES = Path(__file__).parents[2] / "golden" / "captures" / "engines"
PAGE = (
    b"# TYPE total_requests_total counter\ntotal_requests_total 12.0\n"
    b"# TYPE ctx_total_requests_total counter\nctx_total_requests_total 9.0\n"
    b"# TYPE ctx_completed_requests_total counter\nctx_completed_requests_total 8.0\n"
    b"# TYPE gen_completed_requests_total counter\ngen_completed_requests_total 11.0\n"
)


def counted(page: bytes) -> dict[object, float]:
    reading = trtllmorchestrator.parse(page, at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading), reading
    return {key.signal: value for key, value in zip(reading.layout, reading.counters, strict=True)}


def test_requests_handed_over_and_completed_are_told_apart() -> None:
    assert counted(PAGE) == {Signal.TRANSFERS: 8.0, Signal.REQUESTS: 11.0}


def test_a_pair_without_a_request_counts_zero() -> None:
    quiet = b"ctx_completed_requests_total 0.0\ngen_completed_requests_total 0.0\n"
    assert set(counted(quiet).values()) == {0.0}


@pytest.mark.parametrize("parse", [vllm.parse, trtllm.parse, dynamo.parse_trtllm])
def test_on_an_engines_port_it_is_another_systems_page(parse: EngineParser) -> None:
    failure = parse(PAGE, at=1.0, layouts=Layouts())
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.OTHER_SYSTEM
    assert "orchestrator" in failure.detail


@pytest.mark.parametrize("case", ["trtllm/plain/t60.prom", "dynamo/pd/frontend/t60.prom"])
def test_another_page_is_not_an_orchestrators(case: str) -> None:
    failure = trtllmorchestrator.parse((CAPTURES / case).read_bytes(), at=1.0, layouts=Layouts())
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.OTHER_SYSTEM


@given(st.binary(max_size=400), st.sampled_from(CompanionKind))
def test_no_bytes_behind_a_page_raise(page: bytes, kind: CompanionKind) -> None:
    found = parser_beside(kind)(PAGE + page, at=1.0, layouts=Layouts())
    assert isinstance(found, EngineReading | Failure)
