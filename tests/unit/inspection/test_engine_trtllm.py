from __future__ import annotations

import pytest

from tests.unit.inspection.reports_of import FP4, MTP, OFFLOAD, PD, SPEC, container, report, reports, row
from tokenfactory.inspection.report import MetricsState
from tokenfactory.model import DeclarationState, EngineKind, OptimizationName, Role

S = DeclarationState
SERVE = "trtllm-serve org/m --host 0.0.0.0 --extra_llm_api_options /c/x.yaml"
MTP_3 = "speculative_config: {decoding_type: MTP, max_draft_len: 3}"


@pytest.mark.parametrize(
    ("name", "text", "state"),
    [
        pytest.param(SPEC, "backend: pytorch", S.NOT_DECLARED, id="a file without speculation"),
        pytest.param(SPEC, "speculative_config: null", S.OFF, id="speculation is null"),
        pytest.param(
            SPEC,
            "speculative_config: {decoding_type: Eagle, max_draft_len: 4}",
            S.DECLARED,
            id="Eagle in any case",
        ),
        pytest.param(
            SPEC, "speculative_config: {decoding_type: SaveState}", S.NOT_DECLARED, id="saving states"
        ),
        pytest.param(SPEC, "speculative_config: {max_draft_len: 4}", S.OPAQUE, id="no type"),
        pytest.param(MTP, MTP_3, S.DECLARED, id="MTP"),
        pytest.param(
            MTP,
            "speculative_config: {decoding_type: MTP, num_nextn_predict_layers: 0}",
            S.OFF,
            id="templated MTP with 0 layers",
        ),
        pytest.param(
            MTP,
            "speculative_config: {decoding_type: Eagle3, max_draft_len: 3}",
            S.NOT_DECLARED,
            id="Eagle3 is not MTP",
        ),
        pytest.param(OFFLOAD, "kv_cache_config: {host_cache_size: 1000000}", S.DECLARED, id="a host tier"),
        pytest.param(OFFLOAD, "kv_cache_config: {host_cache_size: 0}", S.INVALID, id="a host tier of size 0"),
        pytest.param(
            OFFLOAD,
            "kv_cache_config: {host_cache_size: 1000000, enable_block_reuse: false}",
            S.INVALID,
            id="nothing is reused",
        ),
        pytest.param(OFFLOAD, "kv_cache_config: {use_uvm: true}", S.NOT_DECLARED, id="UVM is not offloading"),
        pytest.param(
            OFFLOAD,
            "kv_connector_config: {connector: kvbm}",
            S.INVALID,
            id="KVBM without a size does nothing",
        ),
        pytest.param(OFFLOAD, "kv_connector_config: {connector: lmcache}", S.DECLARED, id="LMCache"),
        pytest.param(PD, "cache_transceiver_config: {backend: DEFAULT}", S.DECLARED, id="a transceiver"),
        pytest.param(PD, "cache_transceiver_config: {backend: null}", S.NOT_DECLARED, id="no backend"),
        pytest.param(FP4, "quant_config: {quant_algo: NVFP4}", S.DECLARED, id="an FP4 algorithm"),
        pytest.param(FP4, "quant_config: {quant_algo: FP8}", S.NOT_DECLARED, id="fp8 is not FP4"),
        pytest.param(FP4, "kv_cache_config: {dtype: nvfp4}", S.NOT_DECLARED, id="a KV dtype is no weight"),
        pytest.param(SPEC, f"load_format: dummy\n{MTP_3}", S.SIMULATED, id="dummy weights"),
        pytest.param(SPEC, "a: &x [1]\nb: *x", S.OPAQUE, id="aliases are not followed"),
        pytest.param(SPEC, "[" * 500, S.OPAQUE, id="a file that is no YAML"),
    ],
)
def test_declarations_of_tensorrt_llm(name: OptimizationName, text: str, state: DeclarationState) -> None:
    found = report(SERVE, files={"/c/x.yaml": text})
    assert found.engine is EngineKind.TENSORRT_LLM
    assert row(found, name).state is state


def test_a_file_that_is_not_in_the_pod_is_opaque_and_the_name_still_tells_fp4() -> None:
    found = report("mpirun -n 1 trtllm-serve nvidia/DeepSeek-R1-FP4 --config /gone.yaml")
    assert row(found, FP4).state is S.BY_CHECKPOINT
    assert {row(found, name).state for name in (SPEC, OFFLOAD, MTP, PD)} == {S.OPAQUE}


def test_forced_acceptance_is_simulated() -> None:
    env = {"TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS": "1.99"}
    found = report(SERVE, files={"/c/x.yaml": MTP_3}, env=env)
    assert row(found, MTP).state is S.SIMULATED


@pytest.mark.parametrize(
    ("text", "state"),
    [
        pytest.param("backend: pytorch", MetricsState.OFF, id="metrics are off by default"),
        pytest.param("return_perf_metrics: true", MetricsState.PARTIAL, id="without iterations"),
        pytest.param(
            "return_perf_metrics: true\nenable_iter_perf_stats: true", MetricsState.ON, id="both switches"
        ),
    ],
)
def test_metrics_of_tensorrt_llm(text: str, state: MetricsState) -> None:
    metrics = report(f"{SERVE} --port 8123", files={"/c/x.yaml": text}).metrics
    assert (metrics.port, metrics.path, metrics.state) == (8123, "/prometheus/metrics", state)


@pytest.mark.parametrize(
    ("given", "role"), [("CONTEXT", Role.PREFILL), ("GENERATION", Role.DECODE), ("OTHER", Role.AGGREGATED)]
)
def test_the_server_role_is_the_role(given: str, role: Role) -> None:
    files = {"/c/x.yaml": "cache_transceiver_config: {backend: UCX}"}
    assert report(f"{SERVE} --server_role {given}", files=files).role is role


def test_an_orchestrator_in_the_pod_tells_the_roles_of_its_workers_by_port() -> None:
    text = (
        "port: 8000\n"
        "context_servers: {num_instances: 1, urls: ['localhost:8001']}\n"
        "generation_servers: {num_instances: 1, urls: ['localhost:8002']}\n"
    )
    script = (
        "trtllm-serve org/m --port 8001 & trtllm-serve org/m --port 8002 & "
        "trtllm-serve disaggregated -c /c/d.yaml"
    )
    found = reports(files={"/c/d.yaml": text}, command="", args=("bash", "-c", script))
    assert [(item.engine, item.role) for item in found] == [
        (EngineKind.TENSORRT_LLM, Role.PREFILL),
        (EngineKind.TENSORRT_LLM, Role.DECODE),
        (EngineKind.NONE, Role.ROUTER),
    ]


def test_one_mpi_job_of_both_servers_is_disaggregated() -> None:
    text = "context_servers: {num_instances: 1}\ngeneration_servers: {num_instances: 1}\n" + MTP_3
    found = report("trtllm-serve disaggregated_mpi_worker -c /c/d.yaml", files={"/c/d.yaml": text})
    assert row(found, PD).state is S.DECLARED
    assert row(found, MTP).state is S.DECLARED


def test_a_multi_node_follower_of_a_group_has_gpus_and_nothing_else() -> None:
    sshd = container("/usr/sbin/sshd -D", image="nvcr.io/nvidia/tensorrt-llm/release:1.2.0")
    labels = {"leaderworkerset.sigs.k8s.io/worker-index": "1"}
    found = report("/usr/sbin/sshd -D", image=sshd.image, labels=labels)
    assert (found.engine, found.role) == (EngineKind.TENSORRT_LLM, Role.WORKER)
    assert found.metrics.state is MetricsState.NONE
