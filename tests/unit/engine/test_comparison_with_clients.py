"""The judge of `make test-engine`: it accepts the truth, and nothing that is beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.engine.clients import Received
from tests.engine.comparison import Verdict, compare
from tests.engine.servers import COUNTERS, Page
from tests.engine.story import INTERVAL_SECONDS, PER_GPU_HOUR, Look, Record, Replica
from tokenfactory.sandbox.objects import ServingPod

RATE = 100
START, KILLED, DONE = 1000.0, 1102.0, 1300.0
POD = ServingPod(name="p", namespace="n", node="node", ip="127.0.0.1", gpus=1)


@dataclass
class StubLife:
    """A server that made RATE tokens a second from START, and was read every 5 s until `until`.

    `drafts`: draft steps a second, each with two accepted tokens.
    """

    name: str
    until: float
    since: float = START
    drafts: int = 0

    def pages(self) -> tuple[Page, ...]:
        moments = range(int(self.since - 5), int(self.until) + 1, INTERVAL_SECONDS)
        return tuple(Page(float(at), self._counters(max(0.0, at - self.since))) for at in moments)

    def _counters(self, seconds: float) -> dict[str, float]:
        steps = self.drafts * seconds
        return dict(zip(COUNTERS, (RATE * seconds, 0.0, steps, 2 * steps), strict=True))

    def received(self) -> Received:
        """What its clients got, once a second."""
        found = Received()
        for at in range(int(self.since) + 1, int(self.until) + 1):
            found.at.append(float(at))
            found.tokens.append(RATE)
            found.output += RATE
            if self.drafts:
                found.drafts.append((float(at), 2 * self.drafts, self.drafts))
        return found


def look(at: float, changes: Mapping[str, float]) -> Look:
    """The operator's page: right in all that it says of a window."""
    figures: dict[str, float] = {
        "tokens_total": 0.0,
        "cost_total": 0.0,
        "tokens_per_second_per_gpu": RATE,
        "acceptance_length": 3.0,
        "cost_per_million_tokens": PER_GPU_HOUR / (RATE * 3600 / 1e6),
        "last_observation_timestamp_seconds": at,
        **changes,
    }
    page = "".join(
        f'tokenfactory_pool_{name}{{pool="tiny",basis="total"}} {value}\n' for name, value in figures.items()
    )
    return Look(page, {"optimizations": [{"name": "SpeculativeDecoding", "state": "Active"}]})


def judge(**changes: float) -> Verdict:
    """Two servers; one is killed at 1102, read last at 1100. `changes` go into the operator's last words."""
    killed, again = StubLife("a#1", KILLED), StubLife("a#2", DONE, since=1150.0)
    other = StubLife("b#1", DONE, drafts=1)
    everything: Any = (killed, again, other)
    record = Record(load_from=START, load_to=DONE, killed_at=KILLED)
    lives: Any = ([killed, again], [other])
    record.replicas = [Replica(POD, (), lives=list(found), created_at=990.0) for found in lives]
    record.received = {life.name: life.received() for life in everything}
    right = {
        "tokens_total": sum(life.pages()[-1].tokens for life in everything),
        "cost_total": 2 * (DONE - START) / 3600 * PER_GPU_HOUR,
    }
    record.before, record.steady = look(1000.5, {}), look(1100.5, {})
    record.speculating = record.after = look(DONE + 0.5, right | changes)
    return compare(record)


def wrong(verdict: Verdict) -> list[str]:
    return [row.what for row in verdict.rows if not row.ok]


def test_the_truth_is_accepted_and_the_tail_is_what_came_after_the_last_page() -> None:
    verdict = judge()
    assert wrong(verdict) == []
    assert (verdict.tail.tokens, verdict.tail.seconds) == (200, 2.0)
    assert verdict.speculation == "Active"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"tokens_total": 1.0}, "tokens on the last pages of all lives"),
        ({"cost_total": 2 * (DONE - START) * 1.006 / 3600 * PER_GPU_HOUR}, "$/Mtok of the whole run"),
        ({"tokens_per_second_per_gpu": RATE * 1.006}, "tokens/s/GPU, speculating"),
        ({"cost_per_million_tokens": 3.0}, "$/Mtok, speculating"),
        ({"acceptance_length": 3.1}, "acceptance length, as the responses told it"),
    ],
)
def test_a_number_beside_the_truth_is_seen(changes: dict[str, float], what: str) -> None:
    assert what in wrong(judge(**changes))
