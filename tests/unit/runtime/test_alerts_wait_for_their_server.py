"""The outbox of one Alertmanager: bounded, the newest word on each alert, again every minute."""

from __future__ import annotations

import asyncio

from tokenfactory.publishing.alerts import Alert
from tokenfactory.runtime.outbox import MOST_ALERTS, MOST_AT_ONCE, Outbox


def alert(name: str, *, ends_at: float = 1000.0) -> Alert:
    return Alert(labels=(("alertname", name),), annotations=(), starts_at=0.0, ends_at=ends_at)


async def test_an_alert_waits_until_it_was_taken() -> None:
    box, first = Outbox(), alert("a")
    box.put((first,), now=0.0)
    assert await box.batch() == (first,)
    assert await box.batch() == (first,)
    box.settle((first,), now=1.0)
    assert len(box) == 0


async def test_a_firing_alert_is_told_again_after_a_minute_and_not_before() -> None:
    box, first = Outbox(), alert("a")
    box.put((first,), now=0.0)
    box.settle(await box.batch(), now=0.0)
    box.put((alert("a", ends_at=1059.0),), now=59.0)
    assert len(box) == 0
    box.put((alert("a", ends_at=1060.0),), now=60.0)
    assert len(box) == 1


async def test_its_end_is_told_at_once_and_once() -> None:
    box = Outbox()
    box.put((alert("a"),), now=0.0)
    box.settle(await box.batch(), now=0.0)
    box.put((alert("a", ends_at=5.0),), now=5.0)
    (over,) = await box.batch()
    assert over.ends_at == 5.0
    box.settle((over,), now=6.0)
    assert len(box) == 0


async def test_the_newest_word_replaces_one_that_was_never_taken() -> None:
    box = Outbox()
    box.put((alert("a", ends_at=1000.0),), now=0.0)
    sent = await box.batch()
    box.put((alert("a", ends_at=20.0),), now=20.0)
    box.settle(sent, now=21.0)
    assert [item.ends_at for item in await box.batch()] == [20.0]


async def test_nothing_grows_without_bound_and_what_finds_no_room_is_counted() -> None:
    box = Outbox()
    many = [alert(str(number)) for number in range(MOST_ALERTS + 7)]
    assert box.put(many, now=0.0) == 7
    assert len(await box.batch()) == MOST_AT_ONCE


async def test_a_batch_is_waited_for() -> None:
    box = Outbox()
    waiting = asyncio.ensure_future(box.batch())
    await asyncio.sleep(0)
    assert not waiting.done()
    box.put((alert("a"),), now=0.0)
    assert len(await waiting) == 1
