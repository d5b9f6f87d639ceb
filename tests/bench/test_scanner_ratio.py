"""How much cheaper a selective scan is than a full parse: one run on captured pages of each engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from timeit import repeat

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tokenfactory.model import EngineReading
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.exposition import Wanted, scan
from tokenfactory.telemetry.families import System
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.limits import ScanLimits
from tokenfactory.telemetry.sglang import SGLANG
from tokenfactory.telemetry.trtllm import TRTLLM
from tokenfactory.telemetry.vllm import VLLM

CAPTURES = Path(__file__).parent.parent / "golden" / "captures"
VLLM_PAGE = CAPTURES / "vllm-0.32.0" / "c-offload-outoftree-effective" / "metrics-after.prom"
PAGES = {
    "vLLM": (VLLM, VLLM_PAGE),
    "SGLang": (SGLANG, CAPTURES / "engines" / "sglang" / "0.5.23-hicache-effective" / "t60.prom"),
    "TensorRT-LLM": (TRTLLM, CAPTURES / "engines" / "trtllm" / "mtp-effective" / "t60.prom"),
}


def milliseconds(work: Callable[[], object], *, rounds: int) -> float:
    return min(repeat(work, number=rounds, repeat=5)) / rounds * 1000


def compare(system: System, page: bytes) -> float:
    """The ratio of a full parse to a scan of the system's names; prints it, and that of a whole reading."""
    text, limits, wanted = page.decode(), ScanLimits(), Wanted(system.sample_names)
    reader, layouts = EnginePage(system), Layouts()
    assert isinstance(reader.parse(page, at=1.0, layouts=layouts), EngineReading)
    full = milliseconds(lambda: list(text_string_to_metric_families(text)), rounds=2)
    selective = milliseconds(lambda: scan(page, wanted, limits), rounds=20)
    again = milliseconds(lambda: reader.parse(page, at=1.0, layouts=layouts), rounds=20)
    kept = len(scan(page, wanted, limits))
    print(
        f"{system.name}: {len(page)} bytes, {kept} kept: parse {full:.2f} ms, scan {selective:.3f} ms, "
        f"{full / selective:.0f}x; a reading of a shape seen before {again:.3f} ms, {full / again:.0f}x"
    )
    return full / selective


@pytest.mark.bench
@pytest.mark.parametrize("engine", PAGES)
def test_a_scan_costs_at_most_a_twentieth_of_a_full_parse(engine: str) -> None:
    system, path = PAGES[engine]
    assert compare(system, path.read_bytes()) >= 20


@pytest.mark.bench
def test_a_page_of_three_ranks_is_as_cheap() -> None:
    page = VLLM_PAGE.read_bytes()
    page = b"".join(page.replace(b'engine="0"', b'engine="%d"' % rank) for rank in range(3))
    assert compare(VLLM, b"".join(dict.fromkeys(page.splitlines(keepends=True)))) >= 20
