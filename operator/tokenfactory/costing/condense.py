"""Neighbouring pieces of the ledger become one where no window can tell them apart (cost-model §1).

A piece is cut linearly at a window's edge, so pieces up to a ninth of the window add no error beyond that;
half as many of them are half the memory of a large fleet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tokenfactory.costing.counters import sum_gains
from tokenfactory.costing.history import Segment
from tokenfactory.costing.ledger import EnergySpan, GpuSample, Tally, Track

GRAINS_PER_WINDOW = 9
"""So that two scrapes of 15 s are one piece of a window of 300 s, a little late or not."""


def condense(track: Track, *, window_seconds: float) -> Track:
    """The track with its last two segments as one, when they are alike and together at most a grain long."""
    if len(track.segments) < 2:
        return track
    left, right = track.segments[-2], track.segments[-1]
    if not _are_alike(left, right) or right.end - left.start > window_seconds / GRAINS_PER_WINDOW:
        return track
    return replace(track, segments=track.segments.without_last(2).plus(_join(left, right)))


def _are_alike(left: Segment, right: Segment) -> bool:
    """Of one kind, without a gap and without a reset between them."""
    return (
        left.end == right.start
        and left.share is right.share
        and left.gpus == right.gpus
        and not (left.estimated or right.estimated)
    )


def _join(left: Segment, right: Segment) -> Segment:
    """One segment with the time, the tokens and the mean number of running requests of both."""
    seconds = right.end - left.start
    running = left.running * (left.end - left.start) + right.running * (right.end - right.start)
    return Segment(
        left.start,
        right.end,
        right.gpus,
        right.share,
        sum_gains(left.deltas, right.deltas),
        running / seconds if seconds > 0 else right.running,
        max(left.waiting, right.waiting),
    )


def append_spans(
    kept: Iterable[EnergySpan], fresh: Iterable[EnergySpan], *, window_seconds: float
) -> tuple[EnergySpan, ...]:
    """The spans with the new ones; one that goes on where the pod's last one ended may become part of it."""
    spans = list(kept)
    last = {span.pod_uid: place for place, span in enumerate(spans)}
    for span in fresh:
        place = last.get(span.pod_uid)
        before = spans[place] if place is not None else None
        if place is not None and before is not None and _goes_on(before, span, window_seconds):
            spans[place] = replace(before, end=span.end, joules=before.joules + span.joules)
        else:
            last[span.pod_uid] = len(spans)
            spans.append(span)
    return tuple(spans)


def _goes_on(before: EnergySpan, span: EnergySpan, window_seconds: float) -> bool:
    return (
        before.end == span.start
        and before.gpus == span.gpus
        and not (before.estimated or span.estimated)
        and span.end - before.start <= window_seconds / GRAINS_PER_WINDOW
    )


def append_sample(
    kept: tuple[GpuSample, ...], fresh: GpuSample | None, *, window_seconds: float
) -> tuple[GpuSample, ...]:
    """The samples with the new one, which becomes part of the last where both are together a grain long."""
    if fresh is None or not kept:
        return (*kept, fresh) if fresh else kept
    *earlier, last = kept
    if fresh.at - last.since > window_seconds / GRAINS_PER_WINDOW:
        return (*kept, fresh)
    return (*earlier, _add_up(last, fresh))


def _add_up(last: GpuSample, fresh: GpuSample) -> GpuSample:
    pods = {sample.pod_uid: sample for sample in last.pods}
    for sample in fresh.pods:
        before = pods.get(sample.pod_uid)
        pods[sample.pod_uid] = before.plus(sample) if before else sample
    return GpuSample(
        since=last.since,
        at=fresh.at,
        busy=_both(last.busy, fresh.busy),
        tensor=_both(last.tensor, fresh.tensor),
        memory=_both(last.memory, fresh.memory),
        throttled=_both(last.throttled, fresh.throttled),
        megahertz=_both(last.megahertz, fresh.megahertz),
        pods=tuple(pods.values()),
    )


def _both(some: Tally, others: Tally) -> Tally:
    return some[0] + others[0], some[1] + others[1]
