"""Properties of the judge: order and scale do not matter, memory stays small, nothing raises."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.judgement.builders import STEP, counters, declaration, economics, evidence, inspected, load
from tokenfactory.judgement.baseline import MAX_BUCKETS, Baseline, is_usable, learn, level_at
from tokenfactory.judgement.judge import JudgeMemory, judge
from tokenfactory.judgement.memory_codec import decode, encode
from tokenfactory.judgement.optimizations import combine
from tokenfactory.model import (
    DeclarationState,
    OptimizationName,
    OptimizationState,
    Policy,
    Requirement,
    Role,
)

amounts = st.one_of(st.none(), st.floats(0, 1e9, allow_nan=False))
rates = st.floats(0, 1e6, allow_nan=False)


def size_of(value: Any) -> int:
    """Bytes of a frozen value with all that it holds; interned singletons (enums, None) are free."""
    if value is None or isinstance(value, bool) or (is_dataclass(value) and isinstance(value, type)):
        return 0
    if isinstance(value, str) and type(value) is not str:
        return 0
    total = sys.getsizeof(value)
    if is_dataclass(value):
        return total + sum(size_of(getattr(value, item.name)) for item in fields(value))
    if isinstance(value, tuple):
        return total + sum(size_of(item) for item in value)
    return total


@st.composite
def pages(draw: st.DrawFn) -> list[tuple[Any, Any]]:
    found = []
    for index in range(draw(st.integers(0, 5))):
        role = draw(st.sampled_from([Role.AGGREGATED, Role.PREFILL, Role.DECODE, Role.ROUTER]))
        told = [
            declaration(
                name, draw(st.sampled_from(DeclarationState)), method=draw(st.sampled_from(["", "mtp"]))
            )
            for name in draw(st.sets(st.sampled_from(OptimizationName)))
        ]
        page = counters(
            f"serving-{index}",
            role=role,
            readable=draw(st.booleans()),
            output_tokens=draw(rates),
            drafts=draw(amounts),
            accepted_tokens=draw(amounts),
            stored_bytes=draw(amounts),
            loaded_bytes=draw(amounts),
            offload_hit_tokens=draw(amounts),
            external_hit_tokens=draw(amounts),
        )
        found.append((inspected(f"serving-{index}", *told, role=role), page))
    return found


REQUIRED = tuple(Requirement(name=name, policy=Policy.REQUIRED) for name in OptimizationName)


@settings(max_examples=150, deadline=None)
@given(pages(), st.randoms(use_true_random=False))
def test_any_evidence_is_judged_and_its_order_does_not_matter(found: list[Any], chance: Any) -> None:
    mixed = list(found)
    chance.shuffle(mixed)
    verdicts = [
        judge(
            evidence(
                requirements=REQUIRED,
                engines=tuple(engine for engine, _ in order),
                seen=tuple(page for _, page in order),
            ),
            None,
        )[1]
        for order in (found, mixed)
    ]
    assert verdicts[0] == verdicts[1]
    types = [condition.type for condition in verdicts[0].conditions]
    assert len(types) == len(set(types)) == 6
    assert all(row.replicas_active <= row.replicas_applicable for row in verdicts[0].rows)


@given(st.lists(st.sampled_from(OptimizationState), min_size=1))
def test_active_needs_an_active_replica_and_none_that_is_known_to_lack_it(
    states: list[OptimizationState],
) -> None:
    if combine(states) is OptimizationState.ACTIVE:
        assert OptimizationState.ACTIVE in states
        assert set(states) <= {OptimizationState.ACTIVE, OptimizationState.UNKNOWN}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(rates, st.floats(0, 1e5), st.integers(0, 50), st.sampled_from(["a", "b", "c", "d"])),
        min_size=1,
        max_size=40,
    )
)
def test_memory_stays_small_whatever_happens_and_comes_back(
    cycles: list[tuple[float, float, int, str]],
) -> None:
    memory: JudgeMemory | None = None
    now = 0.0
    for rate, concurrency, waiting, epoch in cycles * 12:
        now += 31.0
        step = replace(STEP, epoch=epoch, tokens=rate * 15.0, sequence_seconds=concurrency * 15.0)
        part = load(waiting=float(waiting), tokens=rate * 2400, steps=(step,) * 8)
        memory, _ = judge(evidence(money=economics(loads=(part,)), now=now), memory)
    assert memory is not None
    assert size_of(memory) < 40 * 1024
    text = encode(memory)
    again = decode(text)
    assert again is not None
    assert encode(again) == text
    assert len(text) < 16 * 1024


def test_memory_at_its_fullest_stays_under_40_kib() -> None:
    memory: JudgeMemory | None = None
    for cycle in range(8000):
        step = replace(STEP, epoch="abcd"[cycle // 2000], sequence_seconds=15.0 * 1.5 ** (cycle % 20))
        part = load(steps=(step,) * 8)
        memory, _ = judge(evidence(money=economics(loads=(part,)), now=cycle * 60.0), memory)
    assert memory is not None
    assert size_of(memory) < 40 * 1024
    assert len(encode(memory)) < 16 * 1024
    assert len(memory.baselines) == 4
    assert all(len(item.buckets) == MAX_BUCKETS for item in memory.baselines)


@given(
    st.floats(1, 1000),
    st.floats(0.5, 500),
    st.floats(0.1, 8),
    st.lists(st.floats(0.9, 1.1), min_size=24, max_size=60),
)
def test_the_level_lies_among_the_samples_and_scales_with_them(
    rate: float, concurrency: float, factor: float, noise: list[float]
) -> None:
    once, scaled = Baseline(epoch="e"), Baseline(epoch="e")
    for index, share in enumerate(noise):
        at = index * 60.0
        once = learn(once, at=at, concurrency=concurrency, level=rate * share, window=300.0)
        scaled = learn(scaled, at=at, concurrency=concurrency, level=rate * share * factor, window=300.0)
    level, other = level_at(once, concurrency), level_at(scaled, concurrency)
    assert is_usable(once, window=300.0)
    assert min(noise) * 0.999 <= level / rate <= max(noise) * 1.001
    assert other == pytest.approx(level * factor, rel=1e-4)


@given(
    st.lists(st.tuples(st.floats(0.5, 1000), st.floats(1, 1000)), min_size=20, max_size=80), st.floats(0, 1e6)
)
def test_a_level_between_concurrencies_is_never_above_the_best_one_seen(
    samples: list[tuple[float, float]], concurrency: float
) -> None:
    baseline = Baseline(epoch="e")
    for index, (at_concurrency, level) in enumerate(samples):
        baseline = learn(baseline, at=index * 60.0, concurrency=at_concurrency, level=level, window=300.0)
    if baseline.knots:
        found = level_at(baseline, concurrency)
        assert 0 <= found <= max(level for _, level in samples) * 1.0001
