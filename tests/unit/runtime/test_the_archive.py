"""The archive against a small API: read once, written rarely, never in the way of anything."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from tests.unit.judgement.builders import Moment, play
from tokenfactory.errors import Unavailable
from tokenfactory.judgement.judge import JudgeMemory
from tokenfactory.judgement.memory_codec import encode
from tokenfactory.runtime import archive
from tokenfactory.runtime.archive import Archive, shard_of
from tokenfactory.runtime.kube import ApiError, Collection

UID = "0b5ae2a3-5a67-4e6e-9f0a-1c1f5ad2f5c1"
NAME = f"tokenfactory-memory-{shard_of(UID)}"


class ConfigMaps:
    """The API server's part: named objects with versions, and every write in order."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.reads = 0
        self.lost = False
        self._version = 0

    async def get(self, where: Collection, name: str) -> dict[str, Any]:
        self._check()
        self.reads += 1
        if name not in self.stored:
            raise ApiError(404, "NotFound", is_status_object=True)
        return copy.deepcopy(self.stored[name])

    async def create(self, where: Collection, body: Mapping[str, Any]) -> dict[str, Any]:
        self._check()
        if body["metadata"]["name"] in self.stored:
            raise ApiError(409, "AlreadyExists", is_status_object=True)
        return self._store(body)

    async def update(self, where: Collection, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._check()
        held = self.stored.get(name, {"metadata": {}})["metadata"].get("resourceVersion")
        if body["metadata"]["resourceVersion"] != held:
            raise ApiError(409, "Conflict", is_status_object=True)
        return self._store(body)

    def _check(self) -> None:
        if self.lost:
            raise Unavailable("gone")

    def _store(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self._version += 1
        stored = copy.deepcopy(dict(body))
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.stored[stored["metadata"]["name"]] = stored
        self.writes.append(stored["metadata"]["name"])
        return copy.deepcopy(stored)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(api: ConfigMaps, clock: Clock | None = None) -> Archive:
    return Archive(api, "system", clock=clock or Clock())  # type: ignore[arg-type]


def learned(rate: float = 250.0, *, hours: float = 2.0) -> JudgeMemory:
    memory, _ = play(lambda _: Moment(rate, 16.0), start=0.0, end=hours * 3600, memory=None)
    assert memory is not None
    return memory


async def term(api: ConfigMaps, memories: Mapping[str, JudgeMemory | None]) -> Archive:
    """A term of leadership that ends before its first look."""
    kept = make(api)
    await kept.load()
    running = asyncio.ensure_future(kept.run(lambda: memories))
    await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return kept


async def test_what_one_term_learned_the_next_one_knows() -> None:
    api, memory = ConfigMaps(), learned()
    await term(api, {UID: memory})
    assert api.writes == [NAME]
    after = make(api)
    await after.load()
    recalled = after.recall(UID)
    assert recalled is not None
    assert encode(recalled) == encode(memory)
    assert after.recall("another") is None


async def test_a_term_that_learned_nothing_writes_nothing() -> None:
    api = ConfigMaps()
    await term(api, {UID: None, "young": JudgeMemory()})
    assert api.writes == []
    await term(api, {UID: learned()})
    await term(api, {UID: None})
    assert api.writes == [NAME], "a pool that was not judged yet keeps its entry without a write"


async def test_it_is_written_on_news_at_once_and_then_at_most_every_ten_minutes() -> None:
    api, clock = ConfigMaps(), Clock()
    kept = make(api, clock)
    await kept.load()
    await kept.save_news({UID: learned()})
    assert api.writes == [NAME]
    clock.now += 599
    await kept.save_news({UID: learned(400.0)})
    assert api.writes == [NAME]
    clock.now += 1
    await kept.save_news({UID: learned(400.0)})
    assert api.writes == [NAME, NAME]


async def test_more_samples_of_the_same_level_are_no_news() -> None:
    api, clock = ConfigMaps(), Clock()
    kept = make(api, clock)
    await kept.load()
    await kept.save_news({UID: learned()})
    clock.now += 86_400
    await kept.save_news({UID: learned(hours=4.0)})
    assert api.writes == [NAME]


async def test_it_is_read_once_a_term() -> None:
    api = ConfigMaps()
    kept = make(api)
    await kept.load()
    for rate in (250.0, 400.0):
        await kept.save_news({UID: learned(rate)})
    assert api.reads == archive.SHARDS


async def test_a_deleted_pool_leaves_its_shard() -> None:
    api, clock = ConfigMaps(), Clock()
    await term(api, {UID: learned()})
    kept = make(api, clock)
    await kept.load()
    await kept.save_news({})
    assert api.stored[NAME]["data"] == {}


@pytest.mark.parametrize(
    "data",
    [None, {}, [], {UID: "not ours"}, {UID: "{}"}, {UID: '{"v":1}'}, {UID: None}, {UID: ""}, {UID: 7}],
)
async def test_foreign_content_is_no_memory_and_is_replaced(data: object) -> None:
    api = ConfigMaps()
    api.stored[NAME] = {"metadata": {"name": NAME, "resourceVersion": "7"}, "data": data}
    kept = await term(api, {UID: None})
    assert kept.recall(UID) is None
    kept = await term(api, {UID: learned()})
    assert kept.recall(UID) is not None


async def test_a_leader_that_lost_its_lease_does_not_overwrite_its_successor() -> None:
    api = ConfigMaps()
    old, new = make(api), make(api)
    await old.load()
    await new.load()
    await new.save_news({UID: learned(300.0)})
    written = copy.deepcopy(api.stored)
    await old.save_news({UID: learned(100.0)})
    assert api.stored == written


async def test_a_lost_api_server_is_survived_and_nothing_unread_is_overwritten() -> None:
    api, clock = ConfigMaps(), Clock()
    await term(api, {UID: learned()})
    api.lost = True
    kept = make(api, clock)
    await kept.load()
    assert kept.recall(UID) is None
    await kept.save_news({UID: learned(400.0)})
    assert api.writes == [NAME]
    api.lost = False
    await kept.save_news({UID: learned(400.0)})
    assert api.writes == [NAME, NAME]


async def test_a_shard_never_outgrows_what_a_config_map_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SHARD_BYTES", 5000)
    api, memory = ConfigMaps(), learned()
    pools = {uid: memory for uid in map(str, range(1000)) if shard_of(uid) == 3}
    await term(api, pools)
    (shard,) = api.stored.values()
    assert 0 < len(shard["data"]) < len(pools)
    assert sum(map(len, shard["data"].values())) <= 5000
