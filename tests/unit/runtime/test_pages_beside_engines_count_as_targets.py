"""Pages of what runs beside the engines are scrapes and targets like any other."""

from __future__ import annotations

from dataclasses import dataclass, field

from tokenfactory.model import (
    Companion,
    CompanionKind,
    Container,
    EngineId,
    Failure,
    FailureReason,
    Fleet,
    Pod,
    Readings,
)
from tokenfactory.runtime.counted import CountedCollector


@dataclass
class Scrapes:
    seen: list[FailureReason | None] = field(default_factory=list)

    def count_scrape(self, failure: FailureReason | None) -> None:
        self.seen.append(failure)


class Found:
    async def collect(self, fleet: Fleet, *, now: float, max_age: float, timeout: float) -> Readings:
        lost = Failure(at=now, reason=FailureReason.TIMED_OUT)
        return Readings(at=now, engines={}, exporters={}, companions={EngineId("u", "c", "k"): lost})


async def test_a_companions_scrape_is_counted_with_its_outcome() -> None:
    scrapes = Scrapes()
    pod = Pod(namespace="ns", name="front", uid="u")
    container = Container(name="c", image="i")
    beside = Companion(kind=CompanionKind.DYNAMO_FRONTEND, pod=pod, container=container)
    fleet = Fleet(companions=(beside,))
    await CountedCollector(Found(), scrapes).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert scrapes.seen == [FailureReason.TIMED_OUT]
