"""Counter deltas and window edges (docs/cost-model.md §1, §2)."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.costing.counters import Snapshot, count_since
from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.history import Segment, history_of
from tokenfactory.costing.ledger import Track
from tokenfactory.costing.shares import Share
from tokenfactory.costing.window import Span, view
from tokenfactory.model import SLOT, EngineId, Layout, Role, SeriesKey, Signal, layout_of

values = st.lists(st.floats(0, 1e15), min_size=3, max_size=3)
KEYS = tuple(SeriesKey(Signal.OUTPUT_TOKENS, rank) for rank in "012")
LAYOUT = layout_of(KEYS)


def snapshot(counters: list[float], layout: Layout = LAYOUT) -> Snapshot:
    return Snapshot(layout, array("d", counters))


@given(values, values)
def test_a_delta_is_never_negative_and_a_fall_counts_the_new_value(
    before: list[float], after: list[float]
) -> None:
    found = count_since(snapshot(before), snapshot(after))
    expected = sum(b - a if b >= a else b for a, b in zip(before, after, strict=True))
    assert found.signals[SLOT[Signal.OUTPUT_TOKENS]] == pytest.approx(expected)
    assert found.signals[SLOT[Signal.OUTPUT_TOKENS]] >= 0
    assert found.reset == any(b < a for a, b in zip(before, after, strict=True))


@given(values, values, st.permutations((0, 1, 2)))
def test_another_order_of_the_series_makes_no_difference(
    before: list[float], after: list[float], order: list[int]
) -> None:
    other = layout_of(KEYS[i] for i in order)
    plain = count_since(snapshot(before), snapshot(after))
    mixed = count_since(snapshot(before), snapshot([after[i] for i in order], other))
    assert list(plain.signals) == pytest.approx(list(mixed.signals))
    assert plain.reset == mixed.reset


def test_one_ranks_reset_does_not_hide_behind_the_others() -> None:
    found = count_since(snapshot([100.0, 100.0, 100.0]), snapshot([150.0, 10.0, 150.0]))
    assert found.signals[SLOT[Signal.OUTPUT_TOKENS]] == 110.0
    assert found.reset


def test_a_series_that_appears_began_at_zero() -> None:
    found = count_since(snapshot([5.0], layout_of(KEYS[:1])), snapshot([6.0, 7.0, 8.0]))
    assert found.signals[SLOT[Signal.OUTPUT_TOKENS]] == 16.0
    assert not found.reset


def make_track(lengths: list[tuple[float, float]]) -> Track:
    segments, start = [], 0.0
    for length, tokens in lengths:
        deltas = array("d", bytes(8 * len(SLOT)))
        deltas[SLOT[Signal.OUTPUT_TOKENS]] = tokens
        segments.append(Segment(start, start + length, 2.0, Share.SERVING, deltas))
        start += length
    return Track(
        id=EngineId("u", "c"),
        role=Role.AGGREGATED,
        facts=HardwareFacts(),
        gpus=2.0,
        closed_at=start,
        segments=history_of(segments),
    )


lengths = st.lists(st.tuples(st.floats(1, 60), st.floats(0, 1e6)), min_size=1, max_size=20)


@given(lengths, st.floats(0, 1))
def test_two_halves_of_a_window_add_up_to_the_whole(lengths: list[tuple[float, float]], at: float) -> None:
    track = make_track(lengths)
    assert track.closed_at is not None
    cut = at * track.closed_at
    whole = view([track], Span(0, track.closed_at))
    halves = [view([track], Span(0, cut)), view([track], Span(cut, track.closed_at))]
    for measure in (lambda v: v.gpu_seconds, lambda v: sum(p.total(Signal.OUTPUT_TOKENS) for p in v.parts)):
        assert sum(measure(half) for half in halves) == pytest.approx(measure(whole), rel=1e-9, abs=1e-6)


@given(lengths)
def test_a_window_that_covers_all_holds_every_token(lengths: list[tuple[float, float]]) -> None:
    track = make_track(lengths)
    found = view([track], Span(-10, 1e6))
    assert found.parts[0].total(Signal.OUTPUT_TOKENS) == pytest.approx(sum(t for _, t in lengths))
    assert found.gpu_seconds == pytest.approx(2 * sum(length for length, _ in lengths))
