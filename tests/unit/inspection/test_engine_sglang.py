from __future__ import annotations

import pytest

from tests.unit.inspection.reports_of import FP4, MTP, OFFLOAD, PD, SPEC, report, row
from tokenfactory.inspection.report import MetricsState
from tokenfactory.model import DeclarationState, EngineKind, OptimizationName, Role

S = DeclarationState
BASE = "python3 -m sglang.launch_server --model-path org/m --host 0.0.0.0"
V3 = "python3 -m sglang.launch_server --model-path deepseek-ai/DeepSeek-V3 --host 0.0.0.0"


@pytest.mark.parametrize(
    ("name", "command", "env", "state"),
    [
        pytest.param(FP4, BASE, {}, S.NOT_DECLARED, id="nothing says FP4"),
        pytest.param(FP4, f"{BASE} --quantization modelopt_fp4", {}, S.DECLARED, id="a flag says FP4"),
        pytest.param(FP4, f"{BASE} --quantization quark_mxfp4", {}, S.DECLARED, id="MXFP4 by quark"),
        pytest.param(FP4, f"{BASE} --quantization fp8", {}, S.NOT_DECLARED, id="fp8 is not FP4"),
        pytest.param(FP4, f"{BASE} --quantization modelopt", {}, S.OPAQUE, id="modelopt may be fp8"),
        pytest.param(FP4, f"{BASE} --kv-cache-dtype nvfp4", {}, S.NOT_DECLARED, id="a KV dtype is no weight"),
        pytest.param(SPEC, BASE, {}, S.NOT_DECLARED, id="no algorithm"),
        pytest.param(
            SPEC, f"{BASE} --speculative-num-steps 3", {}, S.NOT_DECLARED, id="steps without algorithm"
        ),
        pytest.param(SPEC, f"{BASE} --speculative-algorithm NGRAM", {}, S.DECLARED, id="n-grams"),
        pytest.param(SPEC, f"{BASE} --speculative_algorithm=EAGLE3", {}, S.DECLARED, id="an underscore flag"),
        pytest.param(
            SPEC,
            f"{BASE} --speculative-algorithm NEXTN",
            {"SGLANG_SIMULATE_ACC_LEN": "3.39"},
            S.SIMULATED,
            id="simulated acceptance",
        ),
        pytest.param(
            SPEC,
            f"{BASE} --speculative-algorithm NEXTN",
            {"SGLANG_SIMULATE_ACC_LEN": "-1"},
            S.DECLARED,
            id="simulation off by -1",
        ),
        pytest.param(
            SPEC,
            f"{BASE} --speculative-algorithm NEXTN --speculative-num-draft-tokens 0",
            {},
            S.INVALID,
            id="no draft tokens",
        ),
        pytest.param(
            SPEC, f"{BASE} --speculative-algorithm NEXTN --load-format dummy", {}, S.SIMULATED, id="dummies"
        ),
        pytest.param(MTP, f"{BASE} --speculative-algorithm NEXTN", {}, S.DECLARED, id="NEXTN is MTP"),
        pytest.param(MTP, f"{V3} --speculative-algorithm EAGLE", {}, S.DECLARED, id="EAGLE on own heads"),
        pytest.param(
            MTP, f"{BASE} --speculative-algorithm EAGLE", {}, S.OPAQUE, id="EAGLE on a model not known"
        ),
        pytest.param(
            MTP,
            f"{V3} --speculative-algorithm EAGLE --speculative-draft-model-path org/eagle-head",
            {},
            S.NOT_DECLARED,
            id="EAGLE with a draft model is not MTP",
        ),
        pytest.param(
            MTP, f"{BASE} --speculative-algorithm EAGLE3", {}, S.NOT_DECLARED, id="EAGLE3 is not MTP"
        ),
        pytest.param(
            OFFLOAD, f"{BASE} --cpu-offload-gb 64", {}, S.NOT_DECLARED, id="weights on the CPU are not KV"
        ),
        pytest.param(OFFLOAD, f"{BASE} --enable-hierarchical-cache", {}, S.DECLARED, id="HiCache"),
        pytest.param(
            OFFLOAD,
            f"{BASE} --enable-hierarchical-cache --hicache-size 0",
            {},
            S.DECLARED,
            id="hicache-size 0 is not off",
        ),
        pytest.param(OFFLOAD, f"{BASE} --hicache-size 100", {}, S.INVALID, id="a size without the switch"),
        pytest.param(
            OFFLOAD,
            f"{BASE} --enable-hierarchical-cache --disable-radix-cache",
            {},
            S.INVALID,
            id="no radix cache",
        ),
        pytest.param(
            OFFLOAD,
            f"{BASE} --enable-hierarchical-cache --disaggregation-mode decode",
            {},
            S.INVALID,
            id="a decode server has no radix cache",
        ),
        pytest.param(
            OFFLOAD,
            f"{BASE} --enable-hierarchical-cache --disaggregation-mode prefill",
            {},
            S.DECLARED,
            id="a prefill server has one",
        ),
        pytest.param(PD, f"{BASE} --disaggregation-mode null", {}, S.NOT_DECLARED, id="the mode null"),
        pytest.param(PD, f"{BASE} --disaggregation-mode prefill", {}, S.DECLARED, id="a prefill server"),
        pytest.param(PD, f"{BASE} --enable-pdmux", {}, S.NOT_DECLARED, id="pdmux is not disaggregation"),
        pytest.param(PD, f"{BASE} --encoder-only", {}, S.NOT_DECLARED, id="EPD is not disaggregation"),
        pytest.param(
            PD,
            f"{BASE} --disaggregation-mode decode --disaggregation-transfer-backend fake",
            {},
            S.SIMULATED,
            id="a fake transfer",
        ),
        pytest.param(
            PD, f"{BASE} --disaggregation-mode $(MODE)", {}, S.OPAQUE, id="a mode that the pod does not say"
        ),
    ],
)
def test_declarations_of_sglang(
    name: OptimizationName, command: str, env: dict[str, str], state: DeclarationState
) -> None:
    found = row(report(command, env=env), name)
    assert found.state is state
    assert found.explanation


@pytest.mark.parametrize(
    ("flags", "port", "state"),
    [
        pytest.param("", 30000, MetricsState.OFF, id="metrics are off by default"),
        pytest.param("--enable-metrics --port 8000", 8000, MetricsState.ON, id="a switch turns them on"),
        pytest.param(
            "--enable-metrics --host 127.0.0.1", 30000, MetricsState.PARTIAL, id="a page on the loopback"
        ),
    ],
)
def test_metrics_of_sglang(flags: str, port: int, state: MetricsState) -> None:
    metrics = report(f"{BASE} {flags}").metrics
    assert (metrics.port, metrics.path, metrics.state) == (port, "/metrics", state)
    assert bool(metrics.fix) is (state is not MetricsState.ON)


def test_the_command_line_wins_over_a_configuration_file() -> None:
    files = {"/c/s.yaml": "speculative-algorithm: NEXTN\nenable-metrics: true\nquantization: modelopt_fp4\n"}
    found = report(f"{BASE} --config /c/s.yaml --quantization fp8", files=files)
    assert found.engine is EngineKind.SGLANG
    assert row(found, MTP).state is S.DECLARED
    assert row(found, FP4).state is S.NOT_DECLARED
    assert found.metrics.state is MetricsState.ON


def test_a_file_that_the_pod_does_not_hold_makes_what_no_flag_says_opaque() -> None:
    found = report(f"{BASE} --config /c/s.yaml --disaggregation-mode decode")
    assert row(found, SPEC).state is S.OPAQUE
    assert row(found, PD).state is S.DECLARED
    assert found.role is Role.DECODE


def test_a_second_node_is_a_follower_without_a_page() -> None:
    found = report(f"{BASE} --nnodes 2 --node-rank 1 --enable-metrics")
    assert (found.role, found.metrics.state) == (Role.WORKER, MetricsState.NONE)


def test_weight_only_kernels_are_said() -> None:
    found = report(f"{BASE} --quantization modelopt_fp4 --moe-runner-backend marlin")
    assert found.weight_only
    assert "weight-only" in row(found, FP4).explanation
