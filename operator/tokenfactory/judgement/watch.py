"""What the judge of the denominator keeps from cycle to cycle: latches, and two windows of what was done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

PIECES_PER_WINDOW = 12


@dataclass(frozen=True, slots=True)
class Latch:
    """Opens when something has been bad for a while, closes when it has been good for a while.

    Times are Unix seconds. `since` is when the bad began that opened it, None while it is closed.
    """

    since: float | None = None
    bad_since: float | None = None
    good_since: float | None = None

    @property
    def open(self) -> bool:
        return self.since is not None

    @property
    def doubtful(self) -> bool:
        return self.since is not None or self.bad_since is not None


CLOSED = Latch()


class Piece(NamedTuple):
    """What the role did between two cycles. `expected` is what the own level gives at each engine's
    concurrency, `full` what it gives at best, both for the `judged` GPU-seconds; `tokens` are theirs, `made`
    those of all GPU-seconds.
    """

    begin: float
    end: float
    tokens: float
    expected: float
    full: float
    judged: float
    made: float
    gpu_seconds: float
    sequence_seconds: float
    seconds: float
    waiting: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """`past` covers at most two windows. `shown` is (efficiency, concurrency) as the message has it.

    `paged` tells that the open collapse is worth waking somebody; `acknowledged` is the last value of the
    accept-baseline annotation that was acted on.
    """

    past: tuple[Piece, ...] = ()
    low: bool = False
    busy_at: float | None = None
    starved_since: float | None = None
    collapse: Latch = CLOSED
    degraded: Latch = CLOSED
    stall: Latch = CLOSED
    saturated: Latch = CLOSED
    paged: bool = False
    shown: tuple[float, float] | None = None
    acknowledged: str = ""


def turn(latch: Latch, *, bad: bool, good: bool, after: float, until: float, now: float) -> Latch:
    """The latch one cycle later: open once `bad` for `after` seconds, closed once `good` for `until`."""
    if latch.since is not None:
        if not good:
            return latch if latch.good_since is None else replace(latch, good_since=None)
        good_since = now if latch.good_since is None else latch.good_since
        if now - good_since >= until:
            return CLOSED
        return latch if latch.good_since is not None else replace(latch, good_since=good_since)
    if not bad:
        return CLOSED
    bad_since = now if latch.bad_since is None else latch.bad_since
    if now - bad_since >= after:
        return Latch(since=bad_since)
    return latch if latch.bad_since is not None else Latch(bad_since=bad_since)


def rest(watch: Watch) -> Watch:
    """The watch while nothing can be judged: what is open stays open, what ran stops."""
    return replace(
        watch,
        starved_since=None,
        collapse=Latch(watch.collapse.since),
        degraded=Latch(watch.degraded.since),
        stall=Latch(watch.stall.since),
        saturated=CLOSED,
    )


def add_piece(past: tuple[Piece, ...], piece: Piece, *, window: float) -> tuple[Piece, ...]:
    """`past` and the new piece, without what is older than two windows; short ones are put together."""
    if past and past[-1].end - past[-1].begin < window / PIECES_PER_WINDOW:
        last = past[-1]
        piece = piece._replace(
            begin=last.begin,
            tokens=last.tokens + piece.tokens,
            expected=last.expected + piece.expected,
            full=last.full + piece.full,
            judged=last.judged + piece.judged,
            made=last.made + piece.made,
            gpu_seconds=last.gpu_seconds + piece.gpu_seconds,
            sequence_seconds=last.sequence_seconds + piece.sequence_seconds,
            seconds=last.seconds + piece.seconds,
        )
        past = past[:-1]
    horizon = piece.end - 2 * window
    first = 0
    while first < len(past) and past[first].end <= horizon:
        first += 1
    return (*past[first:], piece)


class Totals(NamedTuple):
    """Sums over the pieces of one span; `waiting` is a mean."""

    tokens: float = 0.0
    expected: float = 0.0
    judged: float = 0.0
    gpu_seconds: float = 0.0
    sequence_seconds: float = 0.0
    seconds: float = 0.0
    waiting: float = 0.0

    @property
    def efficiency(self) -> float | None:
        """None while less than half of the GPU time can be compared with a level."""
        if self.expected <= 0 or self.judged < self.gpu_seconds / 2:
            return None
        return self.tokens / self.expected

    @property
    def concurrency(self) -> float:
        return self.sequence_seconds / self.seconds if self.seconds > 0 else 0.0


def total(
    past: tuple[Piece, ...], span: float, *, starved_since: float | None = None
) -> tuple[Totals, Totals]:
    """The last `span` seconds, and twice as many. Pieces since `starved_since` count with the full level."""
    if not past:
        return Totals(), Totals()
    end = past[-1].end
    short: Totals | None = None
    tokens = expected = judged = gpu_seconds = sequences = seconds = waiting = length = 0.0
    for piece in reversed(past):
        age = end - (piece.begin + piece.end) / 2
        if short is None and age >= span:
            mean = waiting / length if length > 0 else 0.0
            short = Totals(tokens, expected, judged, gpu_seconds, sequences, seconds, mean)
        if age >= 2 * span:
            break
        hungry = starved_since is not None and piece.end >= starved_since
        tokens += piece.tokens
        expected += piece.full if hungry else piece.expected
        judged += piece.judged
        gpu_seconds += piece.gpu_seconds
        sequences += piece.sequence_seconds
        seconds += piece.seconds
        length += piece.end - piece.begin
        waiting += piece.waiting * (piece.end - piece.begin)
    mean = waiting / length if length > 0 else 0.0
    long = Totals(tokens, expected, judged, gpu_seconds, sequences, seconds, mean)
    return short or long, long
