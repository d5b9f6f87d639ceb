"""What is recognised and not read: never guessed at."""

from __future__ import annotations

import pytest

from tests.unit.inspection.reports_of import report, reports
from tokenfactory.inspection.report import MetricsState
from tokenfactory.model import DeclarationState, EngineKind, Role

S = DeclarationState
VLLM = "vllm/vllm-openai:v0.33.0"


@pytest.mark.parametrize(
    ("command", "image", "engine", "role"),
    [
        pytest.param(
            "text-generation-launcher --speculate 3", "x", EngineKind.TGI, Role.AGGREGATED, id="TGI"
        ),
        pytest.param(
            "tritonserver --model-repository /m", "x", EngineKind.TRITON, Role.AGGREGATED, id="Triton"
        ),
        pytest.param("ollama serve", "x", EngineKind.OTHER, Role.AGGREGATED, id="Ollama"),
        pytest.param("", "ollama/ollama:0.9", EngineKind.OTHER, Role.AGGREGATED, id="Ollama by its image"),
        pytest.param("lmdeploy serve api_server m", "x", EngineKind.OTHER, Role.AGGREGATED, id="LMDeploy"),
        pytest.param("/app/secret-engine --fp4", "x", EngineKind.OTHER, Role.AGGREGATED, id="an unknown one"),
        pytest.param("sleep infinity", VLLM, EngineKind.OTHER, Role.AGGREGATED, id="sleep in vLLM's image"),
        pytest.param(
            "python3 -m dynamo.tokenspeed", "x", EngineKind.OTHER, Role.AGGREGATED, id="a new backend"
        ),
        pytest.param(
            "ray start --address=$(A) --block", VLLM, EngineKind.VLLM, Role.WORKER, id="a Ray worker"
        ),
        pytest.param("", "lmsysorg/sglang:v0.5.23", EngineKind.SGLANG, Role.AGGREGATED, id="only an image"),
    ],
)
def test_what_may_execute_a_model_is_opaque(command: str, image: str, engine: EngineKind, role: Role) -> None:
    found = report(command, image=image)
    assert (found.engine, found.role) == (engine, role)
    assert {item.state for item in found.declarations} == {S.OPAQUE}
    assert found.metrics.state is MetricsState.NONE
    assert found.note


@pytest.mark.parametrize(
    ("command", "port"),
    [
        ("python3 -m sglang_router.launch_router --pd-disaggregation", 29000),
        ("python3 -m sglang_router.launch_router --prometheus-port 9999", 9999),
        ("vllm-router --worker-urls a", 29000),
        ("/app/epp --pool-name p", 9090),
        ("python3 toy_proxy_server.py --prefiller-hosts a", None),
    ],
)
def test_routers_declare_nothing(command: str, port: int | None) -> None:
    found = report(command, gpu_limits=())
    assert (found.engine, found.role, found.metrics.port) == (EngineKind.NONE, Role.ROUTER, port)
    assert {item.state for item in found.declarations} == {S.NOT_DECLARED}


@pytest.mark.parametrize(
    "command",
    [
        "vllm serve org/e --task embed",
        "vllm serve org/e --runner=pooling",
        "python3 -m sglang.launch_server --model-path org/e-NVFP4 --is-embedding",
        "trtllm-serve mm_embedding_serve org/e",
        "text-embeddings-router --model-id org/e",
        "python3 -m dynamo.sglang --model-path org/e --embedding-worker",
    ],
)
def test_embedding_servers_generate_no_tokens(command: str) -> None:
    found = report(command)
    assert found.role is Role.NONE
    assert {item.state for item in found.declarations} == {S.NOT_DECLARED}


@pytest.mark.parametrize(
    "command",
    [
        "nginx",
        "echo vllm serve org/m",
        "pgrep -f sglang.launch_server",
        "python3 train.py",
        "pip install vllm",
    ],
)
def test_containers_without_gpus_that_serve_nothing_are_left_out(command: str) -> None:
    assert reports(command, gpu_limits=()) == ()


def test_a_program_that_mentions_an_engine_is_none() -> None:
    found = report("echo vllm serve org/m-NVFP4")
    assert found.engine is EngineKind.OTHER


def test_a_headless_follower_has_gpus_and_no_server() -> None:
    found = report("vllm serve org/m-NVFP4 --headless --data-parallel-start-rank 8")
    assert (found.engine, found.role) == (EngineKind.VLLM, Role.WORKER)
    assert found.metrics.state is MetricsState.NONE
    assert {item.state for item in found.declarations} == {S.OPAQUE}
