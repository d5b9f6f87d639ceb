"""How long an engine that counts tokens at the end of a request may be silent (docs/cost-model.md §10)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.golden.replay.test_captured_engines import ENGINES as CAPTURES
from tests.golden.replay.test_captured_engines import Server, pages_of, pod_of
from tokenfactory.judgement.denominator import find_stuck
from tokenfactory.measure import Absence, Missing
from tokenfactory.model import EngineId, ReplicaLoad, Role, RoleLoad
from tokenfactory.runtime.files import Frame, SavedPage
from tokenfactory.runtime.offline import Replay

WINDOW = 300.0
UNKNOWN = Missing(Absence.NOT_SCRAPED)


def load(still: float, slowest: float | None, *, live: bool = False, running: float = 1.0) -> RoleLoad:
    item = ReplicaLoad(
        id=EngineId("a", "c"),
        epoch="e",
        product="p",
        fresh=True,
        running=running,
        still_seconds=still,
        slowest_seconds=slowest,
    )
    return RoleLoad(
        role=Role.AGGREGATED,
        tokens=0.0,
        per_ready_gpu=UNKNOWN,
        concurrency=UNKNOWN,
        running=running,
        waiting=0.0,
        fresh_share=1.0,
        ready_replicas=1,
        counts_live=live,
        replicas=(item,),
    )


def patience(slowest: float | None, *, live: bool = False) -> float:
    """The shortest silence that makes the engine stuck, to a tenth of a second."""
    low, high = 0.0, 100 * WINDOW
    while high - low > 0.05:
        middle = (low + high) / 2
        stuck = find_stuck(load(middle, slowest, live=live), window=WINDOW)
        low, high = (low, middle) if stuck else (middle, high)
    return high


@pytest.mark.parametrize(
    ("slowest", "expected"),
    [
        pytest.param(200.0, 400.0, id="twice its slowest requests"),
        pytest.param(10.0, 150.0, id="never less than half a window"),
        pytest.param(7680.0, 3600.0, id="never more than twelve windows"),
        pytest.param(None, 600.0, id="two windows where it does not tell"),
    ],
)
def test_an_engine_that_counts_late_may_be_silent_for(slowest: float | None, expected: float) -> None:
    assert patience(slowest) == pytest.approx(expected, abs=0.2)


def test_an_engine_that_counts_as_it_goes_is_not_asked() -> None:
    assert patience(900.0, live=True) == pytest.approx(150.0, abs=0.2)


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_slower_requests_never_shorten_the_patience(one: float, other: float) -> None:
    fast, slow = sorted((one, other))
    for still in (100.0, 149.0, 151.0, 700.0, 3599.0, 3601.0):
        if find_stuck(load(still, slow), window=WINDOW):
            assert find_stuck(load(still, fast), window=WINDOW)


def test_an_engine_without_requests_is_never_stuck() -> None:
    assert find_stuck(load(1e6, 1.0, running=0.0), window=WINDOW) == ()


BUSY, HUNG = pages_of(CAPTURES / "trtllm" / "plain")
SECONDS = 60
EVERY = 10
SETTINGS = "return_perf_metrics: true\nenable_iter_perf_stats: true\n"
COMMAND = f"cat > /c.yml <<EOF\n{SETTINGS}EOF\ntrtllm-serve m --config /c.yml --host 0.0.0.0"
_NUMBER = re.compile(rb"(trtllm_(?:prompt|generation)_tokens_total\{[^}]*\}) ([0-9.e+]+)")
_LATENCY = re.compile(rb'(trtllm_e2e_request_latency_seconds_bucket\{[^}]*le="([^"]+)"[^}]*\}) ([0-9.]+)')


@dataclass(frozen=True)
class Story:
    """A server that works for two minutes and then hangs; when the judge first said so, None if never."""

    alter: Callable[[bytes], bytes] = bytes
    silent: int = 200

    def stalled_after(self) -> int | None:
        server = Server("server", COMMAND, (b"", b""), 2, 8000)
        pool = {
            "apiVersion": "tokenfactory.dev/v1alpha1",
            "kind": "InferencePool",
            "metadata": {"name": "pool", "namespace": "serving", "uid": "u", "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "pool"}}, "windowSeconds": SECONDS},
        }
        results = Replay([pool], [pod_of(0, server)], interval=EVERY).run(list(self._frames()))
        for result in results:
            reasons = {item["type"]: item["reason"] for item in result.status["conditions"]}
            if reasons["DenominatorHealthy"] == "EngineStalled":
                return int(result.at - 1000 - 2 * SECONDS)
        return None

    def _frames(self) -> Iterator[Frame]:
        for at in range(0, 2 * SECONDS + self.silent, EVERY):
            page = self.alter(_advance(HUNG, min(at, 2 * SECONDS)))
            yield Frame(1000.0 + at, {"server_8000": SavedPage(page, 1000.0 + at)})


def _advance(page: bytes, seconds: int) -> bytes:
    return _NUMBER.sub(lambda found: b"%b %f" % (found[1], float(found[2]) + 50.0 * seconds), page)


def without_latency(page: bytes) -> bytes:
    return b"".join(line for line in page.splitlines(keepends=True) if b"e2e_request" not in line)


def slow(page: bytes) -> bytes:
    """Every request took between one and two minutes."""
    return _LATENCY.sub(lambda m: m[1] + (b" 510" if m[2] in LONG else b" 0"), page)


LONG = (b"120.0", b"240.0", b"480.0", b"960.0", b"1920.0", b"7680.0", b"+Inf")


def few(page: bytes) -> bytes:
    return _LATENCY.sub(lambda m: m[1] + (b" 99" if float(m[3]) else b" 0"), page)


def test_requests_on_the_captured_page_are_still_running() -> None:
    assert re.search(rb"\ntrtllm_num_requests_running\{[^}]*\} [1-9]", HUNG)
    assert BUSY != HUNG


@pytest.mark.parametrize(
    ("story", "least", "most"),
    [
        pytest.param(Story(), 30, 50, id="requests of 18 s at most: twice that"),
        pytest.param(Story(without_latency), 120, 130, id="no histogram: two windows"),
        pytest.param(Story(few), 120, 130, id="fewer than a hundred requests: two windows"),
        pytest.param(replace(Story(slow), silent=300), 230, 250, id="requests of two minutes: twice that"),
    ],
)
def test_a_hung_engine_is_found_as_its_own_requests_allow(story: Story, least: int, most: int) -> None:
    after = story.stalled_after()
    assert after is not None
    assert least <= after <= most
