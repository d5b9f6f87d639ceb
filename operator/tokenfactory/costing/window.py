"""One window for numerator and denominator: tokens and GPU time cut alike (docs/cost-model.md §1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.history import Segment
from tokenfactory.costing.ledger import Track
from tokenfactory.costing.shares import Share
from tokenfactory.model import AT_THE_END, SIGNALS, SLOT, TOKENS_COUNTED, Signal

FRESH_INTERVALS = 2.5


@dataclass(frozen=True, slots=True)
class Span:
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackView:
    """What one engine did within a span. `able_seconds` leaves out the time that it was loading.

    `running_seconds` and `waiting_seconds` integrate the gauges; `waited`: requests waited at a scrape.
    """

    track: Track
    gpu_seconds: tuple[tuple[Share, float], ...]
    seconds: float
    able_seconds: float
    signals: tuple[float, ...]
    running_seconds: float
    waiting_seconds: float
    waited: bool
    estimated: bool

    def total(self, signal: Signal) -> float:
        return self.signals[SLOT[signal]]

    def has(self, signal: Signal) -> bool:
        return signal in self.track.families

    @property
    def made(self) -> float:
        """Output tokens as they were made, where the page counts them so: what decoding seconds go with."""
        live = Signal.STEP_OUTPUT_TOKENS
        return self.total(live if self.has(live) else Signal.OUTPUT_TOKENS)

    @property
    def counts_live(self) -> bool:
        """Whether output is counted as it is made; else it comes when a request ends."""
        if self.has(Signal.STEP_OUTPUT_TOKENS):
            return True
        return self.track.info.get(TOKENS_COUNTED) != AT_THE_END

    @property
    def drafts(self) -> float | None:
        """Steps of speculation; SGLang counts them where it verifies them. None: not counted."""
        for signal in (Signal.DRAFTS, Signal.VERIFY_CALLS):
            if self.has(signal):
                return self.total(signal)
        return None

    @property
    def accepted(self) -> float | None:
        """Draft tokens that became output; of verified steps, the output beyond one token for each."""
        if self.has(Signal.ACCEPTED_TOKENS):
            return self.total(Signal.ACCEPTED_TOKENS)
        if not self.has(Signal.VERIFY_CALLS):
            return None
        steps = self.total(Signal.VERIFY_CALLS)
        return max(0.0, self.total(Signal.OUTPUT_TOKENS) - steps) if steps > 0 else 0.0

    @property
    def all_gpu_seconds(self) -> float:
        return sum(value for _, value in self.gpu_seconds)

    @property
    def able_gpu_seconds(self) -> float:
        return sum(value for share, value in self.gpu_seconds if share is not Share.LOADING)


@dataclass(frozen=True, slots=True)
class WindowView:
    """All engines of the pool within one span."""

    span: Span
    parts: tuple[TrackView, ...]

    @property
    def gpu_seconds(self) -> float:
        return sum(part.all_gpu_seconds for part in self.parts)

    @property
    def estimated(self) -> bool:
        return any(part.estimated for part in self.parts)

    @property
    def waited(self) -> bool:
        return any(part.waited for part in self.parts)

    def gpu_seconds_by_facts(self) -> dict[HardwareFacts, float]:
        found: dict[HardwareFacts, float] = {}
        for part in self.parts:
            if part.all_gpu_seconds > 0:
                found[part.track.facts] = found.get(part.track.facts, 0.0) + part.all_gpu_seconds
        return found

    def by_share(self, share: Share) -> float:
        return sum(value for part in self.parts for kind, value in part.gpu_seconds if kind is share)


def is_fresh(track: Track, *, now: float, interval: float) -> bool:
    """The last good scrape is at most two and a half scrape intervals old."""
    return track.present and track.read_at is not None and now - track.read_at <= FRESH_INTERVALS * interval


def find_end(tracks: Iterable[Track], *, now: float, interval: float) -> float:
    """The moment up to which all fresh engines are accounted for, so that all of them cover the same span.

    With none fresh, the last moment that any was; without an engine that is still there, `now`.
    """
    fresh: list[float] = []
    present: list[float] = []
    for track in tracks:
        if not track.present or track.closed_at is None:
            continue
        present.append(track.closed_at)
        if is_fresh(track, now=now, interval=interval):
            fresh.append(track.closed_at)
    return min(fresh) if fresh else max(present, default=now)


def view(tracks: Iterable[Track], span: Span) -> WindowView:
    """Every track cut to the span; a segment that straddles an edge is prorated linearly."""
    parts = tuple(_view_track(track, span) for track in tracks)
    return WindowView(span, tuple(part for part in parts if part.seconds > 0 or part.track.present))


def overlap(start: float, end: float, span: Span) -> float:
    """The fraction of [start, end] that lies in the span."""
    if end <= start:
        return 0.0
    if start >= span.start and end <= span.end:
        return 1.0
    return max(0.0, min(end, span.end) - max(start, span.start)) / (end - start)


def _view_track(track: Track, span: Span) -> TrackView:
    shares = dict.fromkeys(Share, 0.0)
    signals = [0.0] * len(SIGNALS)
    seconds = able = running = waiting = 0.0
    waited = estimated = False
    for segment in track.segments:
        fraction = overlap(segment.start, segment.end, span)
        if fraction <= 0:
            continue
        length = (segment.end - segment.start) * fraction
        seconds += length
        shares[segment.share] += length * segment.gpus
        able += length if segment.share is not Share.LOADING else 0.0
        running += length * segment.running
        waiting += length * segment.waiting
        waited = waited or segment.waiting > 0
        estimated = estimated or segment.estimated
        _add(signals, segment, fraction)
    return TrackView(
        track=track,
        gpu_seconds=tuple(shares.items()),
        seconds=seconds,
        able_seconds=able,
        signals=tuple(signals),
        running_seconds=running,
        waiting_seconds=waiting,
        waited=waited,
        estimated=estimated,
    )


def _add(signals: list[float], segment: Segment, fraction: float) -> None:
    if segment.deltas is None:
        return
    for slot, gain in enumerate(segment.deltas):
        signals[slot] += gain * fraction
