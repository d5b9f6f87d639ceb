"""A track's packed segments read like the tuple of those that were put in."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.costing.history import History, Segment, history_of
from tokenfactory.costing.shares import Share

numbers = st.floats(0, 1e15)
gains = st.lists(numbers, max_size=24).map(lambda values: array("d", values) if values else None)
segments = st.lists(
    st.builds(
        Segment,
        start=numbers,
        end=numbers,
        gpus=st.floats(0, 64),
        share=st.sampled_from(Share),
        deltas=gains,
        running=numbers,
        waiting=numbers,
        estimated=st.booleans(),
    ),
    max_size=8,
)


def plain(segment: Segment) -> tuple[object, ...]:
    """The segment with its gains up to the last that is not zero: what is behind says nothing."""
    deltas = list(segment.deltas or ())
    while deltas and not deltas[-1]:
        del deltas[-1]
    return (*segment._replace(deltas=None), deltas)


@given(segments)
def test_what_is_packed_is_read_again_to_the_last_digit(put: list[Segment]) -> None:
    history = history_of(put)
    assert [plain(segment) for segment in history] == [plain(segment) for segment in put]
    assert len(history) == len(put)
    assert bool(history) == bool(put)
    if put:
        assert plain(history[-1]) == plain(put[-1])
        assert type(history[-1].estimated) is bool
        assert plain(history[0]) == plain(put[0])


@given(segments, st.integers(0, 8))
def test_the_last_ones_can_be_taken_off(put: list[Segment], count: int) -> None:
    count = min(count, len(put))
    left = history_of(put).without_last(count)
    assert [plain(segment) for segment in left] == [plain(segment) for segment in put[: len(put) - count]]


@given(st.lists(st.floats(1, 40), max_size=8), st.floats(-10, 400))
def test_what_ended_before_the_horizon_goes(lengths: list[float], horizon: float) -> None:
    put, start = [], 0.0
    for length in lengths:
        put.append(Segment(start, start + length, 1.0, Share.IDLE))
        start += length
    history = history_of(put)
    left = history.after(horizon)
    assert [segment.end for segment in left] == [segment.end for segment in put if segment.end > horizon]
    assert (left is history) == (len(left) == len(history))


def test_an_empty_history_is_false_and_holds_nothing() -> None:
    assert not History()
    assert list(History()) == []
