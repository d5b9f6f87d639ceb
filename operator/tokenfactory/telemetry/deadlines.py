"""One timer for all requests in flight: one of its own costs a tenth of a scrape (docs/performance.md)."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

TICK_SECONDS = 0.1


class Deadlines:
    """Ends what takes too long, up to `TICK_SECONDS` late. For one event loop."""

    __slots__ = ("_awake", "_open")

    def __init__(self) -> None:
        self._open: set[Deadline] = set()
        self._awake = False

    def within(self, seconds: float) -> Deadline:
        """An async context manager like `asyncio.timeout`: TimeoutError for a block that takes longer."""
        return Deadline(self, seconds)

    def watch(self, deadline: Deadline) -> None:
        self._open.add(deadline)
        if not self._awake:
            self._awake = True
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._look)

    def release(self, deadline: Deadline) -> None:
        self._open.discard(deadline)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for deadline in tuple(self._open):
            deadline.end_if_late(loop.time())
        self._awake = bool(self._open)
        if self._awake:
            loop.call_later(TICK_SECONDS, self._look)


class Deadline:
    """The time that one task has for a block. `allow` gives it another, counted from the same start."""

    __slots__ = ("_began", "_cancelling", "_deadlines", "_expired", "_seconds", "_task")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines, self._seconds = deadlines, seconds
        self._task: asyncio.Task[object] | None = None
        self._began = 0.0
        self._cancelling = 0
        self._expired = False

    def allow(self, seconds: float) -> None:
        self._seconds = seconds

    def end_if_late(self, now: float) -> None:
        """Cancels the task once its time is over."""
        if self._task is not None and not self._expired and now - self._began >= self._seconds:
            self._expired = True
            self._task.cancel()

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._began = asyncio.get_running_loop().time()
        self._deadlines.watch(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A cancellation of ours becomes a TimeoutError; one from outside, too, passes as it is."""
        self._deadlines.release(self)
        task, self._task = self._task, None
        assert task is not None
        if self._expired and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
