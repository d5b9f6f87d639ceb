"""Reads pools of the Gateway API Inference Extension. Never writes them."""

from __future__ import annotations

from tokenfactory.discovery.poolref import read_referenced_pool
from tokenfactory.errors import InvalidSpec
from tokenfactory.model import FleetReason
from tokenfactory.ports import ReferencedPool
from tokenfactory.runtime.kube import ApiError, Collection, Kube

PREFIX = "/apis/inference.networking.k8s.io/v1"


class GatewayPools:
    """Fills `ports.PoolReferences` from the API server, in the referring pool's namespace only."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def find(self, namespace: str, name: str) -> ReferencedPool | FleetReason:
        try:
            body = await self._kube.get(Collection(PREFIX, "inferencepools", namespace), name)
            return read_referenced_pool(body)
        except InvalidSpec:
            return FleetReason.POOL_REF_NOT_FOUND
        except ApiError as error:
            if error.status != 404:
                raise
            missing = FleetReason.POOL_REF_NOT_FOUND
            return missing if error.is_status_object else FleetReason.POOL_REF_KIND_MISSING
