"""Reads the ConfigMaps that serving pods use, by name, and remembers them for a while. Never writes one."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tokenfactory.discovery.configmaps import read_config_map
from tokenfactory.errors import Forbidden, Unavailable
from tokenfactory.model import ConfigText
from tokenfactory.runtime.kube import ApiError, Collection, Kube

REMEMBERED_SECONDS = 600.0
MOST_REMEMBERED = 2_000
MOST_CHARACTERS = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """What was read (None: nothing to be had) and when it is asked for again (Unix seconds)."""

    text: ConfigText | None
    until: float

    @property
    def size(self) -> int:
        """Characters of its text."""
        return sum(map(len, self.text.data.values())) if self.text else 0


class ClusterConfigMaps:
    """Fills `ports.ConfigMapReader`. Each ConfigMap is asked for about once in ten minutes."""

    def __init__(self, kube: Kube, *, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._clock = clock
        self._entries: dict[tuple[str, str], Entry] = {}
        self._forbidden = False
        self._log = structlog.get_logger("configmaps")

    async def read(self, namespace: str, name: str) -> ConfigText | None:
        key, now = (namespace, name), self._clock()
        known = self._entries.get(key)
        if known is not None and now < known.until:
            return known.text
        try:
            found = await self._ask(namespace, name)
        except Unavailable:
            if known is None:
                raise
            return known.text
        self._entries.pop(key, None)
        self._entries[key] = Entry(found, now + REMEMBERED_SECONDS * _spread(namespace, name))
        self._shrink()
        return found

    async def _ask(self, namespace: str, name: str) -> ConfigText | None:
        try:
            return read_config_map(await self._kube.get(Collection("/api/v1", "configmaps", namespace), name))
        except Forbidden:
            if not self._forbidden:
                self._forbidden = True
                self._log.warning(
                    "ConfigMaps may not be read: flags in mounted files and variables stay opaque",
                    fix="grant get on configmaps, see docs/reference/rbac.md",
                )
            return None
        except ApiError as error:
            if error.status == 404:
                return None
            raise Unavailable(f"a ConfigMap can't be read: HTTP {error.status}") from error

    def _shrink(self) -> None:
        """Forgets the oldest until the rest is within the bounds."""
        size = sum(entry.size for entry in self._entries.values())
        while len(self._entries) > MOST_REMEMBERED or (size > MOST_CHARACTERS and len(self._entries) > 1):
            size -= self._entries.pop(next(iter(self._entries))).size


def _spread(namespace: str, name: str) -> float:
    """0.75 to 1.25, the same for one name always, so that not all are asked for at once."""
    return 0.75 + zlib.crc32(f"{namespace}/{name}".encode()) % 1000 / 2000
