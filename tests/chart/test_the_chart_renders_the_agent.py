"""The agent of the chart: that of the manifests, only when asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.conftest import CHART, Helm
from tests.chart.test_the_chart_renders_the_manifests import HELMS_LABELS
from tests.support.installed import MANIFESTS, kustomize, read_objects
from tokenfactory.agent.settings import AgentSettings
from tokenfactory.model import TelemetryTerms

AGENT = ("DaemonSet", "tokenfactory-agent")
NAMESPACE = ("Namespace", "tokenfactory-agent")
COMPONENT = MANIFESTS / "components" / "agent"


def rendered(helm: Helm, *arguments: str) -> dict[tuple[str, str], Any]:
    objects = read_objects(helm.template("--set", "agent.enabled=true", *arguments))
    found = {key: body for key, body in objects.items() if key[1] == "tokenfactory-agent"}
    for body in found.values():
        for name, value in HELMS_LABELS.items():
            assert body["metadata"]["labels"].pop(name) == value
    return found


def test_the_agent_is_that_of_the_manifests(helm: Helm) -> None:
    assert rendered(helm) == read_objects(kustomize(COMPONENT))


def test_nothing_of_the_agent_is_there_until_it_is_asked_for(helm: Helm) -> None:
    names = {name for _, name in read_objects(helm.template())}
    assert "tokenfactory-operator" in names
    assert not {name for name in names if "agent" in name}


def test_the_operator_finds_the_agent_as_it_is_installed() -> None:
    agent = read_objects(kustomize(COMPONENT))[AGENT]["spec"]["template"]
    labels, terms = agent["metadata"]["labels"], TelemetryTerms()
    assert any(selector.matches(labels) for selector in terms.dcgm_selectors)
    (container,) = agent["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == terms.dcgm_port == AgentSettings().port
    folder = AgentSettings().pod_resources_socket.rpartition("/")[0]
    assert container["volumeMounts"][0]["mountPath"] == folder
    fields = {f"TOKENFACTORY_AGENT_{name.upper()}" for name in AgentSettings.model_fields}
    assert {v["name"] for v in container["env"] if v["name"].startswith("TOKENFACTORY")} <= fields


def test_mig_monitoring_comes_with_the_capability_that_the_nvidia_runtime_asks_for(helm: Helm) -> None:
    pod = rendered(helm, "--set", "agent.migMonitoring=true")[AGENT]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert {"name": "NVIDIA_MIG_MONITOR_DEVICES", "value": "all"} in container["env"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN"]}


def test_scheduling_of_the_agent_is_passed_on(helm: Helm) -> None:
    values = ["agent.runtimeClassName=nvidia", "agent.namespace=gpu-eyes", "agent.nodeSelector.pool=gpu"]
    objects = rendered(helm, *(word for value in values for word in ("--set", value)))
    pod = objects[AGENT]["spec"]["template"]["spec"]
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true", "pool": "gpu"}
    assert objects[AGENT]["metadata"]["namespace"] == "gpu-eyes"


@pytest.mark.parametrize(
    ("value", "named"),
    [("agent.enable=true", "enable"), ("agent.namespace=A b", "namespace"), ("agent.port=1", "port")],
)
def test_a_value_of_the_agent_that_means_nothing_is_refused(helm: Helm, value: str, named: str) -> None:
    answer = helm.run("template", "tokenfactory", str(CHART), "--set", value)
    assert answer.returncode != 0
    assert named in answer.stderr
