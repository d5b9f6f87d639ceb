"""Flags that a running pod takes from ConfigMaps, read on a real API server under the shipped role."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.scenes import USER, small_plan
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit
from tokenfactory.sandbox.fleet import NAMESPACE
from tokenfactory.sandbox.objects import render_time
from tokenfactory.sandbox.scene import Scene

pytestmark = pytest.mark.controlplane

PLAN = small_plan("without-files")
POOL = "from-a-file"


def config_map(name: str, data: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def serving_pod(node: str) -> dict[str, Any]:
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.32.0",
        "args": ["--model=$(MODEL)", "--config", "/etc/vllm/flags.yaml"],
        "env": [{"name": "MODEL", "valueFrom": {"configMapKeyRef": {"name": "vllm-model", "key": "name"}}}],
        "volumeMounts": [{"name": "flags", "mountPath": "/etc/vllm"}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{POOL}-0", "namespace": NAMESPACE, "labels": {"app": POOL}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "flags", "configMap": {"name": "vllm-flags"}}],
        },
    }


@pytest.fixture(scope="module")
def scene(assets: Assets) -> Iterator[Scene]:
    with Scene(assets, (PLAN,), audit=Audit.METADATA) as running:
        put(running, config_map("vllm-flags", {"flags.yaml": "kv-offloading-size: 64\n"}))
        put(running, config_map("vllm-model", {"name": "nvidia/DeepSeek-R1-NVFP4"}))
        put(running, config_map("nobodys", {"secret": "of somebody else"}))
        put(running, serving_pod(running.fleet.nodes[0].name))
        started = {"state": {"running": {"startedAt": render_time(time.time() + 2)}}}
        status = {
            "phase": "Running",
            "containerStatuses": [
                {"name": "vllm", "image": "", "imageID": "", "restartCount": 0, "ready": True, **started}
            ],
        }
        patch = json.dumps({"status": status})
        running.kubectl(
            "patch", "pod", f"{POOL}-0", "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch
        )
        body = PLAN.body(window_seconds=30)
        body["metadata"]["name"] = POOL
        body["spec"]["selector"] = {"matchLabels": {"app": POOL}}
        running.cluster.apply(body)
        running.start_operator()
        yield running


def put(scene: Scene, body: dict[str, Any]) -> None:
    path = scene.plane.folder / "object.json"
    path.write_text(json.dumps(body))
    scene.kubectl("create", "-f", str(path))


def declared(scene: Scene, optimization: str) -> str:
    rows = scene.status(POOL).get("optimizations") or []
    return next((str(row["declared"]) for row in rows if row["name"] == optimization), "")


def test_a_mounted_file_and_a_variable_of_config_maps_are_read(scene: Scene) -> None:
    scene.wait_for("the row is there", lambda: declared(scene, "KVCacheOffloading"))
    assert declared(scene, "KVCacheOffloading").startswith("declared")
    assert declared(scene, "FP4").startswith("declared-by-checkpoint")


def test_only_the_config_maps_that_serving_pods_use_are_asked_for_one_by_one(scene: Scene) -> None:
    asked = {
        (event.verb, event.namespace, event.name)
        for event in scene.plane.audit_events()
        if event.user == USER and event.resource == "configmaps" and event.namespace == NAMESPACE
    }
    assert asked == {("get", NAMESPACE, "vllm-flags"), ("get", NAMESPACE, "vllm-model")}
