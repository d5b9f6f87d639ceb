"""A disaggregated pair of TensorRT-LLM outside of Dynamo, through the whole line on files.

Who has which role stands in the orchestrator's file alone, and what was handed over on its page alone. The
engines' pages are captures re-typed from their source; the orchestrator's is written as its code writes it
(serve/perf_metrics.py under prometheus_client's multiprocess mode).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.golden.replay.test_captured_engines import ENGINES, SECONDS, pages_of, pod_of, row_of
from tests.golden.replay.test_captured_engines import Server as Engine
from tokenfactory.runtime.files import Frame, SavedPage
from tokenfactory.runtime.offline import Replay

PAGES = pages_of(ENGINES / "trtllm" / "plain")
RATE = 1108.47
PD = "DisaggregatedServing"
ORCHESTRATOR = b"""\
# HELP total_requests_total Multiprocess metric
# TYPE total_requests_total counter
total_requests_total %(gen)d.0
# HELP ctx_total_requests_total Multiprocess metric
# TYPE ctx_total_requests_total counter
ctx_total_requests_total %(ctx)d.0
# HELP ctx_completed_requests_total Multiprocess metric
# TYPE ctx_completed_requests_total counter
ctx_completed_requests_total %(ctx)d.0
# HELP gen_completed_requests_total Multiprocess metric
# TYPE gen_completed_requests_total counter
gen_completed_requests_total %(gen)d.0
"""
CONFIG = (
    "cat > /c.yml <<EOF\nreturn_perf_metrics: true\ncache_transceiver_config: {{backend: DEFAULT}}\nEOF\n"
    "trtllm-serve m --config /c.yml --host 0.0.0.0 --port {port}"
)
FILE = """\
port: 8000
context_servers: {{num_instances: 1, urls: ['{ctx}']}}
generation_servers: {{num_instances: 1, urls: ['{gen}']}}
"""
BY_NAME = {"ctx": "ctx-0.ctx:8001", "gen": "http://gen-0.gen.serving.svc.cluster.local:8002"}
BY_ADDRESS = {"ctx": "10.0.0.5:8001", "gen": "10.0.0.6:8002"}
BY_SERVICE = {"ctx": "ctx:8001", "gen": "gen:8002"}


def orchestrator_page(ctx: int, gen: int) -> bytes:
    return ORCHESTRATOR % {b"ctx": ctx, b"gen": gen}


def look(
    urls: dict[str, str], *, ctx: int = 300, gen: int = 300, orchestrated: bool = True, page: bool = True
) -> dict[str, Any]:
    servers = [
        Engine("ctx-0", CONFIG.format(port=8001), PAGES, 1, 8001),
        Engine("gen-0", CONFIG.format(port=8002), PAGES, 1, 8002),
    ]
    if orchestrated:
        pages = (orchestrator_page(7, 7), orchestrator_page(7 + ctx, 7 + gen)) if page else (b"", b"")
        servers.append(Engine("router", "exec trtllm-serve disaggregated -c /c/d.yaml", pages, 0, 8000))
    objects: list[dict[str, Any]] = [pod_of(at, server) for at, server in enumerate(servers)]
    if orchestrated:
        spec = objects[-1]["spec"]
        spec["volumes"] = [{"name": "c", "configMap": {"name": "orders"}}]
        spec["containers"][0]["volumeMounts"] = [{"name": "c", "mountPath": "/c"}]
    text = FILE.format(**urls)
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "orders", "namespace": "serving"},
        "data": {"d.yaml": text},
    }
    pool = {
        "apiVersion": "tokenfactory.dev/v1alpha1",
        "kind": "InferencePool",
        "metadata": {"name": "pool", "namespace": "serving", "uid": "u", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "pool"}}, "windowSeconds": 60},
    }
    frames = [
        Frame(
            1000.0 + SECONDS * moment,
            {
                f"{item.name}_{item.port}": SavedPage(item.pages[moment], 1000.0 + SECONDS * moment)
                for item in servers
                if item.pages[moment]
            },
        )
        for moment in (0, 1)
    ]
    return dict(Replay([pool], [*objects, config], interval=SECONDS).run(frames)[-1].status)


def roles_of(status: dict[str, Any]) -> dict[str, int]:
    return {role["name"]: role["replicas"] for role in status["serving"]["roles"]}


@pytest.mark.parametrize("urls", [BY_NAME, BY_ADDRESS], ids=["by the names of pods", "by their addresses"])
def test_the_file_of_the_orchestrator_gives_the_roles_and_tokens_count_once(urls: dict[str, str]) -> None:
    status = look(urls)
    assert roles_of(status) == {"prefill": 1, "decode": 1}
    assert float(status["throughput"]["outputTokensPerSecond"]) == pytest.approx(RATE, rel=5e-4)
    assert float(status["gpus"]["held"]) == 2
    assert status["serving"]["replicas"] == 2


def test_the_page_of_the_orchestrator_proves_the_pair() -> None:
    row = row_of(look(BY_NAME), PD)
    assert (row["state"], row["replicas"]) == ("Active", "2/2")
    assert "handed over" in row["evidence"]


def test_an_orchestrator_that_sends_nothing_to_prefill_makes_the_pair_ineffective() -> None:
    row = row_of(look(BY_NAME, ctx=0), PD)
    assert row["state"] == "Ineffective"
    assert "no prefill server" in row["evidence"]


def test_an_orchestrator_whose_page_is_not_read_gives_roles_and_no_proof() -> None:
    status = look(BY_NAME, page=False)
    assert roles_of(status) == {"prefill": 1, "decode": 1}
    row = row_of(status, PD)
    assert row["state"] == "Unverifiable"
    assert "orchestrator" in row["evidence"]


def test_names_of_services_give_no_role_because_services_are_not_read() -> None:
    status = look(BY_SERVICE)
    assert roles_of(status) == {"aggregated": 2}
    assert row_of(status, PD)["state"] == "Missing"


def test_without_the_orchestrators_pod_in_the_pool_nobody_says_a_role() -> None:
    assert roles_of(look(BY_NAME, orchestrated=False)) == {"aggregated": 2}
