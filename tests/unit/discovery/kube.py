"""Kubernetes objects and an in-memory inventory for discovery's tests."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from tokenfactory.discovery.endpoints import locate
from tokenfactory.discovery.engines import access_to
from tokenfactory.discovery.fleet import find
from tokenfactory.discovery.nodes import project_node
from tokenfactory.discovery.pods import project_pod
from tokenfactory.inspection.fleet import inspect
from tokenfactory.model import Fleet, LabelSelector, Node, Pod, Pool, PoolKey, Terms
from tokenfactory.ports import ReferencedPool

CONTAINER: dict[str, Any] = {
    "name": "vllm",
    "image": "vllm/vllm-openai:v0.33.0",
    "args": ["--model", "org/model"],
    "ports": [{"containerPort": 8000}],
    "resources": {"limits": {"nvidia.com/gpu": "8"}},
}


def pod_body(name: str = "web-0", **changes: Any) -> dict[str, Any]:
    """A running pod of one 8-GPU vLLM container. Changes: container, containers, spec, status, metadata."""
    container = {**copy.deepcopy(CONTAINER), **changes.get("container", {})}
    metadata = {"namespace": "serving", "name": name, "uid": f"uid-{name}", "labels": {"app": "web"}}
    spec = {"nodeName": "node-a", "containers": changes.get("containers", [container])}
    status = {
        "phase": "Running",
        "podIP": "10.0.0.5",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": container["name"],
                "ready": True,
                "restartCount": 2,
                "imageID": "vllm@sha256:1",
                "state": {"running": {"startedAt": "2026-11-23T10:00:00Z"}},
            }
        ],
    }
    return {
        "metadata": metadata | changes.get("metadata", {}),
        "spec": spec | changes.get("spec", {}),
        "status": status | changes.get("status", {}),
    }


def pod(name: str = "web-0", **changes: Any) -> Pod:
    """Projected from JSON as it comes over the wire: no two pods share a string before projection."""
    return project_pod(json.loads(json.dumps(pod_body(name, **changes))))


def node(name: str = "node-a", **labels: str) -> Node:
    """A node of 8 H200; labels by keyword replace the prefix `nvidia_` with `nvidia.com/gpu.`."""
    written = {"nvidia.com/gpu.product": "NVIDIA-H200", "nvidia.com/gpu.count": "8"}
    written |= {
        key.replace("nvidia_", "nvidia.com/gpu.").replace("__", "."): value for key, value in labels.items()
    }
    return project_node({"metadata": {"name": name, "labels": written}})


def pool(**changes: Any) -> Pool:
    values = {
        "key": PoolKey("serving", "web"),
        "uid": "pool-uid",
        "generation": 1,
        "selector": LabelSelector((("app", "web"),)),
    }
    return Pool(**(values | changes))


class Shelf:
    """An Inventory over fixed tuples. It hands out every matching pod of any namespace, on purpose."""

    def __init__(
        self, pods: list[Pod], *, nodes: list[Node] | None = None, exporters: list[Pod] | None = None
    ) -> None:
        self._pods = pods
        self._nodes = {item.name: item for item in (nodes if nodes is not None else [node()])}
        self._exporters = exporters or []

    def pods(self, namespace: str, selector: LabelSelector) -> tuple[Pod, ...]:
        return tuple(item for item in self._pods if selector.matches(item.labels))

    def exporters(self, selectors: tuple[LabelSelector, ...]) -> tuple[Pod, ...]:
        return tuple(
            item for item in self._exporters if any(selector.matches(item.labels) for selector in selectors)
        )

    def is_node_address(self, ip: str) -> bool:
        return any(ip in node.addresses for node in self._nodes.values())

    def node(self, name: str) -> Node | None:
        return self._nodes.get(name)


def exporter(name: str = "dcgm-a", node_name: str = "node-a", **changes: Any) -> Pod:
    metadata = {"namespace": "gpu-operator", "labels": {"app": "nvidia-dcgm-exporter"}} | changes.get(
        "metadata", {}
    )
    return pod(
        name,
        metadata=metadata,
        spec={"nodeName": node_name, "hostNetwork": True},
        status={"podIP": "192.168.0.7"} | changes.get("status", {}),
        container={"name": "exporter", "image": "nvcr.io/nvidia/k8s/dcgm-exporter:4.8.3", "resources": {}},
    )


def look(
    asked: Pool,
    terms: Terms,
    shelf: Shelf,
    *,
    referenced: ReferencedPool | None = None,
    neighbours: Sequence[tuple[str, LabelSelector]] = (),
) -> Fleet:
    """The fleet as the line sees it: found, inspected, located."""
    fleet = find(asked, terms, shelf, referenced=referenced, neighbours=neighbours)
    return locate(fleet, inspect(fleet), access_to(asked, terms, referenced))[0]
