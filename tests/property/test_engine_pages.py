"""What a page says does not depend on the order of its lines, nor on what else stands on it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenfactory.model import EngineReading, SeriesKey
from tokenfactory.telemetry import dynamofrontend, lmcacheserver, sglang, trtllm, vllm
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.systems import EngineParser

CAPTURES = Path(__file__).parents[1] / "golden" / "captures"
PAGES: dict[str, tuple[EngineParser, Path]] = {
    "vLLM": (vllm.parse, CAPTURES / "vllm-0.32.0" / "b-ngram-effective" / "metrics-after.prom"),
    "SGLang": (sglang.parse, CAPTURES / "engines" / "sglang" / "0.5.23-hicache-effective" / "t60.prom"),
    "TensorRT-LLM": (trtllm.parse, CAPTURES / "engines" / "trtllm" / "mtp-effective" / "t60.prom"),
    "LMCache's server": (lmcacheserver.parse, CAPTURES / "engines" / "lmcache" / "server" / "t60.prom"),
    "Dynamo's frontend": (
        dynamofrontend.parse,
        CAPTURES / "engines" / "dynamo" / "agg-round-robin-2workers" / "frontend" / "t60.prom",
    ),
}


def counters(parse: EngineParser, page: bytes) -> dict[SeriesKey, float]:
    reading = parse(page, at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading), reading
    return dict(zip(reading.layout, reading.counters, strict=True))


@pytest.mark.parametrize("engine", PAGES)
@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_no_counter(engine: str, random: Random) -> None:
    parse, path = PAGES[engine]
    lines = path.read_bytes().splitlines(keepends=True)
    expected = counters(parse, b"".join(lines))
    random.shuffle(lines)
    assert counters(parse, b"".join(lines)) == expected


@pytest.mark.parametrize("engine", PAGES)
@settings(max_examples=25)
@given(st.lists(st.sampled_from(["up 1", "x_total 5", "# HELP y z", 'other:prompt_tokens_total{a="b"} 7'])))
def test_lines_of_others_change_no_counter(engine: str, more: list[str]) -> None:
    parse, path = PAGES[engine]
    page = path.read_bytes()
    extra = "".join(f"{line}\n" for line in more).encode()
    assert counters(parse, extra + page + extra) == counters(parse, page)
