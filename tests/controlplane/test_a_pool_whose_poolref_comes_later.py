"""A pool that refers to one of the Gateway API Inference Extension: its kind and it come later.

The pool is never edited; each change is seen by looking again. The tests run in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scenes import USER, generation, small_plan, tells_truth
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit
from tokenfactory.sandbox.fleet import NAMESPACE
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.scene import Scene

pytestmark = pytest.mark.controlplane

PLAN = small_plan("by-reference")
POOL = PLAN.name
GROUP = "inference.networking.k8s.io"
CRD = Path(__file__).parents[1] / "support" / "crds" / f"{GROUP}_inferencepools.yaml"
REFERRED = {
    "apiVersion": f"{GROUP}/v1",
    "kind": "InferencePool",
    "metadata": {"name": "gateway-pool", "namespace": NAMESPACE},
    "spec": {
        "selector": {"matchLabels": {"app": POOL}},
        "targetPorts": [{"number": 8000}],
        "endpointPickerRef": {"name": "picker", "port": {"number": 9002}},
    },
}


@pytest.fixture(scope="module")
def scene(assets: Assets) -> Iterator[Scene]:
    with Scene(assets, (PLAN,), audit=Audit.METADATA) as running:
        running.kubectl("delete", "tfpool", POOL, "-n", NAMESPACE)
        body = PLAN.body(window_seconds=30)
        del body["spec"]["selector"]
        running.cluster.apply({**body, "spec": {**body["spec"], "poolRef": {"name": "gateway-pool"}}})
        yield running


@pytest.fixture(scope="module")
def operator(scene: Scene) -> OperatorProcess:
    return scene.start_operator()


def wait_stalled(scene: Scene, status: str, reason: str) -> None:
    scene.wait_for(
        f"Stalled={status}/{reason}",
        lambda: (
            scene.condition(POOL, "Stalled").get("status") == status
            and scene.condition(POOL, "Stalled")["reason"] == reason
        ),
    )


def put(scene: Scene) -> None:
    path = scene.plane.folder / "gateway-pool.json"
    path.write_text(json.dumps(REFERRED))
    scene.kubectl("apply", "-f", str(path))


def test_without_the_kind_it_is_stalled_and_the_message_names_the_fix(
    scene: Scene, operator: OperatorProcess
) -> None:
    assert operator.get("/readyz")[0] == 200
    wait_stalled(scene, "True", "PoolRefKindMissing")
    ready = scene.condition(POOL, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PoolRefKindMissing")
    assert '"gateway-pool"' in ready["message"]
    assert "install its CRDs, or use spec.selector" in ready["message"]
    assert not {"cost", "throughput", "gpus"} & scene.status(POOL).keys()


def test_with_the_kind_and_without_the_pool_it_is_not_found(scene: Scene, operator: OperatorProcess) -> None:
    assert operator.get("/readyz")[0] == 200
    scene.kubectl("apply", "-f", str(CRD))
    wait_stalled(scene, "True", "PoolRefNotFound")
    assert scene.condition(POOL, "Ready")["reason"] == "PoolRefNotFound"


def test_beside_theirs_our_own_names_show_our_pool(scene: Scene) -> None:
    assert scene.kubectl("get", "tfpools", "-n", NAMESPACE, "-o", "name").split() == [
        f"inferencepool.tokenfactory.dev/{POOL}"
    ]
    theirs = scene.kubectl("get", f"inferencepools.{GROUP}", "-n", NAMESPACE, "-o", "name")
    assert theirs == "", "ours is none of theirs"


def test_when_the_pool_appears_it_is_served_without_an_edit(scene: Scene, operator: OperatorProcess) -> None:
    put(scene)
    wait_stalled(scene, "False", "Serving")
    assert scene.condition(POOL, "Ready")["status"] == "True"
    assert generation(scene, POOL) == 1
    assert scene.status(POOL)["gpus"]["held"] == "1"
    scene.wait_for("numbers", lambda: scene.status(POOL).get("throughput"))
    assert tells_truth(operator, PLAN)


def test_when_the_pool_goes_it_is_stalled_again_and_without_numbers(
    scene: Scene, operator: OperatorProcess
) -> None:
    scene.kubectl("delete", f"inferencepools.{GROUP}", "gateway-pool", "-n", NAMESPACE)
    wait_stalled(scene, "True", "PoolRefNotFound")
    assert not {"cost", "throughput", "gpus"} & scene.status(POOL).keys()
    assert "tokenfactory_pool_tokens_per_second_per_gpu{" not in operator.get("/metrics")[1]
    assert generation(scene, POOL) == 1


def test_theirs_was_read_and_never_written(scene: Scene) -> None:
    verbs = {e.verb for e in scene.plane.audit_events() if e.user == USER and e.group == GROUP}
    assert verbs == {"get"}
