"""One term of leadership: who is told what and when, and that no server can delay another or a cycle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.support.subjects import KEY, economics, subject, verdict
from tokenfactory.model import AlertmanagerTerms, DenominatorState
from tokenfactory.publishing.alertmanager import Delivery, Outcome
from tokenfactory.publishing.alerts import Alert
from tokenfactory.publishing.status import Subject
from tokenfactory.runtime.alerting import LONGEST_PAUSE, Alerting, pause

FIRST = AlertmanagerTerms(url="http://first:9093")
SECOND = AlertmanagerTerms(url="http://second:9093")
COLLAPSED = DenominatorState.THROUGHPUT_COLLAPSED
START = 1_800_000_000.0


TAKEN = Delivery(Outcome.TAKEN)


@dataclass(slots=True)
class Server:
    """Takes alerts, or not."""

    delivery: Delivery = TAKEN
    posts: list[tuple[Alert, ...]] = field(default_factory=list)

    async def post(self, alerts: Sequence[Alert]) -> Delivery:
        self.posts.append(tuple(alerts))
        return self.delivery

    @property
    def ends(self) -> list[float]:
        return [alert.ends_at for batch in self.posts for alert in batch]


class Stage:
    """An Alerting on a clock of its own: `advance` lets it look, and everybody post."""

    def __init__(self) -> None:
        self.now = START
        self.servers = {FIRST: Server(), SECOND: Server()}
        self.counts: dict[str, int] = {}
        self.slept: list[float] = []
        self.alerting = Alerting(
            lambda terms: self.servers[terms], self, clock=lambda: self.now, sleep=self._sleep
        )
        self._wake = asyncio.Event()
        self.running = asyncio.ensure_future(self.alerting.run())

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        until = self.now + seconds
        while self.now < until:
            await self._wake.wait()

    def count_alerts(self, outcome: str, number: int) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + number

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        self._wake.set()
        self._wake.clear()
        for _ in range(20):
            await asyncio.sleep(0)

    def record(
        self,
        state: DenominatorState = COLLAPSED,
        *,
        servers: tuple[AlertmanagerTerms, ...] = (FIRST,),
        uid: str = "uid-1",
        **changes: Any,
    ) -> None:
        told: Subject = subject(verdict=verdict(state), economics=economics(at=self.now, **changes))
        self.alerting.record(uid, KEY, replace(told, now=self.now), servers)


@pytest.fixture
async def stage() -> Any:
    built = Stage()
    await built.advance(0)
    yield built
    built.running.cancel()
    await asyncio.gather(built.running, return_exceptions=True)


async def test_what_fires_is_posted_at_the_next_look_and_again_every_minute(stage: Stage) -> None:
    stage.record()
    for _ in range(27):
        await stage.advance(5)
        stage.record()
    first = stage.servers[FIRST]
    assert len(first.posts) == 3
    assert all(len(batch) == 1 for batch in first.posts)
    assert stage.counts["taken"] == 3


async def test_the_end_is_posted_once(stage: Stage) -> None:
    stage.record()
    await stage.advance(5)
    for _ in range(40):
        stage.record(DenominatorState.HEALTHY)
        await stage.advance(5)
    over = [end for end in stage.servers[FIRST].ends if end <= stage.now]
    assert len(over) == 1


async def test_every_server_of_the_factory_is_told_and_one_that_is_down_delays_no_other(stage: Stage) -> None:
    stage.servers[FIRST].delivery = Delivery(Outcome.FAILED, "no connection")
    stage.record(servers=(FIRST, SECOND))
    await stage.advance(5)
    assert len(stage.servers[SECOND].posts) == 1
    assert stage.counts["failed"] == 1


async def test_a_server_that_is_back_is_told_what_holds_now(stage: Stage) -> None:
    stage.servers[FIRST].delivery = Delivery(Outcome.FAILED, "no connection")
    stage.record()
    for _ in range(60):
        await stage.advance(5)
        stage.record()
    tries = len(stage.servers[FIRST].posts)
    assert tries < 15
    stage.servers[FIRST].delivery = TAKEN
    for _ in range(13):
        await stage.advance(5)
        stage.record()
    assert stage.servers[FIRST].posts[-1][0].ends_at > stage.now
    assert stage.counts["taken"] >= 1


async def test_a_refused_batch_is_not_tried_for_ever(stage: Stage) -> None:
    stage.servers[FIRST].delivery = Delivery(Outcome.REFUSED, "HTTP 400")
    stage.record()
    for _ in range(6):
        await stage.advance(5)
    assert stage.counts["refused"] == 1


async def test_a_deleted_pool_ends_its_alerts(stage: Stage) -> None:
    stage.record()
    await stage.advance(5)
    stage.alerting.forget("uid-1")
    await stage.advance(5)
    assert stage.servers[FIRST].ends[-1] == stage.now
    before = len(stage.servers[FIRST].posts)
    await stage.advance(120)
    assert len(stage.servers[FIRST].posts) == before


async def test_a_cycle_that_was_under_way_does_not_bring_a_deleted_pool_back(stage: Stage) -> None:
    stage.record()
    await stage.advance(5)
    stage.alerting.forget("uid-1")
    stage.record()
    await stage.advance(5)
    assert stage.servers[FIRST].ends[-1] == stage.now


async def test_a_removed_entry_of_the_factory_stops_the_posts(stage: Stage) -> None:
    stage.record(servers=(FIRST, SECOND))
    await stage.advance(5)
    for _ in range(30):
        stage.record(servers=(SECOND,))
        await stage.advance(5)
    assert len(stage.servers[FIRST].posts) == 1
    assert len(stage.servers[SECOND].posts) > 1


async def test_the_end_of_a_term_ends_no_alert(stage: Stage) -> None:
    stage.record()
    await stage.advance(5)
    stage.alerting.forget("uid-1")
    posted = len(stage.servers[FIRST].posts)
    stage.running.cancel()
    await stage.advance(60)
    assert len(stage.servers[FIRST].posts) == posted


async def test_the_same_alert_goes_on_under_the_next_leader_before_it_would_expire(stage: Stage) -> None:
    stage.record()
    await stage.advance(5)
    told = stage.servers[FIRST].posts[-1][0]
    after = Stage()
    after.now = stage.now + 45
    after.record()
    await after.advance(5)
    after.running.cancel()
    again = after.servers[FIRST].posts[0][0]
    assert again.labels == told.labels
    assert after.now < told.ends_at
    assert again.ends_at > told.ends_at


async def test_a_day_of_idle_gpus_is_counted_from_the_cycles(stage: Stage) -> None:
    for _ in range(26):
        spent = replace(economics().increments, gpu_seconds_by_share={"idle": 3000.0, "serving": 600.0})
        stage.record(DenominatorState.LOW_DEMAND, increments=spent)
        await stage.advance(3600)
    stage.record(DenominatorState.LOW_DEMAND)
    await stage.advance(60)
    names = [alert.name for batch in stage.servers[FIRST].posts for alert in batch]
    assert "TokenFactoryPaidIdle" in names


async def test_without_an_alertmanager_nothing_is_done_and_nothing_waits(stage: Stage) -> None:
    stage.record(servers=())
    await stage.advance(600)
    assert all(server.posts == [] for server in stage.servers.values())


def test_pauses_double_up_to_a_minute_and_servers_are_spread() -> None:
    pauses = [pause("http://a", failures) for failures in range(1, 12)]
    assert all(0.5 <= found <= LONGEST_PAUSE for found in pauses)
    assert all(found >= LONGEST_PAUSE / 2 for found in pauses[6:])
    assert pause("http://a", 5) != pause("http://b", 5)
