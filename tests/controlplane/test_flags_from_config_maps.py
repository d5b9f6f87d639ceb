"""Flags that a running pod takes from ConfigMaps, read on a real API server under the shipped role."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.scenes import (
    USER,
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
from tokenfactory.sandbox.objects import render_time
from tokenfactory.sandbox.operator_process import OPERATOR_NAMESPACE, OperatorProcess
from tokenfactory.sandbox.scene import Scene

pytestmark = pytest.mark.controlplane

PLAN = small_plan("without-files")
POOL, CLIMBING, OTHER, PAIR = "from-a-file", "climbing", "other", "pair"
ORDERS = """\
context_servers: {num_instances: 1, urls: ['pair-ctx.ctx:8001']}
generation_servers: {num_instances: 1, urls: ['pair-gen.gen.serving.svc:8002']}
""".replace("serving", NAMESPACE)
TRTLLM = "nvcr.io/nvidia/tensorrt-llm/release:1.3.0"


def config_map(name: str, data: dict[str, str], namespace: str = NAMESPACE) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def serving_pod(node: str) -> dict[str, Any]:
    return pod_of(
        f"{POOL}-0",
        POOL,
        node,
        [{"name": "flags", "configMap": {"name": "vllm-flags"}}],
        args=["--model=$(MODEL)", "--config", "/etc/vllm/flags.yaml"],
        env=[{"name": "MODEL", "valueFrom": {"configMapKeyRef": {"name": "vllm-model", "key": "name"}}}],
    )


def climbing_pod(node: str) -> dict[str, Any]:
    """Its volume names a path to another namespace: the API server takes it, no kubelet would mount it."""
    volume = {"name": "flags", "configMap": {"name": f"../../{OTHER}/configmaps/flags"}}
    args = ["--model=org/model", "--config", "/etc/vllm/flags.yaml"]
    return pod_of("climbing-0", CLIMBING, node, [volume], args=args)


def pair_of_pods(node: str) -> list[dict[str, Any]]:
    """Two servers of TensorRT-LLM that say no role, and the orchestrator whose file does."""
    volume = {"name": "flags", "configMap": {"name": "orders"}}
    mounted = ["trtllm-serve", "disaggregated", "-c", "/etc/vllm/d.yaml"]
    router = pod_of("pair-router", PAIR, node, [volume], image=TRTLLM, resources={}, command=mounted)
    servers = [
        pod_of(name, PAIR, node, [], image=TRTLLM, volumeMounts=[], command=["trtllm-serve", "m", *port])
        for name, port in (("pair-ctx", ("--port", "8001")), ("pair-gen", ("--port", "8002")))
    ]
    return [*servers, router]


def pod_of(name: str, app: str, node: str, volumes: list[dict[str, Any]], **container: Any) -> dict[str, Any]:
    served = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.32.0",
        "volumeMounts": [{"name": "flags", "mountPath": "/etc/vllm"}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        **container,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": app}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [served],
            "volumes": volumes,
        },
    }


@pytest.fixture(scope="module")
def scene(assets: Assets) -> Iterator[Scene]:
    with Scene(assets, (PLAN,), audit=Audit.METADATA) as running:
        running.cluster.add_namespace(OTHER)
        put(running, config_map("flags", {"flags.yaml": "kv-offloading-size: 64\n"}, OTHER))
        put(running, config_map("vllm-flags", {"flags.yaml": "kv-offloading-size: 64\n"}))
        put(running, config_map("vllm-model", {"name": "nvidia/DeepSeek-R1-NVFP4"}))
        put(running, config_map("nobodys", {"secret": "of somebody else"}))
        node = running.fleet.nodes[0].name
        put(running, config_map("orders", {"d.yaml": ORDERS}))
        for body in (serving_pod(node), climbing_pod(node), *pair_of_pods(node)):
            put(running, body)
            run(running, body["metadata"]["name"])
        for name in (POOL, CLIMBING, PAIR):
            running.cluster.apply(pool_over(PLAN, name, app=name))
        yield running


@pytest.fixture(scope="module")
def operator(scene: Scene) -> OperatorProcess:
    return scene.start_operator()


def run(scene: Scene, pod: str) -> None:
    """The kubelet's word that it runs since the ConfigMaps are there."""
    started = {"state": {"running": {"startedAt": render_time(time.time() + 2)}}}
    container = {"name": "vllm", "image": "", "imageID": "", "restartCount": 0, "ready": True, **started}
    patch = json.dumps({"status": {"phase": "Running", "containerStatuses": [container]}})
    scene.kubectl("patch", "pod", pod, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)


def put(scene: Scene, body: dict[str, Any]) -> None:
    assert scene.plane.kubectl("create", "-f", "-", input=json.dumps(body)).returncode == 0


def row(scene: Scene, optimization: str, pool: str = POOL) -> dict[str, Any]:
    rows = scene.status(pool).get("optimizations") or []
    return next((dict(row) for row in rows if row["name"] == optimization), {})


@pytest.mark.usefixtures("operator")
def test_a_mounted_file_and_a_variable_of_config_maps_are_read(scene: Scene) -> None:
    scene.wait_for("the row is there", lambda: row(scene, "KVCacheOffloading"))
    assert row(scene, "KVCacheOffloading")["declared"].startswith("declared")
    assert row(scene, "FP4")["declared"].startswith("declared-by-checkpoint")


@pytest.mark.usefixtures("operator")
def test_the_file_of_an_orchestrator_gives_its_servers_their_roles(scene: Scene) -> None:
    def roles() -> dict[str, int]:
        found = (scene.status(PAIR).get("serving") or {}).get("roles") or []
        return {role["name"]: role["replicas"] for role in found}

    scene.wait_for("the roles are there", lambda: roles() == {"prefill": 1, "decode": 1})


@pytest.mark.usefixtures("operator")
def test_a_name_that_is_a_path_leads_to_no_other_namespace(scene: Scene) -> None:
    found = scene.wait_for("the row is there", lambda: row(scene, "KVCacheOffloading", CLIMBING))
    assert found["declared"] == "opaque (--config)"


@pytest.mark.usefixtures("operator")
def test_only_the_config_maps_that_serving_pods_use_are_asked_for_one_by_one(scene: Scene) -> None:
    asked = {
        (event.verb, event.namespace, event.name)
        for event in scene.plane.audit_events()
        if event.user == USER and event.resource == "configmaps" and event.namespace != OPERATOR_NAMESPACE
    }
    assert asked == {("get", NAMESPACE, name) for name in ("orders", "vllm-flags", "vllm-model")}


def test_where_config_maps_may_not_be_read_pools_go_on_and_say_so(
    scene: Scene, operator: OperatorProcess
) -> None:
    operator.stop()
    take_right_away(scene, "configmaps")
    operator.start()
    scene.cluster.apply(pool_over(PLAN, "later", app=POOL))
    scene.wait_for("the row is there", lambda: row(scene, "KVCacheOffloading", "later"))
    for name in ("KVCacheOffloading", "FP4"):
        assert row(scene, name, "later")["state"] == "Unverifiable"
        assert row(scene, name, "later")["declared"].startswith("opaque")
    used = {"orders", "vllm-flags", "vllm-model"}
    scene.wait_for("each was refused", lambda: set(refusals(scene, "configmaps")) == used)
    asked, written = refusals(scene, "configmaps"), writes_of(scene, "later")
    wait_for_cycles(scene, operator, "later", 1)
    assert (refusals(scene, "configmaps"), writes_of(scene, "later")) == (asked, written)
    assert operator.log.read_text().count("ConfigMaps may not be read") == 1
