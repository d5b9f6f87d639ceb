"""Pages beside the engines through the whole line: read, compared with them, evidence, never added.

Dynamo's frontend for latency and a cross-check; LMCache's server for offloading.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.golden.replay.test_captured_engines import ENGINES, SECONDS, pages_of, pod_of, row_of
from tests.golden.replay.test_captured_engines import Server as Engine
from tokenfactory.runtime.files import Frame, SavedPage
from tokenfactory.runtime.offline import Replay

Pages = tuple[bytes, bytes]
AGGREGATED = ENGINES / "dynamo" / "agg-round-robin-2workers"
FRONTEND = pages_of(AGGREGATED / "frontend")
OUTPUT, INPUT = 55_778, 231_701
"""What the captured frontend counted between its two pages."""

POOL = {
    "apiVersion": "tokenfactory.dev/v1alpha1",
    "kind": "InferencePool",
    "metadata": {"name": "pool", "namespace": "serving", "uid": "u", "generation": 1},
    "spec": {
        "selector": {"matchLabels": {"app": "pool"}},
        "windowSeconds": 120,
        "price": {"perGPUHour": "2"},
    },
}


@dataclass(frozen=True)
class Seen:
    """The last status and the last explanation."""

    status: dict[str, Any]
    explained: dict[str, Any]

    def causes(self) -> list[str]:
        return [finding["cause"] for finding in self.status.get("findings", [])]

    def figure(self, name: str) -> dict[str, Any]:
        return next(row for row in self.explained["figures"] if row["name"] == name)


def worker(name: str, *, output: int, command: str = "python3 -m dynamo.vllm --model m") -> Engine:
    """A worker whose engine made so many tokens in the minute; its engine's counters are written here."""
    own = b'dynamo_component_requests_total{dynamo_endpoint="generate"} 7\n'
    page = b"vllm:prompt_tokens_total 0\nvllm:generation_tokens_total %d\n"
    return Engine(
        name, f"DYN_SYSTEM_PORT=9090 {command}", (own + page % 5, own + page % (5 + output)), 1, 9090
    )


def frontend(pages: Pages = FRONTEND, *, name: str = "frontend") -> Engine:
    return Engine(name, "python3 -m dynamo.frontend --http-port 8000", pages, 0, 8000)


def look(*servers: Engine, frames: int = 2, nodes: tuple[str, ...] = ()) -> Seen:
    objects = [pod_of(at, server) for at, server in enumerate(servers)]
    for body, node in zip(objects, nodes, strict=False):
        body["spec"]["nodeName"] = node
    shown = [
        Frame(
            1000.0 + SECONDS * moment,
            {
                f"{server.name}_{server.port}": SavedPage(
                    server.pages[min(moment, 1)], 1000.0 + SECONDS * moment
                )
                for server in servers
                if server.pages[min(moment, 1)]
            },
        )
        for moment in range(frames)
    ]
    replay = Replay([POOL], objects, interval=SECONDS)
    status = dict(replay.run(shown)[-1].status)
    return Seen(status, next(iter(replay.explain().values())))


def quantile_of(family: str, share: float) -> float:
    """histogram_quantile over what the captured frontend gained, read by prometheus_client."""
    before, after = (
        {
            float(sample.labels["le"]): sample.value
            for metric in text_string_to_metric_families(page.decode())
            if metric.name == family
            for sample in metric.samples
            if sample.name.endswith("_bucket")
        }
        for page in FRONTEND
    )
    gains = sorted((bound, after[bound] - before[bound]) for bound in after)
    rank, lower, below = share * gains[-1][1], 0.0, 0.0
    for bound, count in gains:
        if count >= rank:
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    raise AssertionError("no observation")


PAIR = (worker("worker-0", output=OUTPUT // 2), worker("worker-1", output=OUTPUT // 2))


def test_a_frontend_adds_no_token_no_gpu_and_no_replica() -> None:
    alone, beside = look(*PAIR), look(*PAIR, frontend())
    for name in ("cost", "gpus"):
        assert beside.status[name] == alone.status[name]
    assert beside.status["throughput"] == alone.status["throughput"]
    assert beside.status["serving"]["replicas"] == 2
    assert beside.status["serving"]["coverage"] == "2/2"
    assert beside.status["serving"]["engine"] == alone.status["serving"]["engine"]
    assert beside.explained["inputs"] == alone.explained["inputs"]
    assert beside.explained["pods"] == alone.explained["pods"]


def test_an_explanation_shows_what_the_frontend_counted_apart() -> None:
    row = look(*PAIR, frontend()).explained["beside"][0]
    assert (row["pod"], row["kind"], row["models"]) == ("frontend", "dynamo-frontend", 1)
    assert row["counted"] == {
        "cachedInputTokens": "144640.0",
        "inputTokens": f"{INPUT}.0",
        "outputTokens": f"{OUTPUT}.0",
        "requests": "453.0",
    }


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("timeToFirstTokenSeconds", "dynamo_frontend_time_to_first_token_seconds"),
        ("interTokenLatencySeconds", "dynamo_frontend_inter_token_latency_seconds"),
    ],
)
def test_latency_is_what_clients_see_where_a_frontend_tells(name: str, family: str) -> None:
    seen = look(*PAIR, frontend())
    for quantile, share in (("p50", 0.5), ("p99", 0.99)):
        figure = seen.figure(f"latency.{name}.{quantile}")
        assert float(figure["value"]) == pytest.approx(quantile_of(family, share))
        assert figure["source"].startswith("frontend histogram")


def test_a_frontend_that_counts_what_the_workers_count_is_no_finding() -> None:
    seen = look(*PAIR, frontend())
    assert seen.explained["frontends"] == "agree"
    assert "FrontendsDisagree" not in seen.causes()


@pytest.mark.parametrize(
    ("output", "says", "word"),
    [
        pytest.param(OUTPUT // 3, "frontends-count-more", "not selected", id="workers that are not selected"),
        pytest.param(OUTPUT, "frontends-count-less", "other frontends", id="workers that others use, too"),
    ],
)
def test_output_that_differs_by_more_than_a_twentieth_is_a_finding(output: int, says: str, word: str) -> None:
    seen = look(worker("worker-0", output=output), worker("worker-1", output=output // 4), frontend())
    assert seen.explained["frontends"] == says
    finding = next(item for item in seen.status["findings"] if item["cause"] == "FrontendsDisagree")
    assert word in finding["message"]
    assert not any(letter.isdigit() for letter in finding["message"])


def _second_model(page: bytes) -> bytes:
    return page + b'dynamo_frontend_output_tokens_total{model="another/model"} 7\n'


def test_a_frontend_of_two_models_is_neither_compared_nor_asked_for_latency() -> None:
    both = (_second_model(FRONTEND[0]), _second_model(FRONTEND[1]))
    seen = look(worker("worker-0", output=OUTPUT // 3), frontend(both))
    assert seen.explained["frontends"] == "not-compared"
    assert "absent" in seen.figure("latency.timeToFirstTokenSeconds.p50")
    assert seen.explained["beside"][0]["models"] == 2


@pytest.mark.parametrize("broken", [0, 1], ids=["never read", "lost"])
def test_a_frontend_that_was_not_read_for_the_whole_window_is_not_compared(broken: int) -> None:
    pages = (b"", b"") if broken == 0 else (FRONTEND[0], b"")
    seen = look(
        worker("worker-0", output=OUTPUT // 3), frontend(), replace(frontend(), name="other", pages=pages)
    )
    assert seen.explained["frontends"] == "not-compared"
    assert "FrontendsDisagree" not in seen.causes()
    assert seen.status["serving"]["coverage"] == "1/1"


def test_workers_that_count_at_the_end_of_a_request_are_not_compared() -> None:
    page = (
        b"trtllm_request_success_total 1\ntrtllm_prompt_tokens_total 0\ntrtllm_generation_tokens_total %d\n"
    )
    own = b'dynamo_component_requests_total{dynamo_endpoint="generate"} 7\n'
    command = "DYN_SYSTEM_PORT=9090 python3 -m dynamo.trtllm --model m --publish-metrics"
    late = Engine("worker-0", command, (own + page % 5, own + page % 10_005), 1, 9090)
    assert look(late, frontend()).explained["frontends"] == "not-compared"


def test_a_frontend_does_not_stand_in_for_workers_that_count_no_tokens() -> None:
    mocker = pages_of(AGGREGATED / "worker-0")
    silent = Engine("worker-0", "DYN_SYSTEM_PORT=9090 python3 -m dynamo.vllm --model m", mocker, 1, 9090)
    seen = look(silent, frontend())
    assert "perMillionTokens" not in seen.status["cost"]
    assert "throughput" not in seen.status
    assert seen.figure("throughput.outputTokensPerSecond")["absent"] == "NotScraped"


def test_little_traffic_is_not_compared() -> None:
    quiet = (FRONTEND[1], FRONTEND[1])
    assert look(worker("worker-0", output=5_000), frontend(quiet)).explained["frontends"] == "not-compared"


def test_a_pool_without_a_frontend_says_nothing_of_one() -> None:
    seen = look(*PAIR)
    assert seen.explained["beside"] == []
    assert seen.explained["frontends"] == "not-compared"


STORE = pages_of(ENGINES / "lmcache" / "server")
FOUND = 153_600
KV = "KVCacheOffloading"
CONNECTOR = '{"kv_connector":"LMCacheMPConnector","kv_role":"kv_both"}'


def offloading(name: str = "engine-0", *, hits: int | None = None, prompts: int = 512_000) -> Engine:
    """A vLLM that keeps its blocks in LMCache's server; its own page has its connector's hits at most."""
    page = b"vllm:prompt_tokens_total %d\nvllm:generation_tokens_total %d\n"
    own = b"" if hits is None else b"vllm:external_prefix_cache_hits_total %d\n"
    before = page % (5, 5) + (own % 0 if own else b"")
    after = page % (5 + prompts, 20_005) + (own % (hits or 0) if own else b"")
    return Engine(name, f"vllm serve m --kv-transfer-config '{CONNECTOR}'", (before, after), 1, 8000)


def store(pages: Pages = STORE) -> Engine:
    command = "lmcache server --l1-size-gb 60 --eviction-policy LRU --http-host 0.0.0.0"
    return Engine("lmcache-abc", command, pages, 0, 8080)


def without(family: bytes, page: bytes) -> bytes:
    return b"".join(line for line in page.splitlines(keepends=True) if family not in line)


def test_what_an_engine_can_not_count_the_cache_server_of_its_node_proves() -> None:
    alone, both = look(offloading()), look(offloading(), store())
    assert row_of(alone.status, KV)["state"] == "Unverifiable"
    assert "LMCache server" in row_of(alone.status, KV)["evidence"]
    row = row_of(both.status, KV)
    assert (row["state"], row["replicas"]) == ("Active", "1/1")
    assert row["observed"] == "hitShare=0.3"
    assert "cache server" in row["evidence"]
    assert pytest.approx(FOUND / 512_000) == 0.3


def test_a_cache_server_is_no_engine_holds_no_gpu_and_adds_no_token() -> None:
    alone, both = look(offloading()), look(offloading(), store())
    for name in ("cost", "gpus", "throughput", "serving"):
        assert both.status[name] == alone.status[name]
    assert both.explained["pods"] == alone.explained["pods"]
    (row,) = both.explained["beside"]
    assert row["counted"] == {
        "chunksLoaded": "600.0",
        "chunksStored": "1000.0",
        "tokensFound": f"{FOUND}.0",
    }


def test_blocks_that_a_cache_server_keeps_and_nobody_takes_back_are_ineffective() -> None:
    pages = tuple(without(b"lookup_hit", without(b"chunks_loaded", page)) for page in STORE)
    row = row_of(look(offloading(), store((pages[0], pages[1]))).status, KV)
    assert row["state"] == "Ineffective"
    assert "never loaded" in row["evidence"]


def test_an_engine_that_took_nothing_itself_is_not_proven_by_its_neighbours_use_of_the_server() -> None:
    row = row_of(look(offloading(hits=40_000), offloading("engine-1", hits=0), store()).status, KV)
    assert (row["state"], row["replicas"]) == ("Partial", "1/2")


def test_a_cache_server_of_another_node_proves_nothing_here() -> None:
    seen = look(offloading(), store(), nodes=("node-a", "node-b"))
    assert row_of(seen.status, KV)["state"] == "Unverifiable"


def test_a_cache_server_that_is_not_read_leaves_the_engine_to_its_own_page() -> None:
    assert row_of(look(offloading(), store((b"", b""))).status, KV)["state"] == "Unverifiable"
    assert row_of(look(offloading(hits=40_000), store((b"", b""))).status, KV)["state"] == "Active"


def test_an_engine_that_was_not_told_to_use_the_server_is_not_proven_by_it() -> None:
    page = b"vllm:prompt_tokens_total %d\nvllm:generation_tokens_total %d\n"
    plain = Engine("engine-0", "vllm serve m", (page % (5, 5), page % (512_005, 20_005)), 1, 8000)
    assert row_of(look(plain, store()).status, KV)["state"] == "Missing"
