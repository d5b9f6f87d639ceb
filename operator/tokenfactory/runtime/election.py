"""Leader election over a Lease by client-go's rules, written here because `kubernetes.aio.leaderelection`
37.0.2 can't create a Lease, keeps working after it lost the API server and releases nothing
(docs/architecture.md, "Parts that are ours")."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from tokenfactory.errors import Unavailable
from tokenfactory.runtime.kube import ApiError, Collection, Kube

LEASE_SECONDS = 15
RENEW_DEADLINE = 10.0
RETRY_SECONDS = 2.0


class Elector:
    """Holds a Lease while it can. The work it guards is cancelled before the lease can be taken by another.

    A holder is judged dead by our own clock: `LEASE_SECONDS` after we last saw the Lease change, whatever
    times it holds (clocks of two machines are never compared).
    """

    def __init__(self, kube: Kube, namespace: str, name: str, *, identity: str) -> None:
        self._kube = kube
        self._where = Collection("/apis/coordination.k8s.io/v1", "leases", namespace)
        self._name = name
        self._identity = identity
        self._seen: tuple[str, float] = ("", 0.0)
        self._lease: dict[str, Any] | None = None
        self._log = structlog.get_logger("election").bind(identity=identity)
        self.leading = False

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Campaigns for ever; runs `work` while leading; releases the Lease when cancelled."""
        try:
            while True:
                await self._acquire()
                self._log.info("leading")
                await self._lead(work)
                self._log.warning("no longer leading")
        finally:
            if self.leading:
                self.leading = False
                await asyncio.shield(self._release())

    async def _acquire(self) -> None:
        while not await self._try():  # noqa: ASYNC110 (another process changes the Lease)
            await asyncio.sleep(RETRY_SECONDS)
        self.leading = True

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(work())
        try:
            renewed = time.monotonic()
            while time.monotonic() - renewed < RENEW_DEADLINE and not task.done():
                await asyncio.wait({task}, timeout=RETRY_SECONDS)
                try:
                    async with asyncio.timeout(max(0.1, renewed + RENEW_DEADLINE - time.monotonic())):
                        if await self._try():
                            renewed = time.monotonic()
                        elif self._held_by_another():
                            break
                except TimeoutError:
                    break
            if task.done():
                task.result()
            self.leading = False
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _held_by_another(self) -> bool:
        holder = (self._lease or {}).get("spec", {}).get("holderIdentity")
        return bool(holder) and holder != self._identity

    async def _try(self) -> bool:
        """One attempt to take or renew. Any failure is just 'not now'."""
        try:
            lease = await self._read()
            if lease is None:
                self._lease = await self._kube.create(self._where, self._body({}, None))
                return True
            self._lease = lease
            spec = lease.get("spec") or {}
            version = str(lease["metadata"].get("resourceVersion"))
            if version != self._seen[0]:
                self._seen = (version, time.monotonic())
            mine = spec.get("holderIdentity") == self._identity
            alive = time.monotonic() - self._seen[1] < LEASE_SECONDS
            if spec.get("holderIdentity") and not mine and alive:
                return False
            self._lease = await self._kube.update(self._where, self._name, self._body(lease, spec))
            self._seen = (str(self._lease["metadata"].get("resourceVersion")), time.monotonic())
        except (Unavailable, ApiError, KeyError):
            return False
        return True

    async def _read(self) -> dict[str, Any] | None:
        try:
            return await self._kube.get(self._where, self._name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _body(self, lease: dict[str, Any], spec: dict[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = spec or {}
        mine = old.get("holderIdentity") == self._identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": lease.get("metadata") or {"name": self._name, "namespace": self._where.namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": old.get("acquireTime") if mine else now,
                "renewTime": now,
                "leaseTransitions": int(old.get("leaseTransitions") or 0)
                + (0 if mine or spec is None else 1),
            },
        }

    async def _release(self) -> None:
        """Gives the Lease back so that a standby takes over at once. Failing is fine: it then expires."""
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                lease = await self._read()
                if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._identity:
                    return
                lease["spec"] = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._kube.update(self._where, self._name, lease)
        except (Unavailable, ApiError, TimeoutError):
            self._log.warning("the lease could not be released, it will expire")
