"""Dynamic resource allocation on a real API server: claims by name, by template, shared, of an admin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.scenes import (
    USER,
    figure,
    pool_over,
    refusals,
    small_plan,
    take_right_away,
    wait_for_cycles,
    writes_of,
)
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit
from tokenfactory.sandbox.fleet import NAMESPACE
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.scene import Scene

pytestmark = pytest.mark.controlplane

PLAN = small_plan("by-limits")
POOL = "by-claims"
DRIVER = "gpu.nvidia.com"


def result(device: str, **changes: Any) -> dict[str, Any]:
    return {"request": "gpu", "driver": DRIVER, "pool": "node", "device": device} | changes


def claim(name: str) -> dict[str, Any]:
    request = {"name": "gpu", "exactly": {"deviceClassName": DRIVER, "allocationMode": "All"}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"devices": {"requests": [request]}},
    }


class Stage:
    """Plays the scheduler and the controllers that the embedded control plane does not run."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        path = self.scene.plane.folder / "claimed.json"
        path.write_text(json.dumps(body))
        return dict(json.loads(self.scene.kubectl("create", "-o", "json", "-f", str(path))))

    def report(self, kind: str, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.scene.kubectl(
            *("patch", kind, name, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)
        )

    def pod(self, name: str, use: dict[str, Any], *, made: str = "") -> str:
        """A pod that waits for its engine; returns its UID."""
        uid = self.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": POOL}},
                "spec": {
                    "nodeName": self.scene.fleet.nodes[0].name,
                    "automountServiceAccountToken": False,
                    "resourceClaims": [{"name": "gpu", **use}],
                    "containers": [
                        {
                            "name": "vllm",
                            "image": "vllm/vllm-openai:v0.33.0",
                            "resources": {"claims": [{"name": "gpu"}]},
                        }
                    ],
                },
            }
        )["metadata"]["uid"]
        if made:
            self.report("pod", name, {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": made}]})
        return str(uid)

    def allocate(self, name: str, *results: dict[str, Any], users: dict[str, str]) -> None:
        self.report(
            "resourceclaim",
            name,
            {
                "allocation": {"devices": {"results": list(results)}},
                "reservedFor": [{"resource": "pods", "name": pod, "uid": uid} for pod, uid in users.items()],
            },
        )


@pytest.fixture(scope="module")
def scene(assets: Assets) -> Iterator[Scene]:
    """Four pods: 4 GPUs by name, 2 and an admin's by template, one GPU shared by two."""
    with Scene(assets, (PLAN,), audit=Audit.METADATA) as running:
        stage = Stage(running)
        running.kubectl("label", "namespace", NAMESPACE, "resource.kubernetes.io/admin-access=true")
        for name in ("whole", "made-x7k2p", "shared", "nobodys"):
            stage.create(claim(name))
        whole = stage.pod("whole", {"resourceClaimName": "whole"})
        made = stage.pod("made", {"resourceClaimTemplateName": "t"}, made="made-x7k2p")
        both = {name: stage.pod(name, {"resourceClaimName": "shared"}) for name in ("shared-0", "shared-1")}
        stage.allocate("whole", *(result(f"gpu-{i}") for i in range(4)), users={"whole": whole})
        stage.allocate(
            "made-x7k2p",
            result("gpu-4"),
            result("gpu-5"),
            result("gpu-6", adminAccess=True),
            result("channel-0", driver="compute-domain.nvidia.com"),
            users={"made": made},
        )
        stage.allocate("shared", result("gpu-7"), users=both)
        running.cluster.apply(pool_over(PLAN, POOL, app=POOL))
        yield running


@pytest.fixture(scope="module")
def operator(scene: Scene) -> OperatorProcess:
    return scene.start_operator()


def gpus_held(scene: Scene) -> str:
    return str((scene.status(POOL).get("gpus") or {}).get("held", ""))


@pytest.mark.usefixtures("operator")
def test_the_pool_holds_every_allocated_gpu_once(scene: Scene) -> None:
    scene.wait_for("the GPUs of the claims are counted", lambda: gpus_held(scene) == "7")


@pytest.mark.usefixtures("operator")
def test_the_pool_is_paid_for_by_them(scene: Scene) -> None:
    per_hour = scene.wait_for("a cost", lambda: (scene.status(POOL).get("cost") or {}).get("perHour"))
    assert float(per_hour) == pytest.approx(7 * float(PLAN.per_gpu_hour), rel=0.001)


@pytest.mark.usefixtures("operator")
def test_only_the_claims_of_serving_pods_are_asked_for_one_by_one(scene: Scene) -> None:
    asked = {
        (event.verb, event.namespace, event.name)
        for event in scene.plane.audit_events()
        if event.user == USER and event.resource == "resourceclaims"
    }
    assert asked == {("get", NAMESPACE, name) for name in ("whole", "made-x7k2p", "shared")}


@pytest.mark.usefixtures("operator")
def test_they_are_remembered(scene: Scene) -> None:
    """The pool is cycled every six seconds; two exclusive claims are asked for once."""
    asked = [
        event.name
        for event in scene.plane.audit_events()
        if event.user == USER and event.resource == "resourceclaims" and event.name != "shared"
    ]
    assert sorted(asked) == ["made-x7k2p", "whole"]


def test_where_claims_may_not_be_read_pools_go_on_and_say_so(scene: Scene, operator: OperatorProcess) -> None:
    """A pool of which nothing was published before: its GPUs are missing, not zero."""
    operator.stop()
    take_right_away(scene, "resourceclaims")
    operator.start()
    scene.cluster.apply(pool_over(PLAN, "later", app=POOL))
    found = scene.wait_for("it says why", lambda: scene.condition("later", "TelemetryHealthy"))
    assert (found["status"], found["reason"]) == ("False", "ClaimsNotRead")
    assert "grant the operator get on resourceclaims" in found["message"]
    status = scene.status("later")
    assert ("gpus" in status, "perHour" in status.get("cost", {})) == (False, False)
    asked, written = refusals(scene, "resourceclaims"), writes_of(scene, "later")
    assert set(asked) == {"made-x7k2p", "shared", "whole"}
    wait_for_cycles(scene, operator, "later", 1)
    assert (refusals(scene, "resourceclaims"), writes_of(scene, "later")) == (asked, written)
    assert figure(operator, "gpus", "later", kind="held") is None
    assert operator.log.read_text().count("ResourceClaims may not be read") == 1
