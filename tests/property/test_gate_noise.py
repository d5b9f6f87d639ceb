"""The gate under any sequence of documents: noise is never written, and numbers at most once a minute."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.publishing.bucket import Bucket
from tokenfactory.publishing.gate import Draft, GateReason, Published, decide, note
from tokenfactory.units import significant

CONDITIONS = [{"type": "Ready", "status": "True", "reason": "StatusPublished"}]
SECONDS = st.floats(min_value=1, max_value=200)
VALUES = st.floats(min_value=0.001, max_value=1e9)


def document(values: list[float], **more: Any) -> dict[str, Any]:
    shown = {f"value{index}": significant(value) for index, value in enumerate(values)}
    return {
        "observedGeneration": 1,
        "windowSeconds": 300,
        "conditions": CONDITIONS,
        "throughput": shown,
        **more,
    }


def drafted(found: dict[str, Any]) -> Draft:
    return Draft(document=found, generation=1, window_seconds=300)


def start(found: dict[str, Any]) -> Published:
    decision = decide(None, drafted(found), now=0)
    return note(None, drafted(found), decision, now=0)


@given(
    base=st.lists(VALUES, min_size=1, max_size=5),
    noise=st.lists(st.floats(min_value=-0.0185, max_value=0.0185), min_size=1, max_size=30),
)
def test_noise_below_two_per_cent_is_never_written(base: list[float], noise: list[float]) -> None:
    published = start(document(base))
    for index, share in enumerate(noise, start=1):
        found = document([value * (1 + share) for value in base], observationTime=f"at {index}")
        assert not decide(published, drafted(found), now=index * 1000.0).write


@given(steps=st.lists(st.tuples(SECONDS, st.lists(VALUES, min_size=0, max_size=3)), max_size=40))
def test_numbers_are_written_at_most_once_a_minute(steps: list[tuple[float, list[float]]]) -> None:
    published, now, writes = start(document([1.0])), 0.0, [0.0]
    for after, values in steps:
        now += after
        draft = drafted(document(values))
        decision = decide(published, draft, now=now)
        if decision.write:
            writes.append(now)
            published = note(published, draft, decision, now=now)
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(writes))


@given(values=st.lists(VALUES, min_size=1, max_size=5), factor=st.floats(min_value=1.021, max_value=100))
def test_a_real_move_is_written_once_the_minute_has_passed(values: list[float], factor: float) -> None:
    published = start(document(values))
    found = drafted(document([value * factor for value in values]))
    assert decide(published, found, now=59.9).reason == GateReason.TOO_SOON
    assert decide(published, found, now=60.0).reason == GateReason.VALUE_MOVED


@given(values=st.lists(VALUES, max_size=5), changed=st.lists(VALUES, max_size=5), now=SECONDS)
def test_a_written_document_is_never_written_again(
    values: list[float], changed: list[float], now: float
) -> None:
    published = start(document(values))
    draft = drafted(document(changed))
    decision = decide(published, draft, now=now)
    if decision.write:
        published = note(published, draft, decision, now=now)
        assert decide(published, draft, now=now + 10_000).reason == GateReason.NOTHING_MOVED


@given(
    burst=st.integers(min_value=1, max_value=30),
    pace=st.floats(min_value=0.001, max_value=10),
    waits=st.lists(st.floats(min_value=0, max_value=100), max_size=60),
)
def test_a_bucket_never_gives_more_than_its_burst_and_its_pace(
    burst: int, pace: float, waits: list[float]
) -> None:
    bucket, now, taken = Bucket(burst=burst, per_second=pace), 0.0, 0
    for wait in waits:
        now += wait
        bucket, admitted = bucket.take(now)
        taken += admitted
    assert taken <= burst + now * pace + 1e-6
