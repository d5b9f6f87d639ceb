"""Asks a Prometheus when there is one to ask, and remembers how each of them answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tokenfactory.model import Failure, PrometheusReason, PrometheusTerms
from tokenfactory.telemetry.recorded import Asker

T = TypeVar("T")
MOST_REMEMBERED = 64
FORGOTTEN_AFTER_SECONDS = 180.0
"""Longer than OpenCost's minute: who was not asked for so long is asked by nobody any more."""


class ClosingAsker(Asker, Protocol):
    def close(self) -> None: ...


@dataclass(slots=True)
class _Answers:
    """How one server answered; times are monotonic."""

    asked_at: float
    good_at: float | None = None
    problem: PrometheusReason | None = None


class LateAsker:
    """Fills `recorded.Asker`. What asks is made for the first question, in a thread: most never have one."""

    def __init__(self, make: Callable[[], ClosingAsker], *, monotonic: Callable[[], float]) -> None:
        self._make = make
        self._monotonic = monotonic
        self._made: ClosingAsker | None = None
        self._turn = asyncio.Lock()
        self._answers: dict[PrometheusTerms, _Answers] = {}

    async def ask(
        self, server: PrometheusTerms, query: str, *, timeout: float, read: Callable[[Sequence[Any]], T]
    ) -> T | Failure:
        async with self._turn:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
        answer = await self._made.ask(server, query, timeout=timeout, read=read)
        self._remember(server, answer)
        return answer

    def standing(self, server: PrometheusTerms, *, patience: float) -> PrometheusReason:
        """How this server answers. A failure counts once no query succeeded for `patience` seconds."""
        known, now = self._answers.get(server), self._monotonic()
        if known is None or now - known.asked_at > FORGOTTEN_AFTER_SECONDS:
            return PrometheusReason.NOT_ASKED
        lately = known.good_at is not None and now - known.good_at <= patience
        return PrometheusReason.ANSWERS if known.problem is None or lately else known.problem

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def _remember(self, server: PrometheusTerms, answer: object) -> None:
        if server not in self._answers and len(self._answers) >= MOST_REMEMBERED:
            self._answers.clear()
        now = self._monotonic()
        known = self._answers.setdefault(server, _Answers(now))
        known.asked_at = now
        if isinstance(answer, Failure):
            known.problem = PrometheusReason(answer.reason.value)
        else:
            known.good_at, known.problem = now, None
