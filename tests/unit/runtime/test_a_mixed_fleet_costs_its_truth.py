"""Four kinds of pools through `tokenfactory once`, against what each truly costs, uses and makes.

vLLM on 8 H200, a disaggregated Dynamo pair on 4 GB300, SGLang with HiCache, and slices of a MIG node. In the
window: a restart, lost scrapes of engines and of an exporter, and vanished pods (docs/cost-model.md §1).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.mixed_fleet import (
    NAMESPACE,
    Board,
    Server,
    dynamo_page,
    exporter_page,
    sglang_page,
    truth,
    vllm_page,
)
from tests.support.story import Figures, Run, figures_of, off_by
from tokenfactory.sandbox.objects import GpuNode
from tokenfactory.sandbox.workload import Workload

STEP, WINDOW = 6.0, 60
BEGAN = 1_795_000_000.0
TIMES = tuple(BEGAN + STEP * number for number in range(21))
LAST = (108.0, 114.0, 120.0)
H200_PRICE, GB300_PRICE = 1.41, 2.652
LONG_UP = Run(BEGAN - 3500, BEGAN - 3400)

LLAMA = Workload(
    model="llama-3.3-70b",
    uncached_input=1900.0,
    cached_input=540.0,
    output=830.0,
    requests=3.1,
    concurrency=21.0,
)
# The decode side sees every prompt as cached, for it came from the prefill side.
R1_DECODE = Workload(model="deepseek-r1", cached_input=13600.0, output=4100.0, requests=4.2, concurrency=96.0)
R1_PREFILL = Workload(
    model="deepseek-r1", uncached_input=9800.0, cached_input=3800.0, output=4.2, requests=4.2, concurrency=1.0
)
# The capture's own pace: 900,415 prompt tokens, 404,864 of them cached, and 52,500 generated in 60 s.
HICACHE = Workload(model="llama-70b", uncached_input=495551 / 60, cached_input=404864 / 60, output=52500 / 60)
SMALL = Workload(
    model="qwen3-1.7b", uncached_input=310.0, cached_input=40.0, output=95.0, requests=1.3, concurrency=2.0
)

H200 = GpuNode(name="h200", product="NVIDIA-H200", gpus=8, exporter_ip="10.0.1.1")
GB300 = GpuNode(name="gb300", product="NVIDIA-GB300", gpus=4, exporter_ip="10.0.1.2")
CACHING = GpuNode(name="caching", product="NVIDIA-H200", gpus=2, exporter_ip="10.0.1.3")
SLICED = GpuNode(name="sliced", product="NVIDIA-H200", gpus=2, exporter_ip="10.0.1.4")
NODES = (H200, GB300, CACHING, SLICED)

VLLM = {"image": "vllm/vllm-openai:v0.32.0", "args": ["--model", "m"], "ports": [{"containerPort": 8000}]}
SGLANG = {
    "image": "lmsysorg/sglang:v0.5.23",
    "command": ["python3", "-m", "sglang.launch_server"],
    "args": [
        "--model-path",
        "m",
        "--tp",
        "2",
        "--enable-metrics",
        "--enable-hierarchical-cache",
        "--port",
        "30000",
    ],
}


def dynamo(*arguments: str) -> dict[str, Any]:
    return {
        "image": "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1",
        "command": ["python3", "-m", "dynamo.vllm"],
        "args": ["--model", "deepseek-ai/DeepSeek-R1", *arguments],
        "env": [{"name": "DYN_SYSTEM_PORT", "value": "9090"}],
    }


def llama(number: int, **more: Any) -> Server:
    return Server(
        pool="llama-vllm",
        name=f"llama-{number}",
        node=H200.name,
        ip=f"10.0.0.{number + 1}",
        workload=LLAMA,
        created=BEGAN - 3600,
        runs=[LONG_UP],
        gpus=4.0,
        price=H200_PRICE,
        watts=540.0,
        limits={"nvidia.com/gpu": "4"},
        container=VLLM,
        tells=vllm_page(LLAMA),
        **more,
    )


def half(role: str, number: int, workload: Workload, **more: Any) -> Server:
    return Server(
        pool="r1-dynamo",
        name=f"r1-{role}",
        node=GB300.name,
        ip=f"10.0.0.{number}",
        workload=workload,
        created=BEGAN - 3600,
        gpus=2.0,
        price=GB300_PRICE,
        watts=980.0,
        limits={"nvidia.com/gpu": "2"},
        container=dynamo("--disaggregation-mode", role),
        labels={
            "nvidia.com/dynamo-graph-deployment-name": "r1",
            "nvidia.com/dynamo-sub-component-type": role,
        },
        tells=dynamo_page(workload, role),
        port=9090,
        **more,
    )


def embedder(number: int, **more: Any) -> Server:
    return Server(
        pool="small-mig",
        name=f"small-{number}",
        node=SLICED.name,
        ip=f"10.0.0.{30 + number}",
        workload=SMALL,
        created=BEGAN - 3600,
        runs=[LONG_UP],
        gpus=1 / 7,
        price=H200_PRICE,
        watts=402.7,
        limits={"nvidia.com/mig-1g.18gb": "1"},
        container=VLLM,
        tells=vllm_page(SMALL),
        instance=str(7 + number),
        **more,
    )


def tell() -> list[Server]:
    """The decode worker is killed at 79 s and serves again at 97 s; a vLLM pod and a slice vanish."""
    restarted = [Run(BEGAN - 3500, BEGAN - 3400, ended=BEGAN + 79), Run(BEGAN + 81, BEGAN + 97)]
    caching = Server(
        pool="llama-sglang",
        name="caching-0",
        node=CACHING.name,
        ip="10.0.0.20",
        workload=HICACHE,
        created=BEGAN - 3600,
        runs=[LONG_UP],
        gpus=2.0,
        price=H200_PRICE,
        watts=610.0,
        limits={"nvidia.com/gpu": "2"},
        container=SGLANG,
        tells=sglang_page,
        port=30000,
    )
    return [
        llama(0),
        llama(1, deleted=BEGAN + 85),
        half("prefill", 10, R1_PREFILL, runs=[LONG_UP], counted=False),
        half("decode", 11, R1_DECODE, runs=restarted),
        caching,
        *(embedder(number) for number in range(4)),
        embedder(4, deleted=BEGAN + 91),
    ]


POOLS = ("llama-vllm", "r1-dynamo", "llama-sglang", "small-mig")
LOST = {("llama-0", 96.0), ("caching-0", 90.0), ("r1-prefill", 84.0), ("small-2", 102.0), ("gb300", 102.0)}


def boards(servers: list[Server], node: GpuNode, now: float) -> list[Board]:
    """Every GPU of the node with its holder; of the sliced one seven instances and a stranger's GPU."""
    here = [server for server in servers if server.node == node.name and server.exists(now)]
    if node is SLICED:
        slices = {server.instance: server.name for server in here}
        found = [
            Board(node=node, index=0, watts=402.7, instance=str(i), pod=slices.get(str(i), ""))
            for i in range(7, 14)
        ]
        return [*found, Board(node=node, index=1, watts=533.0, pod="solo", namespace="others")]
    shown: list[Board] = []
    for server in (item for item in servers if item.node == node.name):
        pod = server.name if server.exists(now) else ""
        shown += [
            Board(node=node, index=len(shown) + number, watts=server.watts, pod=pod)
            for number in range(round(server.gpus))
        ]
    return shown


def frontend() -> dict[str, Any]:
    """Dynamo's frontend repeats what the workers made; it has no GPU and is selected like them."""
    made = {
        "image": "nvcr.io/nvidia/ai-dynamo/dynamo-frontend:1.6.1",
        "command": ["python3", "-m", "dynamo.frontend"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "r1-frontend",
            "namespace": NAMESPACE,
            "uid": "f",
            "labels": {"app": "r1-dynamo"},
        },
        "spec": {
            "nodeName": "cpu",
            "containers": [{"name": "main", **made, "ports": [{"containerPort": 8000}]}],
        },
        "status": {"phase": "Running", "podIP": "10.0.0.99"},
    }


def objects(servers: list[Server], now: float) -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = [frontend()]
    for node in NODES:
        bodies += [node.body(), {**node.exporter(), "status": node.exporter_status()}]
    return bodies + [server.body(now) for server in servers if server.exists(now)]


def resources() -> list[dict[str, Any]]:
    prices = [("NVIDIA-H200", H200_PRICE), ("NVIDIA-GB300", GB300_PRICE)]
    factory = {
        "prices": [
            {
                "match": {"gpuProduct": name},
                "perGPUHour": str(price),
                "source": "contract",
                "asOf": "2026-11-01",
            }
            for name, price in prices
        ],
        "telemetry": {"scrapeIntervalSeconds": int(STEP), "dcgm": {"sampleIntervalSeconds": 1}},
    }
    bodies: list[dict[str, Any]] = [
        {
            "apiVersion": "tokenfactory.dev/v1alpha1",
            "kind": "TokenFactory",
            "metadata": {"name": "default"},
            "spec": factory,
        }
    ]
    bodies += [
        {
            "apiVersion": "tokenfactory.dev/v1alpha1",
            "kind": "InferencePool",
            "metadata": {"name": pool, "namespace": NAMESPACE},
            "spec": {"selector": {"matchLabels": {"app": pool}}, "windowSeconds": WINDOW},
        }
        for pool in POOLS
    ]
    return bodies


def write(folder: Path, servers: list[Server]) -> None:
    (folder / "pools.yaml").write_text(yaml.safe_dump_all(resources()))
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects(servers, BEGAN)))
    for at in TIMES:
        frame = folder / "metrics" / str(int(at))
        frame.mkdir(parents=True)
        (frame / "objects.yaml").write_text(yaml.safe_dump_all(objects(servers, at)))
        (frame / "r1-frontend_8000.prom").write_text(vllm_page(R1_DECODE)(at - BEGAN))
        for server in servers:
            if server.serves(at) and (server.name, at - BEGAN) not in LOST:
                (frame / f"{server.name}_{server.port}.prom").write_text(server.page(at))
                server.scrapes.append(at)
        for node in NODES:
            if (node.name, at - BEGAN) not in LOST:
                page = exporter_page(boards(servers, node, at), elapsed=at - BEGAN)
                (frame / f"{node.name}_dcgm.prom").write_text(page)


def once(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tokenfactory.cli.main", "once", "-o", "jsonl"),
            *("-f", str(folder / "pools.yaml"), "--objects", str(folder / "objects.yaml")),
            *("--metrics", str(folder / "metrics")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


Told = tuple[list[Server], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder, servers = tmp_path_factory.mktemp("mixed"), tell()
    write(folder, servers)
    return servers, once(folder)


def seen(told: Told, pool: str, seconds: float) -> dict[str, Any]:
    return next(doc for doc in told[1] if doc["name"] == pool and doc["t"] == BEGAN + seconds)


def true_of(told: Told, pool: str, seconds: float) -> Figures:
    servers = [server for server in told[0] if server.pool == pool]
    return truth(servers, BEGAN + seconds - WINDOW, BEGAN + seconds, cycles=TIMES)


@pytest.mark.parametrize(
    "figure", ["dollars_per_million", "tokens_per_second_per_gpu", "dollars_per_hour", "watts"]
)
@pytest.mark.parametrize("seconds", LAST, ids=lambda moment: f"{moment:.0f}s")
@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_is_within_half_a_percent_of_its_truth(
    told: Told, pool: str, seconds: float, figure: str
) -> None:
    found = getattr(figures_of(seen(told, pool, seconds)), figure)
    true = getattr(true_of(told, pool, seconds), figure)
    assert off_by(found, true) <= 0.005, f"{found:.6g}, truth {true:.6g}, off by {off_by(found, true):.3%}"


def test_the_fleet_as_a_whole_is_within_half_a_percent(told: Told) -> None:
    """Σ cost over Σ tokens of the four pools, from the figures shown and from the truth."""

    def whole(parts: list[Figures]) -> float:
        dollars = [part.dollars_per_hour for part in parts]
        millions = [part.dollars_per_hour / part.dollars_per_million for part in parts]
        return sum(dollars) / sum(millions)

    shown = whole([figures_of(seen(told, pool, 120.0)) for pool in POOLS])
    assert off_by(shown, whole([true_of(told, pool, 120.0) for pool in POOLS])) <= 0.005


def test_the_events_of_the_story_change_the_truth_by_more_than_the_tolerance(told: Told) -> None:
    """Guards the tests above: had nothing happened, these pools would cost something else."""
    quiet = tell()
    for server in quiet:
        server.deleted, server.runs = float("inf"), [LONG_UP]
    for pool in ("llama-vllm", "r1-dynamo", "small-mig"):
        unmoved = truth(
            [server for server in quiet if server.pool == pool], BEGAN + 48, BEGAN + 108, cycles=TIMES
        )
        true = true_of(told, pool, 108.0)
        assert (
            max(
                off_by(true.dollars_per_million, unmoved.dollars_per_million),
                off_by(true.watts, unmoved.watts),
            )
            > 0.02
        ), pool


@pytest.mark.parametrize(
    ("pool", "held"), [("llama-vllm", 4.0), ("r1-dynamo", 4.0), ("llama-sglang", 2.0), ("small-mig", 4 / 7)]
)
def test_the_gpus_held_at_the_end(told: Told, pool: str, held: float) -> None:
    assert float(seen(told, pool, 120.0)["status"]["gpus"]["held"]) == pytest.approx(held, rel=0.001)


def test_the_pair_has_two_roles_and_its_frontend_none(told: Told) -> None:
    roles = seen(told, "r1-dynamo", 120.0)["status"]["serving"]["roles"]
    assert {role["name"]: (role["replicas"], role["gpus"]) for role in roles} == {
        "prefill": (1, "2"),
        "decode": (1, "2"),
    }


def test_the_host_cache_of_sglang_is_seen_to_work(told: Told) -> None:
    rows = seen(told, "llama-sglang", 120.0)["status"]["optimizations"]
    assert {row["name"]: row["state"] for row in rows}["KVCacheOffloading"] == "Active"
