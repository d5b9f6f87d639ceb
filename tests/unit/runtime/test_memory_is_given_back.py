"""The operator asks the C library to give back what it holds, where there is one that can."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys

import pytest

from tokenfactory.runtime import memory


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_glibc_can_be_asked() -> None:
    trim = memory.find_trim()
    assert trim is None or trim(0) in (0, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_glibc_can_be_told_to_share_its_heaps() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", "from tokenfactory.runtime.memory import share_arenas; print(share_arenas())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == str(hasattr(ctypes.CDLL(None), "mallopt"))


def test_elsewhere_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.find_trim() is None
    assert memory.share_arenas() is False


async def test_it_is_asked_again_and_again_until_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            raise asyncio.CancelledError

    monkeypatch.setattr(memory, "find_trim", lambda: asked.append)
    monkeypatch.setattr(memory.asyncio, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        await memory.give_back_now_and_then()
    assert asked == [0] * 19
    assert pauses == sorted(pauses)
    assert pauses[-1] == memory.LONGEST_SECONDS
