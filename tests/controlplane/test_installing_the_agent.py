"""The agent's manifests on a real API server: what Pod Security says of its pod."""

from __future__ import annotations

import json

import pytest

from tests.support.installed import MANIFESTS, kustomize, read_objects
from tokenfactory.sandbox.assets import provide_assets
from tokenfactory.sandbox.controlplane import ControlPlane

pytestmark = pytest.mark.controlplane
COMPONENT = MANIFESTS / "components" / "agent"


def test_the_agents_pod_is_let_into_its_own_namespace_and_into_no_restricted_one() -> None:
    template = read_objects(kustomize(COMPONENT))["DaemonSet", "tokenfactory-agent"]["spec"]["template"]
    with ControlPlane(provide_assets()) as plane:
        for folder in (MANIFESTS, COMPONENT):
            applied = plane.kubectl("apply", "-k", str(folder))
            assert applied.returncode == 0, applied.stderr
        for namespace, refusal in (("tokenfactory-agent", ""), ("tokenfactory-system", "hostPath")):
            body = {
                "apiVersion": "v1",
                "kind": "Pod",
                **template,
                "metadata": {"name": "agent", "namespace": namespace, **template["metadata"]},
            }
            body["spec"] = {**body["spec"], "serviceAccountName": "default"}
            plane.kubectl("create", "serviceaccount", "default", f"--namespace={namespace}")
            answer = plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(body))
            assert bool(answer.returncode) == bool(refusal), answer.stderr
            assert refusal in answer.stderr
