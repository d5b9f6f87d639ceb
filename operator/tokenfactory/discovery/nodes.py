"""A node's Kubernetes object: what its labels say of its GPUs and of its price."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tokenfactory.discovery.border import address, labels_of, mapping, mappings, text, whole
from tokenfactory.discovery.instancetypes import find_instance_type
from tokenfactory.model import Node

PRODUCT = "nvidia.com/gpu.product"
REPLICAS = "nvidia.com/gpu.replicas"
STRATEGY = "nvidia.com/gpu.sharing-strategy"
CAPACITY = "nvidia.com/gpu"
MOST_GPUS = 1024
MIG_MARK = "-MIG-"
SHARED_MARK = "-SHARED"

PRODUCT_FALLBACKS = (
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "eks.amazonaws.com/instance-gpu-name",
    "gpu.nvidia.com/model",
    "gpu.nvidia.com/class",
)
COUNTS = (
    "nvidia.com/gpu.count",
    "cloud.google.com/gke-accelerator-count",
    "karpenter.k8s.aws/instance-gpu-count",
    "eks.amazonaws.com/instance-gpu-count",
    "gpu.nvidia.com/count",
)
INSTANCE_TYPES = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
CAPACITY_TYPES = (
    "karpenter.sh/capacity-type",
    "eks.amazonaws.com/capacityType",
    "cloud.google.com/gke-provisioning",
    "kubernetes.azure.com/scalesetpriority",
)
SPOT_FLAGS = ("cloud.google.com/gke-spot", "cloud.google.com/gke-preemptible")

CLOUD_PRODUCTS: Mapping[str, str] = MappingProxyType(
    {
        "nvidia-tesla-a100": "NVIDIA-A100-SXM4-40GB",
        "nvidia-a100-80gb": "NVIDIA-A100-SXM4-80GB",
        "nvidia-h100-80gb": "NVIDIA-H100-80GB-HBM3",
        "nvidia-h100-mega-80gb": "NVIDIA-H100-80GB-HBM3",
        "nvidia-h200-141gb": "NVIDIA-H200",
        "nvidia-b200": "NVIDIA-B200",
        "nvidia-gb200": "NVIDIA-GB200",
        "nvidia-gb300": "NVIDIA-GB300",
        "h100": "NVIDIA-H100-80GB-HBM3",
        "h200": "NVIDIA-H200",
        "b200": "NVIDIA-B200",
        "gb200": "NVIDIA-GB200",
        "gb300": "NVIDIA-GB300",
    }
)
CAPACITIES: Mapping[str, str] = MappingProxyType(
    {
        "spot": "Spot",
        "preemptible": "Spot",
        "ondemand": "OnDemand",
        "standard": "OnDemand",
        "regular": "OnDemand",
        "reserved": "Reserved",
        "capacityblock": "Reserved",
    }
)


def project_node(body: Mapping[str, Any]) -> Node:
    """The frozen projection of a node. Never raises: a field of the wrong type is treated as absent."""
    metadata = mapping(body, "metadata")
    labels = labels_of(metadata.get("labels"))
    addresses = (
        address(item.get("address"))
        for item in mappings(mapping(body, "status").get("addresses"))
        if item.get("type") in ("InternalIP", "ExternalIP")
    )
    instance_type = _first(labels, INSTANCE_TYPES)
    known = find_instance_type(instance_type)
    count = whole(_first(labels, COUNTS), most=MOST_GPUS) or (known.gpus if known else None)
    capacity = whole(mapping(body, "status", "capacity").get(CAPACITY), most=MOST_GPUS * MOST_GPUS)
    return Node(
        name=text(metadata.get("name")),
        gpu_product=_product(labels) or (known.product if known else None),
        gpu_count=count,
        sharing=_sharing(labels, count=count, capacity=capacity) * (known.parts if known else 1),
        capability_major=whole(labels.get("nvidia.com/gpu.compute.major"), most=99),
        instance_type=instance_type,
        capacity_type=_capacity(labels),
        labels=labels,
        addresses=tuple(sorted({item for item in addresses if item})),
    )


def plain_product(label: str) -> str:
    """The product without the marks that GPU feature discovery appends for MIG and for sharing."""
    return label.removesuffix(SHARED_MARK).split(MIG_MARK, 1)[0]


def _product(labels: Mapping[str, str]) -> str | None:
    """GPU feature discovery's label, else a cloud's, by the name that GPU feature discovery would give."""
    label = labels.get(PRODUCT)
    if label:
        return plain_product(label) or None
    name = _first(labels, PRODUCT_FALLBACKS)
    return CLOUD_PRODUCTS.get(name.lower(), name) if name else None


def _sharing(labels: Mapping[str, str], *, count: int | None, capacity: int | None) -> int:
    """How many replicas of a GPU the node advertises, by time-slicing or MPS.

    GPU feature discovery says it; without its word, a capacity of several times the node's GPUs does.
    """
    if labels.get(STRATEGY) == "none":
        return 1
    written = whole(labels.get(REPLICAS), most=MOST_GPUS)
    if written is not None:
        return max(1, written)
    return max(1, round(capacity / count)) if capacity and count else 1


def _capacity(labels: Mapping[str, str]) -> str | None:
    """OnDemand, Spot or Reserved; a value that none of the clouds documents is kept as it is."""
    if any(labels.get(flag) == "true" for flag in SPOT_FLAGS):
        return "Spot"
    written = _first(labels, CAPACITY_TYPES)
    if not written:
        return None
    return CAPACITIES.get(written.lower().replace("-", "").replace("_", ""), written)


def _first(labels: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((labels[key] for key in keys if labels.get(key)), None)
