"""The segments of a track, packed: the larger half of what a pool's window takes (docs/performance.md)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tokenfactory.costing.shares import Share

_SHARES = tuple(Share)
_HEAD = 7
"""A segment's numbers before its gains: start, end, GPUs, running, waiting, share, estimated."""


class Segment(NamedTuple):
    """A span of one engine's GPU time and what its counters gained in it (docs/cost-model.md §1).

    `deltas` may end with the last signal that moved; None: none did. `running` and `waiting` are the gauges
    at its end. `estimated` tells that a counter fell or the container restarted: a tail may be unseen.
    """

    start: float
    end: float
    gpus: float
    share: Share
    deltas: array[float] | None = None
    running: float = 0.0
    waiting: float = 0.0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """Segments in their order, `width` numbers each in one array; as objects they took twice the memory.

    It reads like a tuple of segments, made as they are asked for.
    """

    width: int = _HEAD
    numbers: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.numbers) // self.width

    def __getitem__(self, place: int) -> Segment:
        at = (place if place >= 0 else len(self) + place) * self.width
        start, end, gpus, running, waiting, share, estimated = self.numbers[at : at + _HEAD]
        deltas = self.numbers[at + _HEAD : at + self.width]
        kind = _SHARES[int(share)]
        return Segment(start, end, gpus, kind, deltas or None, running, waiting, bool(estimated))

    def __iter__(self) -> Iterator[Segment]:
        return map(self.__getitem__, range(len(self)))

    def plus(self, segment: Segment) -> History:
        """These segments and one more."""
        row = [segment.start, segment.end, segment.gpus, segment.running, segment.waiting]
        row += [_SHARES.index(segment.share), segment.estimated, *(segment.deltas or ())]
        widened = self._widen(len(row))
        missing = widened.width - len(row)
        return History(widened.width, widened.numbers + array("d", (*row, *(0.0,) * missing)))

    def without_last(self, count: int) -> History:
        """These segments but for the last ones."""
        return History(self.width, self.numbers[: (len(self) - count) * self.width])

    def after(self, horizon: float) -> History:
        """The segments that end after `horizon`."""
        ends = self.numbers[1 :: self.width]
        gone = sum(end <= horizon for end in ends)
        return History(self.width, self.numbers[gone * self.width :]) if gone else self

    def _widen(self, width: int) -> History:
        """The same segments with room for as many numbers."""
        if width <= self.width:
            return self
        numbers, room = array("d"), array("d", bytes(8 * (width - self.width)))
        for at in range(0, len(self.numbers), self.width):
            numbers += self.numbers[at : at + self.width] + room
        return History(width, numbers)


def history_of(segments: Iterable[Segment]) -> History:
    """These segments, packed."""
    history = History()
    for segment in segments:
        history = history.plus(segment)
    return history
