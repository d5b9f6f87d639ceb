"""What the judge learned, kept in ConfigMaps of the operator's own namespace, where tenants can't edit it.

Read once a term of leadership, written rarely: when a level was learned or moved, at most every ten minutes
a ConfigMap, and when the term ends. Whatever can't be read is a lost baseline: WarmingUp, never an alarm.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from tokenfactory.errors import Unavailable
from tokenfactory.judgement.judge import JudgeMemory
from tokenfactory.judgement.memory_codec import LONGEST, decode, encode, is_worth_saving
from tokenfactory.runtime.kube import ApiError, Collection, Kube

NAME = "tokenfactory-memory"
SHARDS = 16
SHARD_BYTES = 900 * 1024
SECONDS_BETWEEN_WRITES = 600.0
SECONDS_BETWEEN_LOOKS = 15.0
LOAD_SECONDS = 5.0
FAREWELL_SECONDS = 3.0
LABELS = {"app.kubernetes.io/name": "tokenfactory-operator", "app.kubernetes.io/component": "memory"}
NOTE = "what the operator learned of each pool, by UID; deleting it costs a few windows of WarmingUp"

Memories = Callable[[], Mapping[str, JudgeMemory | None]]
"""The judge's memory of every pool that is tended now, by UID; None: not judged yet."""


@dataclass(slots=True)
class _Shard:
    """One ConfigMap: `version` is None until it was read or found absent, then "" while it is absent."""

    name: str
    version: str | None = None
    written_at: float | None = None
    entries: dict[str, str] = field(default_factory=dict)
    saved: dict[str, JudgeMemory] = field(default_factory=dict)


def shard_of(uid: str) -> int:
    return zlib.crc32(uid.encode()) % SHARDS


class Archive:
    """The memories of one term of leadership."""

    def __init__(self, kube: Kube, namespace: str, *, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._where = Collection("/api/v1", "configmaps", namespace)
        self._clock = clock
        self._shards = tuple(_Shard(f"{NAME}-{number}") for number in range(SHARDS))
        self._log = structlog.get_logger("archive")
        self._troubled: set[str] = set()

    async def load(self) -> None:
        """Reads every shard, within seconds. One that can't be read is read again before it is written."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await asyncio.gather(*(self._read(shard) for shard in self._shards))
        except TimeoutError:
            self._log.warning("what was learned is not read: the API server is slow")

    def recall(self, uid: str) -> JudgeMemory | None:
        """What was kept of a pool; None when nothing was, or nothing that can be read."""
        return self._shards[shard_of(uid)].saved.get(uid)

    async def run(self, memories: Memories) -> None:
        """Saves what is worth it, until cancelled; then once more whatever changed."""
        try:
            while True:
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
                try:
                    await self.save_news(memories())
                except Exception:
                    self._log.exception("saving what was learned failed")
        finally:
            await asyncio.shield(self._part(memories()))

    async def save_news(self, memories: Mapping[str, JudgeMemory | None]) -> None:
        """Writes the shards that hold news and were not written within ten minutes."""
        now = self._clock()
        for shard, tended in self._sorted(memories):
            if shard.written_at is not None and now - shard.written_at < SECONDS_BETWEEN_WRITES:
                continue
            if _has_news(shard, tended):
                await self._save(shard, tended)

    async def _part(self, memories: Mapping[str, JudgeMemory | None]) -> None:
        """The end of a term: what was learned since the last write, within seconds or not at all."""
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await asyncio.gather(*(self._save(*item) for item in self._sorted(memories)))
        except TimeoutError:
            self._log.warning("the latest of what was learned is not kept: the API server is slow")

    def _sorted(
        self, memories: Mapping[str, JudgeMemory | None]
    ) -> Iterable[tuple[_Shard, dict[str, JudgeMemory | None]]]:
        tended: list[dict[str, JudgeMemory | None]] = [{} for _ in self._shards]
        for uid in sorted(memories):
            tended[shard_of(uid)][uid] = memories[uid]
        return zip(self._shards, tended, strict=True)

    async def _save(self, shard: _Shard, tended: Mapping[str, JudgeMemory | None]) -> None:
        """Writes one shard when its content would change. Never raises what the API server may answer."""
        if shard.version is None and not await self._read(shard):
            return
        entries = self._compose(shard, tended)
        if entries == shard.entries:
            return
        body = _render(shard, entries, namespace=self._where.namespace)
        try:
            written = (
                await self._kube.update(self._where, shard.name, body)
                if shard.version
                else await self._kube.create(self._where, body)
            )
        except (ApiError, Unavailable) as error:
            if isinstance(error, ApiError) and error.status in {404, 409}:
                shard.version = None
            self._complain(shard, "not written", error)
            return
        self._troubled.discard(shard.name)
        shard.version = str(written["metadata"].get("resourceVersion") or "")
        shard.written_at = self._clock()
        shard.entries = entries
        fresh = {uid: memory for uid in entries if (memory := tended.get(uid)) is not None}
        shard.saved = {**{uid: shard.saved[uid] for uid in entries.keys() & shard.saved.keys()}, **fresh}

    def _compose(self, shard: _Shard, tended: Mapping[str, JudgeMemory | None]) -> dict[str, str]:
        """The entries of the pools that are there: the latest memory, else what was kept before."""
        entries: dict[str, str] = {}
        room = SHARD_BYTES
        for uid, memory in tended.items():
            data = _pack(memory) if memory is not None else shard.entries.get(uid)
            if data is None:
                continue
            room -= len(data) + len(uid)
            if room < 0:
                self._log.warning("there is no room to keep what was learned of every pool", shard=shard.name)
                break
            entries[uid] = data
        return entries

    async def _read(self, shard: _Shard) -> bool:
        """Reads one shard into memory the first time, and its version every time. False: not now."""
        try:
            document = await self._kube.get(self._where, shard.name)
        except ApiError as error:
            if error.status != 404:
                self._complain(shard, "not read", error)
                return False
            shard.version = ""
            return True
        except Unavailable as error:
            self._complain(shard, "not read", error)
            return False
        shard.version = str(document["metadata"].get("resourceVersion") or "")
        packed = _unpack(document.get("data"))
        found = {uid: decode(data) for uid, data in packed.items()}
        shard.saved = {uid: memory for uid, memory in found.items() if memory is not None}
        shard.entries = packed
        return True

    def _complain(self, shard: _Shard, what: str, error: Exception) -> None:
        """One line for each shard until it is written again."""
        if shard.name not in self._troubled:
            self._troubled.add(shard.name)
            self._log.warning(f"what was learned is {what}", shard=shard.name, error=str(error))


def _has_news(shard: _Shard, tended: Mapping[str, JudgeMemory | None]) -> bool:
    if shard.entries.keys() - tended.keys():
        return True
    return any(memory and is_worth_saving(shard.saved.get(uid), memory) for uid, memory in tended.items())


def _pack(memory: JudgeMemory) -> str | None:
    """None for a memory without anything learned: there is nothing to keep."""
    return encode(memory) if memory.baselines else None


def _unpack(found: Any) -> dict[str, str]:
    """The entries of a ConfigMap that could be ours, by UID."""
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(uid): text for uid, text in pairs if isinstance(text, str) and 0 < len(text) <= LONGEST}


def _render(shard: _Shard, entries: Mapping[str, str], *, namespace: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": shard.name,
        "namespace": namespace,
        "labels": LABELS,
        "annotations": {"tokenfactory.dev/content": NOTE},
    }
    if shard.version:
        metadata["resourceVersion"] = shard.version
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(entries)}
