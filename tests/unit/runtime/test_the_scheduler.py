"""One task a pool: hash-spread, at once when woken, and no pool waits for another."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.runtime.scheduler import Scheduler, until_slot


@given(uid=st.text(min_size=1, max_size=40), now=st.floats(0, 2e9), interval=st.floats(5, 300))
def test_the_next_slot_is_between_a_half_and_one_and_a_half_intervals_away(
    uid: str, now: float, interval: float
) -> None:
    assert interval / 2 <= until_slot(uid, now, interval=interval) < 1.5 * interval + 1e-6


def test_pools_are_spread_over_the_interval() -> None:
    slots = sorted(until_slot(f"uid-{number}", 0.0, interval=15.0) % 15.0 for number in range(300))
    gaps = [later - earlier for earlier, later in pairwise(slots)]
    assert max(gaps) < 1.0
    assert slots[0] < 1.0 < 14.0 < slots[-1]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_hanging_pool_delays_no_other(clock: Clock) -> None:
    done: list[str] = []

    async def cycle(uid: str) -> float:
        if uid == "hangs":
            await asyncio.Event().wait()
        done.append(uid)
        return 15.0

    scheduler = Scheduler(cycle, clock=clock, concurrent=2)
    for uid in ("hangs", "a", "b", "c"):
        scheduler.tend(uid)
    for _ in range(20):
        await asyncio.sleep(0)
    assert sorted(done) == ["a", "b", "c"]
    await scheduler.stop()


async def test_a_pool_that_is_told_again_is_cycled_at_once(clock: Clock) -> None:
    done: list[str] = []

    async def cycle(uid: str) -> float:
        done.append(uid)
        return 3600.0

    scheduler = Scheduler(cycle, clock=clock, concurrent=2)
    scheduler.tend("a")
    await asyncio.sleep(0.01)
    scheduler.tend("a")
    await asyncio.sleep(0.01)
    assert done == ["a", "a"]
    await scheduler.stop()


async def test_a_forgotten_pool_is_never_cycled_again_and_counts_for_no_sweep(clock: Clock) -> None:
    async def cycle(uid: str) -> float:
        if uid == "hangs":
            await asyncio.Event().wait()
        return 10.0

    scheduler = Scheduler(cycle, clock=clock, concurrent=2)
    scheduler.tend("hangs")
    await asyncio.sleep(0.01)
    clock.now += 100
    assert scheduler.overdue() == ("hangs",)
    assert scheduler.last_sweep() == 1000.0
    scheduler.forget("hangs")
    assert scheduler.overdue() == ()
    assert scheduler.last_sweep() == clock.now
    await scheduler.stop()


async def test_a_pool_is_overdue_after_three_of_its_own_intervals(clock: Clock) -> None:
    async def cycle(uid: str) -> float:
        return 100.0 if uid == "slow" else 5.0

    scheduler = Scheduler(cycle, clock=clock, concurrent=2)
    scheduler.tend("slow")
    scheduler.tend("fast")
    await asyncio.sleep(0.01)
    clock.now += 16
    assert scheduler.overdue() == ("fast",)
    await scheduler.stop()


async def test_a_pool_that_asks_to_come_again_is_cycled_between_its_slots(clock: Clock) -> None:
    done: list[str] = []

    async def cycle(uid: str) -> float:
        done.append(uid)
        return 15.0

    scheduler = Scheduler(cycle, clock=clock, concurrent=2)
    scheduler.tend("a")
    for _ in range(5):
        await asyncio.sleep(0)
    scheduler.revisit("a", 0.0)
    scheduler.revisit("nobody", 0.0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert done == ["a", "a"]
    scheduler.revisit("a", 0.0)
    await scheduler.stop()
    for _ in range(10):
        await asyncio.sleep(0)
    assert done == ["a", "a"], "a stopped one starts nothing"
