"""A node whose labels name no GPU is known by its instance type."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.discovery.kube import pod
from tokenfactory.costing.skus import find_sku
from tokenfactory.discovery.gpus import gpus_held
from tokenfactory.discovery.instancetypes import AS_OF, INSTANCE_TYPES
from tokenfactory.discovery.nodes import project_node
from tokenfactory.model import Node

TYPE = "node.kubernetes.io/instance-type"


def node(instance_type: str, *, capacity: object = None, **labels: str) -> Node:
    body: dict[str, Any] = {"metadata": {"name": "n", "labels": {TYPE: instance_type} | labels}}
    if capacity is not None:
        body["status"] = {"capacity": {"nvidia.com/gpu": capacity}}
    return project_node(body)


@pytest.mark.parametrize(
    ("instance_type", "product", "gpus"),
    [
        ("p4d.24xlarge", "NVIDIA-A100-SXM4-40GB", 8),
        ("p4de.24xlarge", "NVIDIA-A100-SXM4-80GB", 8),
        ("p5.48xlarge", "NVIDIA-H100-80GB-HBM3", 8),
        ("p5en.48xlarge", "NVIDIA-H200", 8),
        ("p6-b200.48xlarge", "NVIDIA-B200", 8),
        ("p6e-gb200.36xlarge", "NVIDIA-GB200", 4),
        ("g6e.12xlarge", "NVIDIA-L40S", 4),
        ("a3-highgpu-2g", "NVIDIA-H100-80GB-HBM3", 2),
        ("a3-ultragpu-8g", "NVIDIA-H200", 8),
        ("a4x-highgpu-4g", "NVIDIA-GB200", 4),
        ("a4x-maxgpu-4g-metal", "NVIDIA-GB300", 4),
        ("Standard_ND96isr_H200_v5", "NVIDIA-H200", 8),
        ("Standard_ND128isr_NDR_GB200_v6", "NVIDIA-GB200", 4),
        ("Standard_ND128isr_GB300_v6", "NVIDIA-GB300", 4),
        ("Standard_ND96isr_MI300X_v5", "AMD-Instinct-MI300X", 8),
        ("Standard_NC80adis_H100_v5", "NVIDIA-H100-NVL", 2),
    ],
)
def test_product_and_gpus_of_an_instance_type(instance_type: str, product: str, gpus: int) -> None:
    found = node(instance_type)
    assert (found.gpu_product, found.gpu_count, found.instance_type) == (product, gpus, instance_type)


def test_an_unknown_type_says_nothing() -> None:
    assert (node("m7i.large").gpu_product, node("m7i.large").gpu_count) == (None, None)


@pytest.mark.parametrize(
    "labels",
    [
        {"nvidia.com/gpu.product": "NVIDIA-H100-NVL"},
        {"cloud.google.com/gke-accelerator": "nvidia-h100-nvl"},
        {"gpu.nvidia.com/model": "H100_NVL"},
    ],
    ids=["GPU feature discovery", "GKE", "CoreWeave"],
)
def test_labels_go_before_the_table(labels: dict[str, str]) -> None:
    found = node("p5en.48xlarge", **labels)
    assert found.gpu_product in labels.values()
    sku = find_sku(found.gpu_product)
    assert sku is not None
    assert sku.name == "H100"


def test_every_product_of_the_table_is_a_known_gpu_and_the_table_has_a_date() -> None:
    assert [name for name, item in INSTANCE_TYPES.items() if find_sku(item.product) is None] == []
    assert all(name == name.lower() for name in INSTANCE_TYPES)
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", AS_OF)


@pytest.mark.parametrize(
    ("instance_type", "share"),
    [("g4-standard-6", 1 / 8), ("g4-standard-12", 1 / 4), ("g4-standard-24", 1 / 2)],
)
def test_a_fraction_of_a_gpu_is_counted_as_one(instance_type: str, share: float) -> None:
    limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    assert gpus_held(pod(container=limits), node(instance_type)) == share


@pytest.mark.parametrize(
    ("capacity", "labels", "sharing"),
    [
        pytest.param("8", {}, 1, id="as many as there are"),
        pytest.param("32", {}, 4, id="four times as many: time-slicing without feature discovery"),
        pytest.param("32", {"nvidia.com/gpu.replicas": "2"}, 2, id="feature discovery's word goes first"),
        pytest.param("7", {}, 1, id="one GPU is ill"),
        pytest.param("x", {}, 1, id="no number"),
        pytest.param(None, {}, 1, id="no capacity"),
    ],
)
def test_a_capacity_of_several_times_the_gpus_is_sharing(
    capacity: object, labels: dict[str, str], sharing: int
) -> None:
    assert node("p5.48xlarge", capacity=capacity, **labels).sharing == sharing
