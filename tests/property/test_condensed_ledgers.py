"""A condensed ledger holds the time, the tokens and the joules of the full one."""

from __future__ import annotations

from array import array
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.costing.condense import GRAINS_PER_WINDOW, append_sample, append_spans, condense
from tokenfactory.costing.energy import sum_spans
from tokenfactory.costing.gpufigures import find_boards
from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.history import Segment
from tokenfactory.costing.latency import sum_slices
from tokenfactory.costing.ledger import (
    EnergySpan,
    Gains,
    GpuSample,
    LatencySlice,
    PodSample,
    Track,
)
from tokenfactory.costing.shares import Share
from tokenfactory.costing.slices import append_slice
from tokenfactory.costing.window import Span, view
from tokenfactory.model import SLOT, Bucket, EngineId, Histogram, Role, Signal

WINDOW = 300.0
GRAIN = WINDOW / GRAINS_PER_WINDOW
pieces = st.lists(
    st.tuples(st.floats(1, 40), st.floats(0, 1e6), st.sampled_from(Share), st.booleans()),
    min_size=1,
    max_size=30,
)


def grow(pieces: list[tuple[float, float, Share, bool]], *, condensed: bool) -> Track:
    """A track that got these segments one after the other: length, output tokens, share, estimated."""
    track = Track(id=EngineId("u", "c"), role=Role.AGGREGATED, facts=HardwareFacts(), gpus=2.0, closed_at=0.0)
    start = 0.0
    for length, tokens, share, estimated in pieces:
        deltas = array("d", bytes(8 * len(SLOT)))
        deltas[SLOT[Signal.OUTPUT_TOKENS]] = tokens
        segment = Segment(start, start + length, 2.0, share, deltas, length, 0.0, estimated)
        start += length
        track = Track(
            id=track.id,
            role=track.role,
            facts=track.facts,
            gpus=track.gpus,
            closed_at=start,
            segments=track.segments.plus(segment),
        )
        track = condense(track, window_seconds=WINDOW) if condensed else track
    return track


@given(pieces)
def test_the_whole_holds_the_same_time_tokens_and_load(
    pieces: list[tuple[float, float, Share, bool]],
) -> None:
    full, less = grow(pieces, condensed=False), grow(pieces, condensed=True)
    span = Span(0.0, full.segments[-1].end)
    (before,), (after,) = view([full], span).parts, view([less], span).parts
    assert after.total(Signal.OUTPUT_TOKENS) == pytest.approx(before.total(Signal.OUTPUT_TOKENS))
    assert dict(after.gpu_seconds) == pytest.approx(dict(before.gpu_seconds))
    assert after.running_seconds == pytest.approx(before.running_seconds)
    assert after.estimated == before.estimated


@given(pieces)
def test_no_piece_is_longer_than_a_ninth_of_the_window_unless_it_came_so(
    pieces: list[tuple[float, float, Share, bool]],
) -> None:
    longest = max(length for length, *_ in pieces)
    for segment in grow(pieces, condensed=True).segments:
        assert segment.end - segment.start <= max(GRAIN, longest) + 1e-6


def test_scrapes_every_fifteen_seconds_of_a_window_of_five_minutes_are_half_as_many_pieces() -> None:
    punctual = [(15.0, 100.0, Share.SERVING, False)] * 20
    late_and_early = [(15.0 + late, 100.0, Share.SERVING, False) for late in (0.4, -0.1, 0.3, -0.6)] * 5
    for steady in (punctual, late_and_early):
        assert len(grow(steady, condensed=True).segments) == 10


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((15.0, 0.0, Share.IDLE, False), id="another share"),
        pytest.param((15.0, 100.0, Share.SERVING, True), id="a reset"),
        pytest.param((19.0, 100.0, Share.SERVING, False), id="more than a grain together"),
    ],
)
def test_pieces_that_differ_stay_apart(other: tuple[float, float, Share, bool]) -> None:
    assert len(grow([(15.0, 100.0, Share.SERVING, False), other], condensed=True).segments) == 2


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(1, 40), st.booleans()), min_size=1, max_size=30))
def test_energy_spans_keep_their_joules_and_seconds(steps: list[tuple[str, float, bool]]) -> None:
    full: tuple[EnergySpan, ...] = ()
    less: tuple[EnergySpan, ...] = ()
    at = {"a": 0.0, "b": 0.0}
    for pod, length, estimated in steps:
        span = EnergySpan(pod, at[pod], at[pod] + length, 500.0 * length, 1.0, estimated)
        at[pod] += length
        full = (*full, span)
        less = append_spans(less, [span], window_seconds=WINDOW)
    whole = Span(0.0, max(at.values()))
    before, after = sum_spans(full, whole), sum_spans(less, whole)
    assert before.pods.keys() == after.pods.keys()
    for pod, figures in before.pods.items():
        assert after.pods[pod] == pytest.approx(figures)
    assert after.estimated == before.estimated
    assert len(less) <= len(full)


TTFT = ((Histogram.TIME_TO_FIRST_TOKEN, 1.0), (Histogram.TIME_TO_FIRST_TOKEN, inf))
QUEUE = ((Histogram.QUEUE, inf),)
slices = st.lists(st.tuples(st.floats(1, 40), st.sampled_from((TTFT, QUEUE))), min_size=1, max_size=30)


@given(slices)
def test_latency_slices_keep_every_observation(steps: list[tuple[float, tuple[Bucket, ...]]]) -> None:
    kept: tuple[LatencySlice, ...] = ()
    start, total = 0.0, dict.fromkeys((*TTFT, *QUEUE), 0.0)
    for length, names in steps:
        gains = Gains(names, array("d", range(1, len(names) + 1)))
        kept = append_slice(kept, LatencySlice(start, start + length, (gains,)), window_seconds=WINDOW)
        start += length
        for name, gain in zip(*gains, strict=True):
            total[name] += gain
    seen = sum_slices(kept, Span(0.0, start))
    assert seen == {name: gain for name, gain in total.items() if gain}
    longest = max(length for length, _ in steps)
    assert all(piece.end - piece.start <= max(GRAIN, longest) + 1e-6 for piece in kept)


@given(st.lists(st.tuples(st.floats(1, 40), st.sampled_from("ab"), st.booleans()), min_size=1, max_size=30))
def test_samples_keep_every_gpu_of_every_pod(steps: list[tuple[float, str, bool]]) -> None:
    kept: tuple[GpuSample, ...] = ()
    at = 0.0
    for length, pod, throttled in steps:
        at += length
        of_pod = PodSample(pod, explained=1, throttled=int(throttled), clocked=1, clocks=1500.0)
        sample = GpuSample(at, at, busy=(0.5, 1), throttled=(float(throttled), 1), pods=(of_pod,))
        kept = append_sample(kept, sample, window_seconds=WINDOW)
    assert sum(item.busy[0] for item in kept) == 0.5 * len(steps)
    assert sum(item.busy[1] for item in kept) == len(steps)
    boards = {board.pod_uid: board for board in find_boards(kept, (), Span(0.0, at))}
    for pod in {pod for _, pod, _ in steps}:
        own = [throttled for _, name, throttled in steps if name == pod]
        assert boards[pod].throttled_share == pytest.approx(sum(own) / len(own))
        assert boards[pod].sm_megahertz == 1500.0
    assert all(item.at - item.since <= GRAIN + 1e-6 for item in kept)
