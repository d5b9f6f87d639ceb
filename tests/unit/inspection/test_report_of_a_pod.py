"""The report as a whole: GPUs, capability, secrets, hostile input."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.inspection.reports_of import FP4, GPUS, PD, SPEC, container, pod_of, report, reports, row
from tokenfactory.inspection.report import EngineReport, inspect_pod
from tokenfactory.model import DeclarationState, OptimizationName, Role

S = DeclarationState
NVFP4 = "vllm serve nvidia/DeepSeek-R1-0528-NVFP4-v2"
SECRETS = tuple(f"s3cr3t-{number:03}-canary" for number in range(200))
WORDS = (
    *("vllm", "serve", "-m", "dynamo.vllm", "dynamo.trtllm", "trtllm-serve", "sglang.launch_server"),
    *("--config", "/c", "bash", "-c", "--port", "--kv-transfer-config", "--speculative-config"),
)
SHAPES: tuple[Callable[[str], tuple[EngineReport, ...]], ...] = (
    lambda s: reports(f"vllm serve org/m --api-key {s} --hf-token={s}"),
    lambda s: reports(f"python3 -m sglang.launch_server --model-path https://u:{s}@h/m --api-key {s}"),
    lambda s: reports(f"sglang serve --model-path m --speculative-algorithm {s} --quantization {s}"),
    lambda s: reports(f"sglang serve --model-path m --disaggregation-mode {s} --hicache-size {s} --port {s}"),
    lambda s: reports(f"trtllm-serve m --config /{s}.yaml --server_role {s}"),
    lambda s: reports("trtllm-serve m --config /c.yaml", files={"/c.yaml": f"a: {s}\nkey: {s}"}),
    lambda s: reports(
        "trtllm-serve m --config /c.yaml",
        files={
            "/c.yaml": f"speculative_config: {{decoding_type: {s}}}\n"
            f"kv_connector_config: {{connector: {s}}}\n"
            f"cache_transceiver_config: {{backend: {s}}}\nquant_config: {{quant_algo: {s}}}\nport: {s}\n"
        },
    ),
    lambda s: reports("vllm serve m --config /c.yaml", files={"/c.yaml": f"api-key: {s}\n{s}: {s}\n"}),
    lambda s: reports(f"python3 -m dynamo.vllm --model m --connector {s} --disaggregation-mode {s}"),
    lambda s: reports("python3 -m dynamo.trtllm --model-path m", env={"DYN_TRTLLM_OVERRIDE_ENGINE_ARGS": s}),
    lambda s: reports(f"python3 -m dynamo.{s}"),
    lambda s: reports(f"python3 {s}-proxy.py --token {s}"),
    lambda s: reports(
        image="nvcr.io/nim/a/b:1",
        env={"NGC_API_KEY": s, "NIM_PASSTHROUGH_ARGS": f"--api-key {s} {s}", "NIM_MODEL_PROFILE": s},
    ),
    lambda s: reports(f"text-generation-launcher --hf {s}", labels={"llm-d.ai/role": s, s: s}),
    lambda s: reports(command="", args=("bash", "-c", f"export T={s}; vllm serve m --api-key $T")),
    lambda s: reports(f"/{s} --x {s}", image=f"registry/{s}:{s}"),
    lambda s: reports(f"vllm serve m --kv-transfer-config '{json.dumps({'kv_connector': s, 'kv_role': s})}'"),
)


def test_no_planted_secret_leaves_the_report() -> None:
    found = [SHAPES[index % len(SHAPES)](secret) for index, secret in enumerate(SECRETS)]
    assert all(found)
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    ("capability", "weight_only"), [(7, True), (9, True), (10, False), (12, False), (None, False)]
)
def test_nvfp4_below_capability_10_runs_weight_only(capability: int | None, weight_only: bool) -> None:
    found = report(NVFP4, capability=capability)
    assert row(found, FP4).state is S.BY_CHECKPOINT
    assert found.weight_only is weight_only
    assert (FP4 in found.fixes) is weight_only
    assert ("wider" in row(found, FP4).explanation) is weight_only


def test_a_gpu_says_nothing_of_a_model_without_fp4() -> None:
    found = report("vllm serve org/m", capability=9)
    assert not found.weight_only


def test_every_optimization_that_is_not_in_effect_has_a_fix() -> None:
    found = report(f"{NVFP4} --no-enable-prefix-caching --kv-offloading-size 8")
    effective = {S.DECLARED, S.BY_CHECKPOINT, S.BY_DEFAULT}
    missing = {item.optimization for item in found.declarations if item.state not in effective}
    assert missing == set(OptimizationName) - {FP4}
    assert all(found.fixes[name] for name in missing)


def test_the_gpus_are_the_limits_of_the_container() -> None:
    assert report(NVFP4).gpus == GPUS


def test_a_pod_may_hold_several_engines_with_their_own_roles() -> None:
    def serving(name: str, role: str) -> str:
        config = json.dumps({"kv_connector": "NixlConnector", "kv_role": role})
        return f"vllm serve org/m --port {name} --kv-transfer-config '{config}'"

    pod = pod_of(
        container(serving("8001", "kv_producer"), name="a"),
        container(serving("8002", "kv_consumer"), name="b"),
    )
    found = inspect_pod(pod, files={}, capability_major=None)
    assert [(item.container, item.role, item.metrics.port) for item in found] == [
        ("a", Role.PREFILL, 8001),
        ("b", Role.DECODE, 8002),
    ]


@pytest.mark.parametrize(
    ("connector", "role", "state"),
    [
        pytest.param("OffloadingConnector", "kv_both", S.NOT_DECLARED, id="an offload connector is not PD"),
        pytest.param("OffloadingConnector", "kv_producer", S.NOT_DECLARED, id="whatever its role says"),
        pytest.param("MooncakeStoreConnector", "kv_both", S.NOT_DECLARED, id="a store is not PD"),
        pytest.param("MooncakeStoreConnector", "kv_producer", S.OPAQUE, id="a shared store with a role"),
        pytest.param("BrandNewConnector", "kv_both", S.OPAQUE, id="a connector not known here"),
        pytest.param("NixlConnector", "kv_both", S.DECLARED, id="a transfer connector"),
    ],
)
def test_connectors_that_do_and_do_not_disaggregate(
    connector: str, role: str, state: DeclarationState
) -> None:
    config = json.dumps({"kv_connector": connector, "kv_role": role})
    assert row(report(f"vllm serve m --kv-transfer-config '{config}'"), PD).state is state


def test_a_configuration_file_of_vllm_is_read_and_the_command_line_wins() -> None:
    text = 'speculative-config: \'{"method": "eagle3", "num_speculative_tokens": 3}\'\nquantization: fp8\n'
    found = report("vllm serve org/m --config /c.yaml -q modelopt_fp4", files={"/c.yaml": text})
    assert row(found, SPEC).state is S.DECLARED
    assert row(found, FP4).state is S.DECLARED


@given(
    words=st.lists(
        st.one_of(
            st.text(max_size=20),
            st.sampled_from(WORDS),
        ),
        max_size=12,
    ),
    text=st.text(max_size=200),
    env=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_words_and_files_give_a_report_and_never_raise(
    words: list[str], text: str, env: dict[str, str]
) -> None:
    main = container("", args=tuple(words), env=tuple(env.items()))
    found = inspect_pod(pod_of(main), files={"main": {"/c": text}}, capability_major=9)
    assert found
    assert all(len(one.declarations) == len(OptimizationName) for one in found)
