"""What asks is made late and once, and how each server answered is remembered for its TokenFactory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tokenfactory.model import Failure, FailureReason, PrometheusReason, PrometheusTerms
from tokenfactory.runtime.asking import LateAsker

SERVER = PrometheusTerms(url="http://prometheus:9090")
OTHER = PrometheusTerms(url="http://prometheus:9090", tenant="other")
DENIED = Failure(at=0.0, reason=FailureReason.PROMETHEUS_DENIED)


class Saying:
    """Fills `asking.ClosingAsker`: one answer for everybody."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self.closed = False

    async def ask(
        self, server: PrometheusTerms, query: str, *, timeout: float, read: Callable[[Sequence[Any]], Any]
    ) -> Any:
        return self.failure or read(())

    def close(self) -> None:
        self.closed = True


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def ask(late: LateAsker, server: PrometheusTerms = SERVER) -> Any:
    return await late.ask(server, "up", timeout=1.0, read=list)


async def test_what_asks_is_made_for_the_first_question_and_once() -> None:
    made: list[Saying] = []

    def make() -> Saying:
        made.append(Saying())
        return made[-1]

    late = LateAsker(make, monotonic=Clock())
    late.close()
    assert made == []
    await asyncio.gather(*(ask(late) for _ in range(5)))
    assert len(made) == 1
    late.close()
    assert made[0].closed


async def test_a_server_that_nobody_asked_is_not_said_to_fail() -> None:
    late = LateAsker(Saying, monotonic=Clock())
    await ask(late)
    assert late.standing(SERVER, patience=37.5) is PrometheusReason.ANSWERS
    assert late.standing(OTHER, patience=37.5) is PrometheusReason.NOT_ASKED


async def test_a_first_failure_is_told_at_once_and_a_later_one_when_patience_is_over() -> None:
    saying, clock = Saying(), Clock()
    late = LateAsker(lambda: saying, monotonic=clock)
    saying.failure = DENIED
    await ask(late)
    assert late.standing(SERVER, patience=37.5) is PrometheusReason.DENIED
    saying.failure = None
    await ask(late)
    assert late.standing(SERVER, patience=37.5) is PrometheusReason.ANSWERS
    saying.failure = DENIED
    clock.now += 30.0
    await ask(late)
    assert late.standing(SERVER, patience=37.5) is PrometheusReason.ANSWERS
    clock.now += 8.0
    assert late.standing(SERVER, patience=37.5) is PrometheusReason.DENIED


async def test_a_server_that_is_no_longer_asked_is_no_longer_told_of() -> None:
    saying, clock = Saying(), Clock()
    late = LateAsker(lambda: saying, monotonic=clock)
    saying.failure = DENIED
    await ask(late)
    clock.now += 200.0
    assert late.standing(SERVER, patience=37.5) is PrometheusReason.NOT_ASKED


async def test_servers_that_come_and_go_are_not_remembered_for_ever() -> None:
    late = LateAsker(Saying, monotonic=Clock())
    for number in range(200):
        await ask(late, PrometheusTerms(url=f"http://prometheus-{number}:9090"))
    assert len(late._answers) <= 64


def test_every_failure_of_a_whole_prometheus_is_a_reason_of_the_condition() -> None:
    from tokenfactory.model import PROMETHEUS_ADVICE

    failing = set(PrometheusReason) - {PrometheusReason.ANSWERS, PrometheusReason.NOT_ASKED}
    assert {reason.value for reason in PROMETHEUS_ADVICE} == {reason.value for reason in failing}
