from __future__ import annotations

import json

import pytest

from tests.unit.inspection.reports_of import PD, container, report, reports, row
from tokenfactory.inspection.report import MetricsState
from tokenfactory.model import Container, DeclarationState, EngineKind, Role

S = DeclarationState
NIXL = "'" + json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"}) + "'"
SERVE = f"vllm serve org/m --port=8200 --kv-transfer-config {NIXL}"
SIDECAR = Container(name="routing-proxy", image="ghcr.io/llm-d/llm-d-routing-sidecar:v0.4.0", sidecar=True)


@pytest.mark.parametrize(("label", "role"), [("prefill", Role.PREFILL), ("decode", Role.DECODE)])
def test_the_label_says_the_role_where_kv_both_does_not(label: str, role: Role) -> None:
    found = report(SERVE, labels={"llm-d.ai/role": label}, others=(SIDECAR,))
    assert (found.engine, found.wrapper, found.role) == (EngineKind.VLLM, "llm-d", role)
    assert row(found, PD).state is S.DECLARED


def test_the_command_line_goes_before_the_label() -> None:
    given = SERVE.replace("kv_both", "kv_producer")
    assert report(given, labels={"llm-d.ai/role": "decode"}).role is Role.PREFILL


def test_the_engine_of_a_decode_pod_is_read_behind_its_sidecar() -> None:
    metrics = report(SERVE, labels={"llm-d.ai/role": "decode"}, others=(SIDECAR,)).metrics
    assert (metrics.port, metrics.path, metrics.state) == (8200, "/metrics", MetricsState.ON)


def test_a_decode_pod_without_a_sidecar_asks_no_prefill_pod() -> None:
    found = report(SERVE, labels={"llm-d.ai/role": "decode"})
    assert row(found, PD).state is S.INVALID
    assert "sidecar" in found.fixes[PD]


def test_sglang_on_llm_d() -> None:
    command = "python3 -m sglang.launch_server --model-path m --port=8200 --disaggregation-mode=decode"
    found = report(command, labels={"llm-d.ai/role": "decode"}, others=(SIDECAR,))
    assert (found.engine, found.role, found.wrapper) == (EngineKind.SGLANG, Role.DECODE, "llm-d")


def test_the_endpoint_picker_is_a_router() -> None:
    image = "ghcr.io/llm-d/llm-d-inference-scheduler:v0.4.0"
    found = reports(image=image, gpu_limits=(), labels={"llm-d.ai/guide": "pd"})
    assert [(item.engine, item.role) for item in found] == [(EngineKind.NONE, Role.ROUTER)]


def test_kserve_is_the_wrapper_of_its_own_pods() -> None:
    labels = {"llm-d.ai/role": "prefill", "app.kubernetes.io/part-of": "llminferenceservice"}
    assert report(SERVE, labels=labels).wrapper == "kserve"


def test_only_the_containers_that_serve_are_engines() -> None:
    exporter = container("dcgm-exporter", name="dcgm-exporter", gpu_limits=())
    found = reports(SERVE, labels={"llm-d.ai/role": "decode"}, others=(SIDECAR, exporter))
    assert [item.container for item in found] == ["main"]
