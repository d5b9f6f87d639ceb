"""Which containers hold which devices: the kubelet's PodResources API v1, over its unix socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc

from tokenfactory.agent.podresources import REQUEST, RESPONSE
from tokenfactory.agent.snapshot import Allocation, Holder
from tokenfactory.errors import TokenFactoryError

METHOD = "/v1.PodResourcesLister/List"
LARGEST_ANSWER = 16 * 2**20
ANSWER_SECONDS = 5.0
GPU_DRIVER = "gpu.nvidia.com"


class KubeletSilent(TokenFactoryError):
    """The kubelet does not answer on its PodResources socket."""


class Kubelet:
    """A client of the local kubelet. Blocking.

    A connection per question: a kept one waits for seconds before it tries a restarted kubelet again.
    """

    def __init__(self, socket: str, *, ignored_claim_namespaces: tuple[str, ...] = ()) -> None:
        self._address = f"unix://{socket}"
        self._ignored = ignored_claim_namespaces

    def allocations(self) -> tuple[Allocation, ...]:
        """Every device of every container. Raises KubeletSilent."""
        options = (("grpc.max_receive_message_length", LARGEST_ANSWER), ("grpc.use_local_subchannel_pool", 1))
        with grpc.insecure_channel(self._address, options=options) as channel:
            ask = channel.unary_unary(
                METHOD,
                request_serializer=REQUEST.SerializeToString,
                response_deserializer=RESPONSE.FromString,
            )
            try:
                answer = ask(REQUEST(), timeout=ANSWER_SECONDS)
            except grpc.RpcError as error:
                raise KubeletSilent(f"the kubelet's PodResources API: {error.code().name}") from error
        return tuple(self._read(answer))

    def _read(self, answer: Any) -> Iterator[Allocation]:
        for pod in answer.pod_resources:
            for container in pod.containers:
                holder = Holder(pod.namespace, pod.name, container.name)
                for devices in container.devices:
                    yield from (Allocation(holder, device) for device in devices.device_ids)
                if pod.namespace not in self._ignored:
                    yield from (Allocation(holder, device) for device in _claimed(container))


def _claimed(container: Any) -> Iterator[str]:
    """Devices by dynamic resource allocation. The API does not say which claims have adminAccess."""
    for claim in container.dynamic_resources:
        for resource in claim.claim_resources:
            if resource.driver_name == GPU_DRIVER:
                yield resource.device_name
