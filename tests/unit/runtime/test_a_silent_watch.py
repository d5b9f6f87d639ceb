"""A watch on a collection in which nothing happens, not even a bookmark."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tokenfactory.errors import Unavailable
from tokenfactory.runtime import kube
from tokenfactory.runtime.kube import Collection, Kube

EVENT = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}\n'
NODES = Collection("/api/v1", "nodes")


class Stream:
    """One bookmark, then what `afterwards` does."""

    def __init__(self, afterwards: Any) -> None:
        self._afterwards = afterwards
        self._chunks = [EVENT]

    async def readany(self) -> bytes:
        return self._chunks.pop() if self._chunks else bytes(await self._afterwards())


class Api:
    """The transport under `Kube`; every request is answered with the stream."""

    def __init__(self, stream: Stream) -> None:
        self._response = SimpleNamespace(content=stream, close=lambda: None)

    async def param_serialize(self, *_: object, **__: object) -> tuple[()]:
        return ()

    async def call_api(self, *_: object, **__: object) -> Any:
        return SimpleNamespace(status=200, response=self._response)


async def follow(afterwards: Any) -> list[str]:
    connection = Kube(Api(Stream(afterwards)), SimpleNamespace(count_request=lambda *_: None))
    return [kind async for kind, _ in connection.watch(NODES, version="1", parameters={})]


async def test_silence_ends_the_watch_and_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "SILENCE_SECONDS", 0.01)
    assert await follow(asyncio.Event().wait) == ["BOOKMARK"]


async def test_a_connection_that_breaks_is_a_failure() -> None:
    async def break_off() -> bytes:
        raise ConnectionResetError

    with pytest.raises(Unavailable, match="the watch broke: ConnectionResetError"):
        await follow(break_off)
