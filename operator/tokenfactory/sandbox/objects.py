"""Kubernetes objects of the replayed fleet, as the scheduler and the kubelet would have left them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
EXPORTER_NAMESPACE = "gpu-operator"
EXPORTER_LABELS = {"app": "nvidia-dcgm-exporter"}
CAPABILITIES = {"NVIDIA-H200": 9, "NVIDIA-B200": 10, "NVIDIA-GB300": 10}


def render_time(seconds: float) -> str:
    """Unix seconds as RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPod:
    """One serving pod: where it runs, what it was told, and how it stands."""

    name: str
    namespace: str
    node: str
    ip: str
    gpus: int
    labels: dict[str, str] = field(default_factory=dict)
    image: str = "vllm/vllm-openai:v0.32.0"
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    port: int = 8000
    ready: bool = True
    restarts: int = 0
    started_at: float = 0.0
    host_network: bool = False

    def body(self) -> Body:
        """The object as somebody would apply it, already bound to its node."""
        container: Body = {
            "name": "vllm",
            "image": self.image,
            "args": list(self.args),
            "ports": [{"name": "http", "containerPort": self.port}],
            "resources": {"limits": {"nvidia.com/gpu": str(self.gpus)}} if self.gpus else {},
        }
        if self.command:
            container["command"] = list(self.command)
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": dict(self.labels)},
            "spec": {
                "nodeName": self.node,
                "hostNetwork": self.host_network,
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "containers": [container],
            },
        }

    def status(self) -> Body:
        """What the kubelet would report."""
        truth = "True" if self.ready else "False"
        return {
            "phase": "Running",
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "conditions": [{"type": "Ready", "status": truth}],
            "containerStatuses": [
                {
                    "name": "vllm",
                    "image": self.image,
                    "imageID": f"docker-pullable://{self.image}@sha256:{'ab' * 32}",
                    "ready": self.ready,
                    "restartCount": self.restarts,
                    "started": True,
                    "state": {"running": {"startedAt": render_time(self.started_at)}},
                }
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuNode:
    """A node with GPUs of one product and a dcgm-exporter on `exporter_ip` (empty: none)."""

    name: str
    product: str
    gpus: int
    exporter_ip: str = ""
    exporter_port: int = 9400
    instance_type: str = ""

    def body(self) -> Body:
        labels = {
            "nvidia.com/gpu.product": self.product,
            "nvidia.com/gpu.count": str(self.gpus),
            "nvidia.com/gpu.replicas": "1",
            "nvidia.com/gpu.compute.major": str(CAPABILITIES.get(self.product, 9)),
            "kubernetes.io/hostname": self.name,
        }
        if self.instance_type:
            labels["node.kubernetes.io/instance-type"] = self.instance_type
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}}

    def exporter(self) -> Body:
        """The dcgm-exporter pod of this node."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"nvidia-dcgm-exporter-{self.name}",
                "namespace": EXPORTER_NAMESPACE,
                "labels": dict(EXPORTER_LABELS),
            },
            "spec": {
                "nodeName": self.name,
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "containers": [
                    {
                        "name": "dcgm-exporter",
                        "image": "nvidia/dcgm-exporter:4.6.0-4.8.3-distroless",
                        "ports": [{"name": "metrics", "containerPort": self.exporter_port}],
                    }
                ],
            },
        }

    def exporter_status(self) -> Body:
        return {
            "phase": "Running",
            "podIP": self.exporter_ip,
            "podIPs": [{"ip": self.exporter_ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
