"""The RBAC that is shipped is what the operator uses, no more, no less: the API server's audit log tells."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from tests.support.installed import MANIFESTS, kustomize
from tests.support.rights import Right, missing, rights_granted, rights_used, unused
from tests.support.scenes import figure
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit, AuditEvent
from tokenfactory.sandbox.fleet import GB300, NAMESPACE
from tokenfactory.sandbox.operator_process import OPERATOR_NAMESPACE, SERVICE_ACCOUNT
from tokenfactory.sandbox.scene import Scene, SceneFailed

pytestmark = pytest.mark.controlplane
OPERATOR = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{SERVICE_ACCOUNT}"
THEIRS = MANIFESTS.parent / "tests" / "support" / "crds" / "inference.networking.k8s.io_inferencepools.yaml"
PLAN = replace(GB300, replicas=1)
THEIR_POOL = {
    "apiVersion": "inference.networking.k8s.io/v1",
    "kind": "InferencePool",
    "metadata": {"name": "gateway-pool", "namespace": NAMESPACE},
    "spec": {"selector": {"matchLabels": {"app": "nobody"}}, "targetPorts": [{"number": 8000}]},
}
BY_REFERENCE = {
    "apiVersion": "tokenfactory.dev/v1alpha1",
    "kind": "InferencePool",
    "metadata": {"name": "by-reference", "namespace": NAMESPACE},
    "spec": {"poolRef": {"name": "gateway-pool"}},
}
UNFULFILLED = json.dumps(
    {"spec": {"optimizations": [{"name": "DisaggregatedServing", "policy": "Required"}]}}
)


def shipped() -> frozenset[Right]:
    """What manifests/ grants to the operator."""
    documents = [body for body in yaml.safe_load_all(kustomize(MANIFESTS)) if body]
    return rights_granted(documents, (OPERATOR_NAMESPACE, SERVICE_ACCOUNT))


def use_a_config_map(scene: Scene) -> None:
    """A pod of the pool that takes a variable from a ConfigMap."""
    variable = {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "flags", "key": "a"}}}
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.32.0",
        "env": [variable],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "with-flags", "namespace": NAMESPACE, "labels": {"app": "with-flags"}},
        "spec": {
            "nodeName": scene.fleet.nodes[0].name,
            "automountServiceAccountToken": False,
            "containers": [container],
        },
    }
    pool = {
        "apiVersion": "tokenfactory.dev/v1alpha1",
        "kind": "InferencePool",
        "metadata": {"name": "with-flags", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": "with-flags"}}},
    }
    scene.cluster.apply(pool)
    assert scene.plane.kubectl("create", "-f", "-", input=json.dumps(pod)).returncode == 0


def use_a_claim(scene: Scene) -> None:
    """A pod of the same pool that names a ResourceClaim; whether the claim is there does not matter."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "with-a-claim", "namespace": NAMESPACE, "labels": {"app": "with-flags"}},
        "spec": {
            "nodeName": scene.fleet.nodes[0].name,
            "automountServiceAccountToken": False,
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "one"}],
            "containers": [{"name": "vllm", "image": "vllm/vllm-openai:v0.32.0"}],
        },
    }
    assert scene.plane.kubectl("create", "-f", "-", input=json.dumps(pod)).returncode == 0


@pytest.fixture(scope="module")
def requests(assets: Assets) -> Iterator[tuple[AuditEvent, ...]]:
    """Everything that was asked of the API server while the operator did everything that it does."""
    with Scene(assets, (PLAN,), audit=Audit.METADATA) as scene:
        scene.kubectl("apply", "-f", str(THEIRS))
        scene.kubectl(
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd/inferencepools.inference.networking.k8s.io",
        )
        assert scene.plane.kubectl("create", "-f", "-", input=json.dumps(THEIR_POOL)).returncode == 0
        scene.cluster.apply(BY_REFERENCE)
        use_a_config_map(scene)
        use_a_claim(scene)
        operator = scene.start_operator()
        scene.wait_for(
            "all that is required is active",
            lambda: scene.condition(PLAN.name, "OptimizationsActive").get("status") == "True",
        )
        scene.kubectl("patch", "tfpool", PLAN.name, "-n", NAMESPACE, "--type=merge", "-p", UNFULFILLED)
        scene.wait_for("a full window", lambda: scene.status(PLAN.name).get("windowSeconds"))
        operator.stop()
        operator.start()
        scene.wait_for("it leads again", lambda: "tokenfactory_leader 1.0" in operator.get("/metrics")[1])
        scene.wait_for("a window to learn from", lambda: figure(operator, "cost_per_hour", PLAN.name))
        time.sleep(scene.window_seconds + 15)
        operator.stop()
        granted = shipped()
        with contextlib.suppress(SceneFailed):
            scene.wait_for(
                "every right is used",
                lambda: not unused(granted, rights_used(scene.plane.audit_events(), OPERATOR)),
                seconds=40,
            )
        yield scene.plane.audit_events()


@pytest.fixture(scope="module")
def used(requests: tuple[AuditEvent, ...]) -> frozenset[Right]:
    return rights_used(requests, OPERATOR)


@pytest.fixture(scope="module")
def granted() -> frozenset[Right]:
    return shipped()


def test_nothing_is_asked_for_that_is_not_granted(used: frozenset[Right], granted: frozenset[Right]) -> None:
    assert missing(granted, used) == ()


def test_nothing_is_granted_that_is_not_asked_for(used: frozenset[Right], granted: frozenset[Right]) -> None:
    assert unused(granted, used) == ()


def test_the_api_server_never_said_forbidden(requests: tuple[AuditEvent, ...]) -> None:
    assert [event.path for event in requests if event.user == OPERATOR and event.code in (401, 403)] == []


def test_no_rule_has_a_wildcard_or_touches_a_secret(granted: frozenset[Right]) -> None:
    words = {word for right in granted for word in (right.verb, right.group, right.resource)}
    assert not words & {"*", "secrets", "pods/exec", "pods/log", "serviceaccounts/token"}
    assert {right.resource for right in granted if right.verb == "patch"} == {
        "inferencepools/status",
        "tokenfactories/status",
    }
