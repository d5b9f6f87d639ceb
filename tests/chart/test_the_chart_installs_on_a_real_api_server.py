"""The chart on an empty API server: rendered and applied, installed, upgraded, removed."""

from __future__ import annotations

import json

import pytest

from tests.chart.conftest import CHART, Helm
from tokenfactory.sandbox.controlplane import ControlPlane

pytestmark = pytest.mark.controlplane
CRDS = ("crd/inferencepools.tokenfactory.dev", "crd/tokenfactories.tokenfactory.dev")
ESTABLISHED = ("wait", "--for=condition=Established", "--timeout=60s", *CRDS)
POOL = json.dumps(
    {
        "apiVersion": "tokenfactory.dev/v1alpha1",
        "kind": "InferencePool",
        "metadata": {"name": "kept", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "kept"}}},
    }
)


def succeed(cluster: ControlPlane, *arguments: str, input: str = "") -> str:
    answer = cluster.kubectl(*arguments, input=input)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_what_helm_template_renders_is_applied_as_it_is(helm: Helm, empty_cluster: ControlPlane) -> None:
    text = helm.template("--set", "namespace.create=true")
    succeed(empty_cluster, "apply", "-f", "-", input=text)
    succeed(empty_cluster, *ESTABLISHED)
    deployment = succeed(empty_cluster, "get", "deployments", "-n", "tokenfactory-system", "-o", "name")
    assert deployment.split() == ["deployment.apps/tokenfactory-operator"]
    again = succeed(empty_cluster, "apply", "-f", "-", input=text)
    assert {line.rsplit(" ", 1)[1] for line in again.splitlines()} == {"unchanged"}
    rest = helm.template()
    succeed(empty_cluster, "delete", "--wait", "--timeout=60s", "-f", "-", input=rest)


def test_helm_installs_it_anywhere_upgrades_it_and_leaves_the_pools_when_it_goes(
    helm: Helm, empty_cluster: ControlPlane
) -> None:
    where = ("tokenfactory", "--namespace", "elsewhere")
    admin = empty_cluster.kubeconfig()
    notes = helm.succeed(
        "install", *where[:1], str(CHART), *where[1:], "--create-namespace", kubeconfig=admin
    )
    assert "kubectl get tfpools --all-namespaces" in notes
    assert "inferencepools.tokenfactory.dev" in notes
    assert "Gateway API Inference Extension" in notes
    succeed(empty_cluster, *ESTABLISHED)
    can_list = succeed(
        empty_cluster,
        *("auth", "can-i", "watch", "inferencepools.tokenfactory.dev"),
        *("--as=system:serviceaccount:elsewhere:tokenfactory-operator", "--all-namespaces"),
    )
    assert can_list.strip() == "yes"
    succeed(empty_cluster, "apply", "-f", "-", input=POOL)

    helm.succeed("upgrade", *where[:1], str(CHART), *where[1:], "--set", "replicas=3", kubeconfig=admin)
    replicas = succeed(
        empty_cluster,
        *("get", "deployment", "tokenfactory-operator", "-n", "elsewhere", "-o", "jsonpath={.spec.replicas}"),
    )
    assert replicas == "3"

    helm.succeed("uninstall", *where, kubeconfig=admin)
    left = succeed(empty_cluster, "get", "deployments,services,serviceaccounts,roles", "-n", "elsewhere")
    assert "tokenfactory" not in left
    assert succeed(empty_cluster, "get", "tfpools", "-n", "default", "-o", "name").split() == [
        "inferencepool.tokenfactory.dev/kept"
    ]
