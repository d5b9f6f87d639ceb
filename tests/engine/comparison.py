"""The operator's numbers of a run against what its clients received. No code of the operator is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.engine.servers import COUNTERS, Life, Page
from tests.engine.story import INTERVAL_SECONDS, PER_GPU_HOUR, WINDOW_SECONDS, Look, Record, Replica

TOLERANCE = 0.005
_SERIES = re.compile(r"^tokenfactory_pool_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `allowed` is a relative error, or None where equality is asked for."""

    what: str
    seen: float
    true: float
    allowed: float | None = TOLERANCE

    @property
    def error(self) -> float:
        return abs(self.seen - self.true) / self.true if self.true else float(self.seen != 0)

    @property
    def ok(self) -> bool:
        return self.seen == self.true if self.allowed is None else self.error <= self.allowed


@dataclass(frozen=True, slots=True)
class Tail:
    """What the killed server made after the operator's last page of it."""

    seconds: float
    tokens: int
    most: int


@dataclass(frozen=True, slots=True)
class Verdict:
    rows: tuple[Row, ...]
    tail: Tail
    speculation: str

    @property
    def ok(self) -> bool:
        active = self.speculation == "Active"
        return all(row.ok for row in self.rows) and active and 0 <= self.tail.tokens <= self.tail.most


def series(look: Look, name: str, **labels: str) -> float:
    """The sum of the pool's series of a name that carry `labels`."""
    found = 0.0
    for metric, text, value in _SERIES.findall(look.page):
        given = dict(re.findall(r'(\w+)="([^"]*)"', text))
        if metric == name and labels.items() <= given.items():
            found += float(value)
    return found


def observed_at(look: Look) -> float:
    """When the cycle that the look shows was concluded."""
    return series(look, "last_observation_timestamp_seconds")


def compare(record: Record) -> Verdict:
    """Every row of the report."""
    assert record.before is not None
    assert record.steady is not None
    assert record.speculating is not None
    assert record.after is not None
    tail = find_tail(record)
    rows = (
        *_compare_totals(record, record.before, record.after, tail),
        *_compare_window(record, record.steady, "before the kill"),
        *_compare_window(record, record.speculating, "speculating"),
        *_compare_acceptance(record, record.speculating, record.after),
    )
    return Verdict(rows, tail, speculation_state(record.speculating))


def lives(record: Record) -> Iterator[Life]:
    for replica in record.replicas:
        yield from replica.lives


def find_tail(record: Record) -> Tail:
    """Received from the killed life, less the counters of the last page of it."""
    killed = record.replicas[0].lives[0]
    last = killed.pages()[-1]
    received = record.received[killed.name]
    start, busiest = record.load_from, 0
    while start < record.killed_at:
        busiest = max(busiest, received.between(start, start + INTERVAL_SECONDS))
        start += INTERVAL_SECONDS
    return Tail(record.killed_at - last.at, received.total - last.tokens, 2 * busiest)


def _compare_totals(record: Record, before: Look, after: Look, tail: Tail) -> Iterator[Row]:
    seen = series(after, "tokens_total") - series(before, "tokens_total")
    yield Row(
        "tokens on the last pages of all lives", seen, sum(_last(life).tokens for life in lives(record)), None
    )
    received = sum(one.total for one in record.received.values())
    yield Row("tokens that clients received, less the tail", seen, received - tail.tokens, None)
    span = observed_at(before), observed_at(after)
    gpu_seconds = sum(_held(replica, *span) for replica in record.replicas)
    paid = series(after, "cost_total") - series(before, "cost_total")
    true = gpu_seconds / 3600 * PER_GPU_HOUR / ((received - tail.tokens) / 1e6)
    yield Row("$/Mtok of the whole run", paid / seen * 1e6, true)


def _last(life: Life) -> Page:
    return life.pages()[-1]


def _held(replica: Replica, start: float, end: float) -> float:
    """GPU-seconds of a replica from its last page before `start`, else its creation, to its last page."""
    pages = [page.at for life in replica.lives for page in life.pages() if page.at <= end]
    earlier = [at for at in pages if at <= start]
    return max(pages) - (max(earlier) if earlier else replica.created_at)


def window_of(record: Record, look: Look) -> tuple[float, float]:
    """The span of the operator's window: it ends at the oldest of the newest pages of the fresh replicas."""
    at = observed_at(look)
    newest = [
        max((page.at for page in replica.life.pages() if page.at <= at), default=0.0)
        for replica in record.replicas
    ]
    end = min(page for page in newest if at - page < 2.5 * INTERVAL_SECONDS)
    return end - WINDOW_SECONDS, end


def _compare_window(record: Record, look: Look, when: str) -> Iterator[Row]:
    start, end = window_of(record, look)
    tokens = sum(one.between(start, end) for one in record.received.values())
    per_gpu = tokens / WINDOW_SECONDS / 2
    yield Row(f"tokens/s/GPU, {when}", series(look, "tokens_per_second_per_gpu"), per_gpu)
    million = PER_GPU_HOUR / (per_gpu * 3600 / 1e6)
    yield Row(f"$/Mtok, {when}", series(look, "cost_per_million_tokens", basis="total"), million)


def _compare_acceptance(record: Record, look: Look, after: Look) -> Iterator[Row]:
    start, end = window_of(record, look)
    told = [one.acceptance(start, end) for one in record.received.values()]
    accepted, steps = sum(row[0] for row in told), sum(row[1] for row in told)
    seen = series(look, "acceptance_length")
    yield Row("acceptance length, as the responses told it", seen, 1 + accepted / steps, 0.02)
    told = [one.acceptance(0.0, float("inf")) for one in record.received.values()]
    pages = [_last(life).counters for life in lives(record)]
    yield Row(
        "accepted tokens on the pages", sum(p[COUNTERS[3]] for p in pages), sum(t[0] for t in told), None
    )
    yield Row("draft steps on the pages", sum(p[COUNTERS[2]] for p in pages), sum(t[1] for t in told), None)


def speculation_state(look: Look) -> str:
    for row in look.status.get("optimizations") or ():
        if row.get("name") == "SpeculativeDecoding":
            return str(row.get("state"))
    return "absent"
