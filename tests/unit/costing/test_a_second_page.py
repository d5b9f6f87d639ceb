"""Counters of a second page that goes away and comes back: nothing is invented, nothing is lost."""

from __future__ import annotations

from types import MappingProxyType

from tokenfactory.costing.counters import carry_over, count_since, take_snapshot
from tokenfactory.model import SLOT, EngineReading, SeriesKey, Signal, layout_of

OUTPUT, HITS = SeriesKey(Signal.OUTPUT_TOKENS, "m"), SeriesKey(Signal.OFFLOAD_HIT_TOKENS)


def page(**values: float) -> EngineReading:
    keys = {"output": OUTPUT, "hits": HITS}
    return EngineReading(
        at=0.0,
        layout=layout_of(keys[name] for name in values),
        counters=tuple(values.values()),
        levels=MappingProxyType({}),
        families=frozenset(keys[name].signal for name in values),
    )


def gains(*pages: EngineReading) -> list[tuple[float, float]]:
    """Output and hits that each page gained on the one before, what was carried over included."""
    found, before = [], take_snapshot(pages[0])
    for reading in pages[1:]:
        current = take_snapshot(reading)
        deltas = count_since(before, current).signals
        found.append((deltas[SLOT[Signal.OUTPUT_TOKENS]], deltas[SLOT[Signal.OFFLOAD_HIT_TOKENS]]))
        before = carry_over(before, current)
    return found


def test_a_page_that_was_away_counts_from_where_it_was() -> None:
    both, alone = page(output=100, hits=5000), page(output=110)
    assert gains(both, alone, page(output=130, hits=5020)) == [(10, 0), (20, 20)]


def test_a_page_that_was_away_twice_is_remembered_as_long() -> None:
    away = (page(output=110), page(output=120))
    assert gains(page(output=100, hits=5000), *away, page(output=130, hits=5020))[-1] == (10, 20)


def test_a_signal_that_appears_for_the_first_time_began_at_zero() -> None:
    assert gains(page(output=100), page(output=110, hits=7)) == [(10, 7)]
