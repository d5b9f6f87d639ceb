from __future__ import annotations

import json

import pytest

from tests.unit.inspection.reports_of import MTP, OFFLOAD, PD, SPEC, report, reports, row
from tokenfactory.inspection.report import MetricsState
from tokenfactory.model import DeclarationState, EngineKind, OptimizationName, Role

S = DeclarationState
VLLM = "python3 -m dynamo.vllm --model org/m"
TRTLLM = "python3 -m dynamo.trtllm --model-path org/m"
NIXL = "'" + json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"}) + "'"
KVBM = "'" + json.dumps({"kv_connector": "DynamoConnector", "kv_role": "kv_both"}) + "'"
OLD = "nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.5.0"
NEW = "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1"


@pytest.mark.parametrize(
    ("command", "env", "image", "state", "role"),
    [
        pytest.param(VLLM, {}, NEW, S.NOT_DECLARED, Role.AGGREGATED, id="aggregated by default"),
        pytest.param(
            f"{VLLM} --kv-transfer-config {NIXL}",
            {},
            NEW,
            S.NOT_DECLARED,
            Role.AGGREGATED,
            id="a connector alone does not disaggregate",
        ),
        pytest.param(
            f"{VLLM} --disaggregation-mode pd --kv-transfer-config {NIXL}",
            {},
            NEW,
            S.NOT_DECLARED,
            Role.AGGREGATED,
            id="pd is a combined worker",
        ),
        pytest.param(
            f"{VLLM} --disaggregation-mode prefill --kv-transfer-config {NIXL}",
            {},
            NEW,
            S.DECLARED,
            Role.PREFILL,
            id="the mode says the role where kv_both does not",
        ),
        pytest.param(
            f"{VLLM} --kv-transfer-config {NIXL}",
            {"DYN_VLLM_DISAGGREGATION_MODE": "decode"},
            NEW,
            S.DECLARED,
            Role.DECODE,
            id="a variable says the mode",
        ),
        pytest.param(
            f"{VLLM} --disaggregation-mode prefill",
            {},
            NEW,
            S.INVALID,
            Role.PREFILL,
            id="a prefill worker needs a connector",
        ),
        pytest.param(
            f"{VLLM} --is-prefill-worker", {}, OLD, S.DECLARED, Role.PREFILL, id="an old flag, an old image"
        ),
        pytest.param(
            f"{VLLM} --is-prefill-worker --connector nixl",
            {},
            NEW,
            S.INVALID,
            Role.PREFILL,
            id="an old flag, a new image",
        ),
    ],
)
def test_disaggregation_of_a_vllm_worker(
    command: str, env: dict[str, str], image: str, state: DeclarationState, role: Role
) -> None:
    found = report(command, env=env, image=image)
    assert (found.engine, found.wrapper) == (EngineKind.VLLM, "dynamo")
    assert (row(found, PD).state, found.role) == (state, role)


@pytest.mark.parametrize(
    ("command", "env", "state"),
    [
        pytest.param(f"{VLLM} --kv-transfer-config {KVBM}", {}, S.INVALID, id="KVBM without a size"),
        pytest.param(
            f"{VLLM} --kv-transfer-config {KVBM}", {"DYN_KVBM_CPU_CACHE_GB": "0"}, S.INVALID, id="size 0"
        ),
        pytest.param(
            f"{VLLM} --kv-transfer-config {KVBM}", {"DYN_KVBM_CPU_CACHE_GB": "64"}, S.DECLARED, id="a size"
        ),
        pytest.param(f"{TRTLLM} --connector kvbm", {}, S.INVALID, id="KVBM of TensorRT-LLM without a size"),
        pytest.param(
            f"{TRTLLM} --connector kvbm", {"DYN_KVBM_CPU_CACHE_GB": "64"}, S.DECLARED, id="and with one"
        ),
        pytest.param(f"{TRTLLM} --connector lmcache", {}, S.INVALID, id="a connector that becomes none"),
        pytest.param(f"{TRTLLM} --connector none", {}, S.NOT_DECLARED, id="the connector none"),
    ],
)
def test_offloading_under_dynamo(command: str, env: dict[str, str], state: DeclarationState) -> None:
    assert row(report(command, env=env), OFFLOAD).state is state


def test_the_override_wins_over_the_file_of_the_engine() -> None:
    files = {"/c/x.yaml": "speculative_config: {decoding_type: MTP, max_draft_len: 3}"}
    override = json.dumps({"speculative_config": {"max_draft_len": 0}})
    command = f"{TRTLLM} --extra-engine-args /c/x.yaml"
    assert row(report(command, files=files), MTP).state is S.DECLARED
    assert row(report(f"{command} --override-engine-args '{override}'", files=files), MTP).state is S.OFF


def test_a_trtllm_worker_without_a_transceiver_is_invalid_and_opaque_files_are_not_guessed() -> None:
    mode = f"{TRTLLM} --disaggregation-mode decode"
    assert row(report(mode), PD).state is S.INVALID
    found = report(f"{mode} --extra-engine-args /gone.yaml")
    assert row(found, PD).state is S.DECLARED
    assert row(found, SPEC).state is S.OPAQUE
    files = {"/c/x.yaml": "cache_transceiver_config: {backend: NIXL}"}
    aggregated = report(f"{TRTLLM} --extra-engine-args /c/x.yaml", files=files)
    assert row(aggregated, PD).state is S.NOT_DECLARED


@pytest.mark.parametrize(
    ("command", "env", "labels", "port", "state"),
    [
        pytest.param(VLLM, {}, {}, None, MetricsState.OFF, id="no system port, no page"),
        pytest.param(VLLM, {"DYN_SYSTEM_PORT": "9091"}, {}, 9091, MetricsState.ON, id="a system port"),
        pytest.param(VLLM, {"DYN_SYSTEM_PORT": "-1"}, {}, None, MetricsState.OFF, id="switched off"),
        pytest.param(
            VLLM,
            {},
            {"nvidia.com/dynamo-component-type": "worker"},
            9090,
            MetricsState.ON,
            id="Dynamo's operator sets the port",
        ),
        pytest.param(
            TRTLLM, {"DYN_SYSTEM_PORT": "9090"}, {}, 9090, MetricsState.PARTIAL, id="without publishing"
        ),
        pytest.param(
            f"{TRTLLM} --publish-metrics",
            {"DYN_SYSTEM_PORT": "9090"},
            {},
            9090,
            MetricsState.ON,
            id="with publishing",
        ),
        pytest.param(
            "python3 -m dynamo.sglang --model-path org/m",
            {"DYN_SYSTEM_PORT": "9090"},
            {},
            9090,
            MetricsState.PARTIAL,
            id="SGLang's own families need its switch",
        ),
    ],
)
def test_the_page_of_a_worker(
    command: str, env: dict[str, str], labels: dict[str, str], port: int | None, state: MetricsState
) -> None:
    metrics = report(command, env=env, labels=labels).metrics
    assert (metrics.port, metrics.state) == (port, state)


def test_several_workers_of_one_script_are_several_engines_with_their_own_ports() -> None:
    script = (
        f"export KV={NIXL}\npython3 -m dynamo.frontend --http-port 8080 &\n"
        "DYN_SYSTEM_PORT=9091 python3 -m dynamo.vllm --model m --disaggregation-mode prefill"
        ' --kv-transfer-config "$KV" &\n'
        "DYN_SYSTEM_PORT=9093 python3 -m dynamo.vllm --model m --disaggregation-mode decode"
        ' --kv-transfer-config "$KV"\n'
    )
    labels = {"nvidia.com/dynamo-component-type": "frontend"}
    found = reports(command="", args=("bash", "-c", script), labels=labels)
    assert [(item.role, item.metrics.port) for item in found] == [
        (Role.ROUTER, 8080),
        (Role.PREFILL, 9091),
        (Role.DECODE, 9093),
    ]


@pytest.mark.parametrize(
    ("module", "role"),
    [
        ("dynamo.frontend", Role.ROUTER),
        ("dynamo.router", Role.ROUTER),
        ("dynamo.planner", Role.NONE),
        ("dynamo.mocker", Role.NONE),
    ],
)
def test_what_executes_no_model_declares_nothing(module: str, role: Role) -> None:
    found = report(f"python3 -m {module} --model org/m-NVFP4", gpu_limits=())
    assert (found.engine, found.wrapper, found.role) == (EngineKind.NONE, "dynamo", role)
    assert {item.state for item in found.declarations} == {S.NOT_DECLARED}
    assert {item.optimization for item in found.declarations} == set(OptimizationName)
