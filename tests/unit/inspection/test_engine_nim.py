from __future__ import annotations

import pytest

from tests.unit.inspection.reports_of import FP4, MTP, OFFLOAD, PD, SPEC, report, row
from tokenfactory.inspection.report import MetricsState
from tokenfactory.model import DeclarationState, EngineKind, OptimizationName, Role

S = DeclarationState
IMAGE = "nvcr.io/nim/meta/llama-3.3-70b-instruct:1.10.0"
MTP_1 = '{"method":"mtp","num_speculative_tokens":1}'
ON = {"NIM_ENABLE_KV_CACHE_HOST_OFFLOAD": "1", "NIM_ENABLE_KV_CACHE_REUSE": "1"}


@pytest.mark.parametrize(
    ("name", "env", "state"),
    [
        pytest.param(FP4, {}, S.OPAQUE, id="the profile decides FP4"),
        pytest.param(FP4, {"NIM_MODEL_PROFILE": "4f904d571fe60ff24695b5ee2aa42da5"}, S.OPAQUE, id="a hash"),
        pytest.param(
            FP4,
            {"NIM_MODEL_PROFILE": "tensorrt_llm-b200-nvfp4-tp8-latency"},
            S.BY_CHECKPOINT,
            id="a profile whose name says NVFP4",
        ),
        pytest.param(FP4, {"NIM_MODEL_PROFILE": "vllm-h100-fp8-tp8"}, S.NOT_DECLARED, id="fp8 is not FP4"),
        pytest.param(OFFLOAD, ON, S.DECLARED, id="host offloading with reuse"),
        pytest.param(
            OFFLOAD, {"NIM_ENABLE_KV_CACHE_HOST_OFFLOAD": "1"}, S.INVALID, id="host offloading without reuse"
        ),
        pytest.param(OFFLOAD, {"NIM_ENABLE_KV_CACHE_HOST_OFFLOAD": "0"}, S.OFF, id="switched off"),
        pytest.param(
            OFFLOAD, ON | {"NIM_KV_CACHE_HOST_MEM_FRACTION": "0.0"}, S.INVALID, id="a fraction of 0"
        ),
        pytest.param(OFFLOAD, {}, S.OPAQUE, id="the profile decides offloading"),
        pytest.param(SPEC, {}, S.OPAQUE, id="the profile decides speculation"),
        pytest.param(PD, {}, S.OPAQUE, id="the profile decides disaggregation"),
        pytest.param(
            MTP,
            {"NIM_PASSTHROUGH_ARGS": f"--speculative-config '{MTP_1}'"},
            S.DECLARED,
            id="arguments passed through",
        ),
        pytest.param(
            MTP,
            {"NIM_PASSTHROUGH_ARGS": "--speculative-algorithm NEXTN"},
            S.DECLARED,
            id="arguments of SGLang passed through",
        ),
    ],
)
def test_declarations_of_nim(name: OptimizationName, env: dict[str, str], state: DeclarationState) -> None:
    found = report(image=IMAGE, env=env)
    assert found.engine is EngineKind.NIM
    assert row(found, name).state is state


def test_a_variable_from_a_secret_makes_everything_opaque() -> None:
    found = report(image=IMAGE, opaque_env=("NIM_PASSTHROUGH_ARGS",))
    assert {item.state for item in found.declarations} == {S.OPAQUE}


def test_the_page_of_nim_and_its_operator() -> None:
    labels = {"app.kubernetes.io/managed-by": "k8s-nim-operator"}
    found = report(image=IMAGE, env={"NIM_SERVER_PORT": "8123"}, labels=labels)
    metrics = found.metrics
    assert (metrics.port, metrics.path, metrics.state) == (8123, "/v1/metrics", MetricsState.ON)
    assert (found.wrapper, found.model) == ("nim-operator", "meta/llama-3.3-70b-instruct")


def test_a_second_node_of_nim_is_a_follower() -> None:
    found = report(image=IMAGE, env={"NIM_NODE_RANK": "1", "NIM_LEADER_ROLE": "0"})
    assert (found.role, found.metrics.state) == (Role.WORKER, MetricsState.NONE)


def test_an_embedding_nim_is_set_aside() -> None:
    found = report(image="nvcr.io/nim/nvidia/nv-embedqa-e5-v5:1.0")
    assert found.role is Role.NONE
    assert {item.state for item in found.declarations} == {S.NOT_DECLARED}


def test_its_own_start_script_is_the_engine_and_a_script_of_the_user_is_opaque() -> None:
    own = report("/opt/nim/start_server.sh", image=IMAGE)
    assert (own.engine, own.metrics.port, own.metrics.state) == (EngineKind.NIM, 8000, MetricsState.ON)
    other = report("/scripts/mine.sh", image=IMAGE)
    assert (other.engine, other.metrics.state) == (EngineKind.NIM, MetricsState.NONE)
    assert {item.state for item in other.declarations} == {S.OPAQUE}
