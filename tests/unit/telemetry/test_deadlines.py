"""One timer ends what takes too long, as `asyncio.timeout` would."""

from __future__ import annotations

import asyncio

import pytest

from tokenfactory.telemetry.deadlines import Deadlines


async def stay(deadlines: Deadlines, seconds: float, *, then: float | None = None) -> None:
    """Stays in a block until its time is over."""
    async with deadlines.within(seconds) as deadline:
        if then is not None:
            deadline.allow(then)
        await asyncio.Event().wait()


async def fail(deadlines: Deadlines) -> None:
    async with deadlines.within(60):
        raise ValueError("own")


async def test_a_block_that_takes_too_long_ends_in_a_timeout_and_leaves_the_task_alive() -> None:
    with pytest.raises(TimeoutError):
        await stay(Deadlines(), 0.01)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_each_of_several_blocks_has_its_own_time() -> None:
    deadlines, done = Deadlines(), asyncio.Event()

    async def wait(seconds: float) -> str:
        try:
            async with deadlines.within(seconds):
                await done.wait()
        except TimeoutError:
            done.set()
            return "late"
        return "in time"

    assert await asyncio.gather(wait(60), wait(0.01), wait(60)) == ["in time", "late", "in time"]


async def test_a_block_may_be_given_another_time_while_it_runs() -> None:
    with pytest.raises(TimeoutError):
        await stay(Deadlines(), 60, then=0.01)


async def test_a_cancellation_from_outside_stays_one() -> None:
    deadlines, inside = Deadlines(), asyncio.Event()

    async def work() -> None:
        async with deadlines.within(60):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_within_the_block_passes() -> None:
    with pytest.raises(ValueError, match="own"):
        await fail(Deadlines())


async def test_a_watch_with_nothing_left_to_watch_rests_and_wakes_again() -> None:
    deadlines = Deadlines()
    async with deadlines.within(60):
        pass
    for seconds in (0.15, 0.01):
        with pytest.raises(TimeoutError):
            await stay(deadlines, seconds)
