"""Captured engines through the whole line: tokens, GPUs and the verdict that each capture should get.

The expected values are the table of captures/engines/README.md; every page pair is 60 seconds apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tokenfactory.runtime.files import Frame, SavedPage
from tokenfactory.runtime.offline import Replay

CAPTURES = Path(__file__).parents[1] / "captures"
ENGINES = CAPTURES / "engines"
SECONDS = 60.0
SGLANG = "python3 -m sglang.launch_server --model-path m --enable-metrics --host 0.0.0.0"
SETTINGS = "return_perf_metrics: true\nenable_iter_perf_stats: true\n"
FP4_MODEL = "nvidia/DeepSeek-R1-0528-FP4-v2"


@dataclass(frozen=True)
class Server:
    """One pod: its command, GPUs, port and its two pages."""

    name: str
    command: str
    pages: tuple[bytes, bytes]
    gpus: int = 1
    port: int = 30000
    labels: Mapping[str, str] = field(default_factory=dict)


def pages_of(folder: Path, names: tuple[str, str] = ("t0.prom", "t60.prom")) -> tuple[bytes, bytes]:
    return (folder / names[0]).read_bytes(), (folder / names[1]).read_bytes()


def sglang(case: str, more: str = "", *, gpus: int = 1, name: str = "server") -> Server:
    return Server(name, f"{SGLANG} {more}", pages_of(ENGINES / "sglang" / case), gpus)


def trtllm(case: str, settings: str = "", *, gpus: int = 1, model: str = "m") -> Server:
    script = (
        f"cat > /c.yml <<EOF\n{SETTINGS}{settings}EOF\ntrtllm-serve {model} --config /c.yml --host 0.0.0.0"
    )
    return Server("server", script, pages_of(ENGINES / "trtllm" / case), gpus, 8000)


def vllm(case: str, more: str, *, name: str = "server") -> Server:
    pages = pages_of(CAPTURES / "vllm-0.32.0" / case, ("metrics-before.prom", "metrics-after.prom"))
    return Server(name, f"vllm serve tiny {more}", pages, 1, 8000)


def status_of(*servers: Server, capability: int = 10, product: str = "NVIDIA-B200") -> dict[str, Any]:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "node-a",
            "labels": {
                "nvidia.com/gpu.product": product,
                "nvidia.com/gpu.count": "8",
                "nvidia.com/gpu.compute.major": str(capability),
            },
        },
    }
    pool = {
        "apiVersion": "tokenfactory.dev/v1alpha1",
        "kind": "InferencePool",
        "metadata": {"name": "pool", "namespace": "serving", "uid": "u", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "pool"}}, "windowSeconds": 60},
    }
    objects = [node, *(pod_of(at, server) for at, server in enumerate(servers))]
    frames = [
        Frame(
            1000.0 + SECONDS * moment,
            {
                f"{server.name}_{server.port}": SavedPage(server.pages[moment], 1000.0 + SECONDS * moment)
                for server in servers
            },
        )
        for moment in (0, 1)
    ]
    results = Replay([pool], objects, interval=SECONDS).run(frames)
    return dict(results[-1].status)


def pod_of(at: int, server: Server) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": server.name,
            "namespace": "serving",
            "uid": f"uid-{server.name}",
            "labels": {"app": "pool", **server.labels},
            "creationTimestamp": "1970-01-01T00:00:10Z",
        },
        "spec": {
            "nodeName": "node-a",
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example/engine:1",
                    "command": ["bash", "-c", server.command],
                    "resources": {"limits": {"nvidia.com/gpu": str(server.gpus)}},
                }
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": f"10.0.0.{at + 5}",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {
                    "name": "main",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": "1970-01-01T00:00:20Z"}},
                }
            ],
        },
    }


def row_of(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in status["optimizations"] if row["name"] == name)


def output_rate(status: dict[str, Any]) -> float:
    return float(status["throughput"]["outputTokensPerSecond"])


SPEC, MTP, KV, FP4, PD = (
    "SpeculativeDecoding",
    "MultiTokenPrediction",
    "KVCacheOffloading",
    "FP4",
    "DisaggregatedServing",
)
EAGLE = "--speculative-algorithm EAGLE --speculative-draft-model-path d"
MTP_SETTINGS = "speculative_config:\n  decoding_type: MTP\n  max_draft_len: 3\n"
TABLE = {
    "SGLang, plain": (sglang("0.5.23-plain"), 909.2, {SPEC: "Missing", KV: "Missing", PD: "Missing"}, {}),
    "SGLang, EAGLE": (
        sglang("0.5.23-eagle-effective", EAGLE),
        1575.73,
        {SPEC: "Active"},
        {SPEC: "acceptanceLength=2.8"},
    ),
    "SGLang, EAGLE that nobody declared": (
        sglang("0.5.23-eagle-effective"),
        1575.73,
        {SPEC: "Active", MTP: "Missing"},
        {SPEC: "acceptanceLength=2.8"},
    ),
    "SGLang, a useless draft": (
        sglang("0.5.23-spec-useless", EAGLE),
        673.4,
        {SPEC: "Ineffective"},
        {SPEC: "acceptanceLength=1"},
    ),
    "SGLang 0.5.9, whose gauge alone tells": (
        sglang("0.5.9-eagle-effective", EAGLE),
        1575.73,
        {SPEC: "Active"},
        {SPEC: "acceptanceLength=2.8"},
    ),
    "SGLang, speculation declared and not running": (
        sglang("0.5.23-plain", EAGLE),
        909.2,
        {SPEC: "Ineffective"},
        {},
    ),
    "SGLang, HiCache": (
        sglang("0.5.23-hicache-effective", "--enable-hierarchical-cache", gpus=2),
        875.0,
        {KV: "Active"},
        {KV: "hitShare=0.26"},
    ),
    "TensorRT-LLM, plain": (trtllm("plain", gpus=2), 1108.47, {SPEC: "Missing", KV: "Missing"}, {}),
    "TensorRT-LLM, MTP": (
        trtllm("mtp-effective", MTP_SETTINGS, gpus=4, model=FP4_MODEL),
        2411.65,
        {MTP: "Active", SPEC: "Active", FP4: "Active"},
        {MTP: "acceptanceLength=3", SPEC: "method=mtp"},
    ),
    "TensorRT-LLM, MTP that only its info gauge tells": (
        trtllm("mtp-effective", gpus=4),
        2411.65,
        {MTP: "Active", SPEC: "Active", FP4: "Active"},
        {MTP: "acceptanceLength=3"},
    ),
    "TensorRT-LLM, host offload": (
        trtllm("host-offload-effective", "kv_cache_config:\n  host_cache_size: 1000000000\n", gpus=2),
        746.88,
        {KV: "Active"},
        {KV: "hitShare=0.3"},
    ),
    "TensorRT-LLM, FP4 on Blackwell": (trtllm("fp4-b200"), 1246.43, {FP4: "Active"}, {}),
}


@pytest.mark.parametrize(("server", "rate", "states", "observed"), TABLE.values(), ids=TABLE.keys())
def test_a_captured_engine_gets_the_rate_and_the_verdict_of_the_table(
    server: Server, rate: float, states: dict[str, str], observed: dict[str, str]
) -> None:
    status = status_of(server)
    assert output_rate(status) == pytest.approx(rate, rel=5e-4)
    assert float(status["gpus"]["held"]) == server.gpus
    assert {name: row_of(status, name)["state"] for name in states} == states
    assert {name: row_of(status, name).get("observed") for name in observed} == observed
    conditions = {item["type"]: item["reason"] for item in status["conditions"]}
    assert conditions["TelemetryHealthy"] == "DCGMMissing"


def test_fp4_weights_on_hopper_are_unsupported() -> None:
    status = status_of(trtllm("fp4-h100"), capability=9, product="NVIDIA-H100-80GB-HBM3")
    assert output_rate(status) == pytest.approx(586.07, rel=5e-4)
    assert row_of(status, FP4)["state"] == "Unsupported"


PAIR = (
    sglang("0.5.23-pd-prefill", "--disaggregation-mode prefill", name="prefill"),
    sglang("0.5.23-pd-decode", "--disaggregation-mode decode", name="decode"),
)


def test_a_pair_of_sglang_counts_its_tokens_once_over_both_gpus_and_is_proven() -> None:
    status = status_of(*PAIR)
    assert output_rate(status) == pytest.approx(1637.85, rel=5e-4)
    assert float(status["throughput"]["inputTokensPerSecond"]) == pytest.approx(624717 / 60, rel=5e-4)
    assert float(status["gpus"]["held"]) == 2
    row = row_of(status, PD)
    assert (row["state"], row["replicas"]) == ("Active", "2/2")


def test_the_cached_input_of_a_pair_is_its_prefill_sides() -> None:
    share = float(status_of(*PAIR)["throughput"]["cachedInputShare"])
    assert share == pytest.approx(116288 / 624717, rel=1e-3)


def test_the_speed_of_a_sequence_goes_with_the_tokens_as_they_are_made() -> None:
    status = status_of(sglang("0.5.23-plain"))
    assert float(status["throughput"]["tokensPerSecondPerUser"]) == pytest.approx(54807 / 1081.56, rel=5e-4)


def test_half_a_pair_is_no_pair() -> None:
    assert row_of(status_of(PAIR[1]), PD)["state"] == "Missing"


def test_a_decode_server_that_fills_its_prompts_itself_makes_the_pair_ineffective() -> None:
    alone = sglang("0.5.23-plain", "--disaggregation-mode decode", name="decode")
    row = row_of(status_of(PAIR[0], alone), PD)
    assert row["state"] == "Ineffective"
    assert "themselves" in row["evidence"]


NIXL = '--kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"%s"}\''


def test_a_pair_of_vllm_is_proven_by_what_its_decode_side_received() -> None:
    row = row_of(
        status_of(
            vllm("g-pd-nixl/prefill", NIXL % "kv_producer", name="prefill"),
            vllm("g-pd-nixl/decode", NIXL % "kv_consumer", name="decode"),
        ),
        PD,
    )
    assert (row["state"], row["replicas"]) == ("Active", "2/2")


def test_a_pair_of_vllm_without_a_transfer_is_ineffective() -> None:
    row = row_of(
        status_of(
            vllm("g-pd-nixl/prefill", NIXL % "kv_producer", name="prefill"),
            vllm("a-plain", NIXL % "kv_consumer", name="decode"),
        ),
        PD,
    )
    assert row["state"] == "Ineffective"


OFFLOADING = '--kv-transfer-config \'{"kv_connector":"OffloadingConnector","kv_role":"kv_both"}\''


@pytest.mark.parametrize(
    ("case", "more", "name", "state"),
    [
        ("b-ngram-effective", '--speculative-config \'{"method":"ngram"}\'', SPEC, "Active"),
        ("b-ngram-drafts-rejected", '--speculative-config \'{"method":"ngram"}\'', SPEC, "Ineffective"),
        ("c-offload-outoftree-effective", OFFLOADING, KV, "Active"),
        ("c-offload-outoftree-stored-never-loaded", OFFLOADING, KV, "Ineffective"),
    ],
)
def test_a_captured_vllm_gets_the_verdict_of_its_counters(
    case: str, more: str, name: str, state: str
) -> None:
    assert row_of(status_of(vllm(case, more)), name)["state"] == state


def test_two_workers_of_dynamo_in_one_pod_are_two_engines_on_the_pods_gpus() -> None:
    worker = (ENGINES / "dynamo" / "pd" / "decode" / "t60.prom").read_bytes()
    own = b"".join(line for line in worker.splitlines(keepends=True) if b"vllm:" not in line)
    plain = pages_of(CAPTURES / "vllm-0.32.0" / "a-plain", ("metrics-before.prom", "metrics-after.prom"))
    pages = (own + plain[0], own + plain[1])
    script = "\n".join(f"DYN_SYSTEM_PORT={port} python3 -m dynamo.vllm --model m &" for port in (9091, 9093))
    first = Server("server", f"python3 -m dynamo.frontend &\n{script}\nwait", pages, 2, 9091)
    status = run_with_ports(first, (9091, 9093))
    assert output_rate(status) == pytest.approx(2 * 808 / 60, rel=5e-4)
    assert float(status["gpus"]["held"]) == 2
    assert status["serving"]["replicas"] == 1


def run_with_ports(server: Server, ports: tuple[int, ...]) -> dict[str, Any]:
    """The status of one server whose page is on each of these ports."""
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
                f"{server.name}_{port}": SavedPage(server.pages[moment], 1000.0 + SECONDS * moment)
                for port in ports
            },
        )
        for moment in (0, 1)
    ]
    return dict(Replay([pool], [pod_of(0, server)], interval=SECONDS).run(frames)[-1].status)
