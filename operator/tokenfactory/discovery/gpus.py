"""How many GPUs a pod holds by its limits (docs/cost-model.md §4)."""

from __future__ import annotations

from tokenfactory.discovery.containers import MIG_PREFIX
from tokenfactory.discovery.nodes import MIG_MARK, PRODUCT
from tokenfactory.model import Node, Pod
from tokenfactory.units import mig_share

NVIDIA = "nvidia.com/"


def gpus_held(pod: Pod, node: Node | None) -> float:
    """GPUs that the pod's limits ask for, slices and shares as fractions of one."""
    return sum(
        count * _share(resource, node)
        for container in pod.containers
        for resource, count in container.gpu_limits
    )


def turns_of(pod: Pod, node: Node | None) -> int:
    """How many pods take turns on a GPU, or MIG device, of the pod, by the node's replicas.

    A pod without limits may be on any GPU of its node.
    """
    if node is None:
        return 1
    resources = {resource for container in pod.containers for resource, _ in container.gpu_limits}
    if not resources:
        return node.sharing
    return max(
        _replicas(node, resource)
        if resource.startswith(MIG_PREFIX)
        else node.sharing
        if resource.startswith(NVIDIA)
        else 1
        for resource in resources
    )


def holds_nvidia(pod: Pod) -> bool:
    """Whether dcgm-exporter can see GPUs of this pod."""
    return (
        pod.mounts_claims
        or bool(pod.claims)
        or any(
            resource.startswith(NVIDIA)
            for container in pod.containers
            for resource, _ in container.gpu_limits
        )
    )


def _share(resource: str, node: Node | None) -> float:
    """The part of a physical GPU behind one unit of the resource.

    One unit of nvidia.com/gpu is a slice under MIG's single strategy and a replica under time-slicing:
    the node's labels tell. A renamed resource (nvidia.com/gpu.shared) is always a replica.
    """
    if resource.startswith(MIG_PREFIX):
        return _slice(resource.removeprefix(MIG_PREFIX), node) / _replicas(node, resource)
    if not resource.startswith(NVIDIA) or node is None:
        return 1.0
    label = node.labels.get(PRODUCT, "")
    part = _slice(label.split(MIG_MARK, 1)[1], node) if MIG_MARK in label else 1.0
    return part / node.sharing


def _replicas(node: Node | None, resource: str) -> int:
    """Replicas of one MIG device, from its own label of GPU feature discovery (mixed strategy)."""
    label = node.labels.get(f"{resource.removesuffix('.shared')}.replicas", "") if node else ""
    return max(1, int(label)) if label.isascii() and label.isdigit() and len(label) <= 4 else 1


def _slice(profile: str, node: Node | None) -> float:
    share = mig_share(profile, (node.gpu_product if node else None) or "")
    return 1.0 if share is None else share
