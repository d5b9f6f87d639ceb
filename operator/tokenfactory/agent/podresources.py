"""The messages of the kubelet's PodResources API v1 that the agent reads, as a table of its field numbers.

https://github.com/kubernetes/kubelet/blob/v0.34.0/pkg/apis/podresources/v1/api.proto: fields that are not
named here (CPUs, memory, topology) are skipped by protobuf.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

TEXT, ONE, MANY = "", "optional", "repeated"

MESSAGES: dict[str, tuple[tuple[int, str, str, str], ...]] = {
    "ListPodResourcesRequest": (),
    "ListPodResourcesResponse": ((1, "pod_resources", "PodResources", MANY),),
    "PodResources": (
        (1, "name", TEXT, ONE),
        (2, "namespace", TEXT, ONE),
        (3, "containers", "ContainerResources", MANY),
    ),
    "ContainerResources": (
        (1, "name", TEXT, ONE),
        (2, "devices", "ContainerDevices", MANY),
        (5, "dynamic_resources", "DynamicResource", MANY),
    ),
    "ContainerDevices": ((1, "resource_name", TEXT, ONE), (2, "device_ids", TEXT, MANY)),
    "DynamicResource": (
        (2, "claim_name", TEXT, ONE),
        (3, "claim_namespace", TEXT, ONE),
        (4, "claim_resources", "ClaimResource", MANY),
    ),
    "ClaimResource": (
        (2, "driver_name", TEXT, ONE),
        (3, "pool_name", TEXT, ONE),
        (4, "device_name", TEXT, ONE),
    ),
}


def _describe() -> FileDescriptorProto:
    """The table as protoc would compile it. Field numbers are the wire format."""
    file = FileDescriptorProto(name="podresources.proto", package="v1", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, kind, label in fields:
            message.field.add(
                name=field,
                number=number,
                type=FieldDescriptorProto.TYPE_MESSAGE if kind else FieldDescriptorProto.TYPE_STRING,
                type_name=f".v1.{kind}" if kind else None,
                label=FieldDescriptorProto.LABEL_REPEATED
                if label == MANY
                else FieldDescriptorProto.LABEL_OPTIONAL,
            )
    return file


def _message_class(pool: DescriptorPool, name: str) -> Any:
    return GetMessageClass(pool.FindMessageTypeByName(f"v1.{name}"))


_POOL = DescriptorPool()
_POOL.Add(_describe())
REQUEST = _message_class(_POOL, "ListPodResourcesRequest")
RESPONSE = _message_class(_POOL, "ListPodResourcesResponse")
