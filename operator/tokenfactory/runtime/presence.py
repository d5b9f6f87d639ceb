"""Knows whether our CRDs are served, and which of our pools still exist.

kopf stays inert for ever when it starts before the CRDs do, and its re-listing after a lost watch tells
nothing of objects that were deleted meanwhile; both are mended here.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from tokenfactory.errors import TokenFactoryError, Unavailable
from tokenfactory.runtime.desk import Desk
from tokenfactory.runtime.informer import uid_of
from tokenfactory.runtime.kube import ApiError, Collection, Kube

GROUP_PATH = "/apis/tokenfactory.dev/v1alpha1"
NEEDED = frozenset({"inferencepools", "tokenfactories"})
POLL_SECONDS = 2.0
SWEEP_SECONDS = 300.0


class ResourceGone(TokenFactoryError):
    """A CRD that was served is no longer: the process ends, to start again waiting for it."""


async def wait_for_resources(kube: Kube) -> None:
    """Returns once both CRDs are served; one log line while they are not."""
    log = structlog.get_logger("presence")
    told = False
    while not await _served(kube):
        if not told:
            log.warning(
                "waiting for the CRDs of tokenfactory.dev/v1alpha1", fix="kubectl apply -k manifests/"
            )
            told = True
        await asyncio.sleep(POLL_SECONDS)


async def _served(kube: Kube) -> bool:
    try:
        document = await kube.discover(GROUP_PATH)
    except (ApiError, Unavailable):
        return False
    return {resource.get("name") for resource in document.get("resources") or ()} >= NEEDED


class Sweeper:
    """Forgets pools that are gone although no event said so."""

    def __init__(self, kube: Kube, desk: Desk, *, page_size: int) -> None:
        self._kube = kube
        self._desk = desk
        self._page_size = page_size
        self._wake = asyncio.Event()

    def hurry(self) -> None:
        """Sweeps at once: the API server was lost and is back."""
        self._wake.set()

    async def list_into_desk(self) -> None:
        """Puts everything that exists on the desk, so that ready means known. Retries until it worked."""
        while True:
            try:
                await self.sweep()
            except (ResourceGone, Unavailable):
                await asyncio.sleep(POLL_SECONDS)
            else:
                return

    async def run(self) -> None:
        """Sweeps every five minutes and after each lost connection. Raises ResourceGone."""
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.sweep()
            except Unavailable:
                await asyncio.sleep(POLL_SECONDS)
                self._wake.set()

    async def sweep(self) -> None:
        """Makes the desk equal to what the API server lists. Raises ResourceGone, Unavailable."""
        known = set(self._desk.uids())
        try:
            factories = await self._items("tokenfactories")
            pools = await self._items("inferencepools")
        except ApiError as error:
            if error.status == 404:
                raise ResourceGone("a CRD of tokenfactory.dev/v1alpha1 is gone") from error
            raise Unavailable(str(error)) from error
        for item in factories:
            self._desk.take_factory(None, item)
        for item in pools:
            self._desk.take_pool(None, item)
        for uid in known - {uid_of(item) for item in pools}:
            self._desk.take_pool("DELETED", {"metadata": {"uid": uid}})

    async def _items(self, resource: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            page = await self._kube.page(
                Collection(GROUP_PATH, resource), limit=self._page_size, token=token, parameters={}
            )
            items += page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return items
