from __future__ import annotations

from typing import Any

import pytest

from tests.unit.discovery.kube import node, pod, pod_body
from tokenfactory.discovery.containers import UNKNOWN_ARGUMENTS
from tokenfactory.discovery.nodes import project_node
from tokenfactory.discovery.pods import project_pod


def test_a_pod_keeps_the_fields_that_the_line_reads() -> None:
    found = pod()
    container = found.containers[0]
    assert (found.namespace, found.name, found.uid, found.node_name) == (
        "serving",
        "web-0",
        "uid-web-0",
        "node-a",
    )
    assert (found.ip, found.phase, found.ready, found.deleting) == ("10.0.0.5", "Running", True, False)
    assert (container.running, container.ready, container.restarts) == (True, True, 2)
    assert container.started_at == 1795428000.0
    assert container.gpu_limits == (("nvidia.com/gpu", 8.0),)
    assert container.image_id == "vllm@sha256:1"


def test_replicas_of_one_template_share_their_strings() -> None:
    first, second = pod("a").containers[0], pod("b").containers[0]
    assert first.args[1] is second.args[1]
    assert first.image is second.image


def test_a_restartable_init_container_is_a_sidecar_and_another_init_container_is_left_out() -> None:
    proxy = {"name": "routing-proxy", "image": "p:1", "restartPolicy": "Always"}
    found = pod(spec={"initContainers": [proxy, {"name": "download", "image": "d:1"}]})
    assert [(item.name, item.sidecar) for item in found.containers] == [
        ("vllm", False),
        ("routing-proxy", True),
    ]


def test_values_of_secrets_are_unknown_and_literal_values_are_kept() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "EMPTY"},
    ]
    container = pod(container={"env": env, "envFrom": [{"secretRef": {"name": "s"}}]}).containers[0]
    assert container.env == (("A", "1"), ("EMPTY", ""))
    assert container.opaque_env == ("*", "TOKEN")


def test_a_variable_that_is_set_again_has_the_last_meaning() -> None:
    hidden = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    first, last = {"name": "A", "value": "1"}, {"name": "A", "value": "2"}
    assert pod(container={"env": [first, hidden]}).containers[0].env == ()
    assert pod(container={"env": [hidden, last]}).containers[0].env == (("A", "2"),)
    assert pod(container={"env": [hidden, last]}).containers[0].opaque_env == ()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["x"] * 512, ("x",) * 512, id="512 arguments are kept"),
        pytest.param(["x"] * 513, (UNKNOWN_ARGUMENTS,), id="513 arguments are unknown"),
        pytest.param(["x" * 65536], ("x" * 65536,), id="64 KiB are kept"),
        pytest.param(["x" * 65537], (UNKNOWN_ARGUMENTS,), id="a byte more is unknown"),
        pytest.param(["é" * 32769], (UNKNOWN_ARGUMENTS,), id="bytes are counted, not characters"),
        pytest.param(["a", 7], (), id="a list with a number in it is absent"),
        pytest.param("serve", (), id="text instead of a list is absent"),
    ],
)
def test_arguments_are_kept_within_limits(arguments: Any, expected: tuple[str, ...]) -> None:
    assert pod(container={"args": arguments}).containers[0].args == expected


def test_ports_that_say_http_come_first_and_udp_is_left_out() -> None:
    ports = [
        {"containerPort": 5600, "name": "nixl"},
        {"containerPort": 8200, "name": "modelserver"},
        {"containerPort": 9, "protocol": "UDP"},
        {"containerPort": 70000},
    ]
    assert pod(container={"ports": ports}).containers[0].ports == (8200, 5600)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:0::1", "2001:db8::1"),
        ("0x7f000001", ""),
        ("127.1", ""),
        ("010.0.0.1", ""),
        ("fe80::1%eth0", ""),
        ("evil.example", ""),
        (2130706433, ""),
        (None, ""),
    ],
)
def test_only_a_plain_ip_literal_is_an_address(written: Any, expected: str) -> None:
    assert pod(status={"podIP": written}).ip == expected


@pytest.mark.parametrize(
    "written", ["2026-11-23 10:00", "2026-11-23T10:00:00.000", "9999999-01-01T00:00:00Z", 12, "x" * 39]
)
def test_a_time_that_is_not_rfc3339_is_absent(written: Any) -> None:
    state = {"name": "vllm", "state": {"running": {"startedAt": written}}}
    container = pod(status={"containerStatuses": [state]}).containers[0]
    assert (container.running, container.started_at) == (True, None)


@pytest.mark.parametrize("limit", [-1, True, "1.5", "١", 10**9, None, "", "0", [8]])
def test_an_absurd_gpu_limit_is_absent(limit: Any) -> None:
    assert pod(container={"resources": {"limits": {"nvidia.com/gpu": limit}}}).containers[0].gpu_limits == ()


def test_a_pod_from_a_file_without_uid_still_has_an_identity_of_its_own() -> None:
    body = pod_body()
    del body["metadata"]["uid"]
    assert project_pod(body).uid == "serving/web-0"


@pytest.mark.parametrize(
    ("label", "product"),
    [
        ("NVIDIA-H200", "NVIDIA-H200"),
        ("NVIDIA-H200-SHARED", "NVIDIA-H200"),
        ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "NVIDIA-A100-SXM4-80GB"),
        ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb-SHARED", "NVIDIA-A100-SXM4-80GB"),
    ],
)
def test_marks_of_sharing_are_no_part_of_the_product(label: str, product: str) -> None:
    assert node(nvidia_product=label).gpu_product == product


@pytest.mark.parametrize(
    ("labels", "product"),
    [
        ({"cloud.google.com/gke-accelerator": "nvidia-h200-141gb"}, "NVIDIA-H200"),
        ({"karpenter.k8s.aws/instance-gpu-name": "b200"}, "NVIDIA-B200"),
        ({"cloud.google.com/gke-accelerator": "nvidia-new"}, "nvidia-new"),
        ({"nvidia.com/gpu.product": "NVIDIA-GB300", "cloud.google.com/gke-accelerator": "x"}, "NVIDIA-GB300"),
        ({}, None),
    ],
)
def test_a_cloud_label_stands_in_for_a_missing_product(labels: dict[str, str], product: str | None) -> None:
    assert project_node({"metadata": {"name": "n", "labels": labels}}).gpu_product == product


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("karpenter.sh/capacity-type", "on-demand", "OnDemand"),
        ("karpenter.sh/capacity-type", "reserved", "Reserved"),
        ("eks.amazonaws.com/capacityType", "ON_DEMAND", "OnDemand"),
        ("eks.amazonaws.com/capacityType", "SPOT", "Spot"),
        ("eks.amazonaws.com/capacityType", "CAPACITY_BLOCK", "Reserved"),
        ("cloud.google.com/gke-provisioning", "standard", "OnDemand"),
        ("cloud.google.com/gke-provisioning", "spot", "Spot"),
        ("cloud.google.com/gke-spot", "true", "Spot"),
        ("kubernetes.azure.com/scalesetpriority", "regular", "OnDemand"),
        ("karpenter.sh/capacity-type", "flex-start", "flex-start"),
        ("unrelated", "spot", None),
    ],
)
def test_capacity_types_of_the_clouds_get_one_name(key: str, value: str, expected: str | None) -> None:
    assert project_node({"metadata": {"name": "n", "labels": {key: value}}}).capacity_type == expected


@pytest.mark.parametrize(("replicas", "sharing"), [("4", 4), ("1", 1), ("0", 1), ("x", 1), ("-3", 1)])
def test_replicas_of_a_gpu_are_at_least_one(replicas: str, sharing: int) -> None:
    assert node(nvidia_replicas=replicas).sharing == sharing


def test_a_node_tells_capability_instance_type_and_addresses() -> None:
    body = {
        "metadata": {
            "name": "n",
            "labels": {
                "nvidia.com/gpu.compute.major": "10",
                "node.kubernetes.io/instance-type": "p6-b200.48xlarge",
                "huge": "x" * 64,
            },
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "192.168.0.1"},
                {"type": "Hostname", "address": "10.0.0.1"},
            ]
        },
    }
    found = project_node(body)
    assert (found.capability_major, found.instance_type) == (10, "p6-b200.48xlarge")
    assert found.addresses == ("192.168.0.1",)
    assert "huge" not in found.labels
