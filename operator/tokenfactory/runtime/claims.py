"""Reads the ResourceClaims that serving pods use, by name, and remembers them. Never writes one."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from tokenfactory.discovery.claims import read_claim
from tokenfactory.errors import Forbidden, Unavailable
from tokenfactory.model import Claim
from tokenfactory.runtime.kube import ApiError, Collection, Kube

PREFIXES = tuple(f"/apis/resource.k8s.io/{version}" for version in ("v1", "v1beta2", "v1beta1"))
"""v1 since Kubernetes 1.34, v1beta2 since 1.33, v1beta1 since 1.32."""

REMEMBERED_SECONDS = 600.0
SHARED_SECONDS = 60.0
MISSING_SECONDS = 120.0
OPEN_SECONDS = 10.0
MOST_REMEMBERED = 20_000
MOST_ASKED = 4_096
"""Claims that one pool's cycle may ask for: a tenant's pods can name any number. The rest follows."""

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """What was read (None: nothing to be had), when, and until when it is taken for true (Unix seconds)."""

    claim: Claim | None
    at: float
    until: float


class ClusterClaims:
    """Fills `ports.ClaimReader`.

    An allocation does not change while pods hold it, so a claim is asked for about once in ten minutes; one
    that is shared, once a minute; one that is not allocated yet, every ten seconds. On a cluster without
    the API nothing is asked for ten minutes.
    """

    def __init__(self, kube: Kube, *, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._clock = clock
        self._entries: dict[tuple[str, str], Entry] = {}
        self._prefixes = list(PREFIXES)
        self._asleep_until = 0.0
        self._forbidden = False
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._log = structlog.get_logger("claims")

    async def read(self, namespace: str, wanted: Mapping[str, frozenset[str]]) -> Mapping[str, Claim]:
        asked = self._choose(namespace, wanted)
        looks = (self._look(namespace, name, wanted[name]) for name in asked)
        found = zip(asked, await asyncio.gather(*looks), strict=True)
        self._shrink()
        return {name: claim for name, claim in found if claim is not None}

    def _choose(self, namespace: str, wanted: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
        """All that are remembered, and at most MOST_ASKED others."""
        known = [name for name in wanted if (namespace, name) in self._entries]
        new = [name for name in wanted if (namespace, name) not in self._entries]
        return (*known, *new[:MOST_ASKED])

    async def _look(self, namespace: str, name: str, pods: frozenset[str]) -> Claim | None:
        key = (namespace, name)
        async with self._slots:
            now, known = self._clock(), self._entries.get(key)
            if now < self._asleep_until or (known is not None and _holds(known, pods, now)):
                return known.claim if known else None
            try:
                claim = await self._ask(namespace, name)
            except Unavailable:
                if known is None:
                    raise
                return known.claim
            self._entries.pop(key, None)
            self._entries[key] = Entry(claim, now, now + _keep(claim, namespace, name))
            return claim

    async def _ask(self, namespace: str, name: str) -> Claim | None:
        for prefix in tuple(self._prefixes):
            try:
                body = await self._kube.get(Collection(prefix, "resourceclaims", namespace), name)
            except Forbidden:
                self._say_forbidden()
                return None
            except ApiError as error:
                if error.status != 404:
                    raise Unavailable(f"a ResourceClaim can't be read: HTTP {error.status}") from error
                if error.is_status_object:
                    return None
                continue
            self._prefixes = [prefix, *(other for other in PREFIXES if other != prefix)]
            return read_claim(body)
        self._asleep_until = self._clock() + REMEMBERED_SECONDS
        self._log.warning("pods use ResourceClaims, but this API server does not serve resource.k8s.io")
        return None

    def _say_forbidden(self) -> None:
        """Says once that the right is missing."""
        if not self._forbidden:
            self._forbidden = True
            self._log.warning(
                "ResourceClaims may not be read: GPUs of claims count only where DCGM shows them",
                fix="grant get on resourceclaims, see docs/reference/rbac.md",
            )

    def _shrink(self) -> None:
        while len(self._entries) > MOST_REMEMBERED:
            self._entries.pop(next(iter(self._entries)))


def _holds(entry: Entry, pods: frozenset[str], now: float) -> bool:
    """Whether what was read still holds: a pod that the claim did not know yet makes it old at once."""
    if entry.claim is not None and not pods <= entry.claim.pods:
        return now < min(entry.until, entry.at + OPEN_SECONDS)
    return now < entry.until


def _keep(claim: Claim | None, namespace: str, name: str) -> float:
    """Seconds for which a claim is remembered, spread so that not all are asked for at once."""
    if claim is None:
        return MISSING_SECONDS
    if not claim.allocated:
        return OPEN_SECONDS
    seconds = SHARED_SECONDS if len(claim.pods) > 1 else REMEMBERED_SECONDS
    return seconds * (0.75 + zlib.crc32(f"{namespace}/{name}".encode()) % 1000 / 2000)
