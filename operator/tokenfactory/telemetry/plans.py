"""From the names and labels of an engine's page to a plan: which sample goes into which counter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tokenfactory.model import Histogram, Level, SeriesKey, Signal
from tokenfactory.telemetry.exposition import PageRefused, Refusal
from tokenfactory.telemetry.families import Choices, Ranks, Scales, System, Term
from tokenfactory.telemetry.layouts import Layouts, Plan
from tokenfactory.telemetry.shapes import Labels, Row

Rows = tuple[Row, ...]
Wish = tuple[Signal | Histogram, Term]
RANK_LIMIT = 1024
MODEL = "model_name"
NO_MODEL = "undefined"
PROCESS = "pid"


@dataclass(frozen=True, slots=True)
class _Place:
    """A sample's place on the page, its series of ours and the factor of its value."""

    sample: int
    key: SeriesKey
    factor: float


def draw_plan(
    rows: Rows, declared: frozenset[bytes], layouts: Layouts, *, system: System, scales: Scales
) -> Plan:
    """The plan of a page with these samples and declared (`# TYPE`) families.

    A rank is `rank/model_name`, so that a model which joins the page later renames no series. Signals that
    the system creates with their first sample begin at zero. Raises PageRefused for a bucket
    without a bound and for more than 1,024 ranks.
    """
    factors = dict(scales)
    carried = {name for name, _ in rows} | {name.decode() for name in declared}
    wishes = dict(_choose(system, rows, carried, factors))
    ranks = {labels: _name_rank(_label(labels, system.ranks.own), _model_of(labels)) for _, labels in rows}
    chosen = _Shards(rows, system.ranks)
    places = tuple(_place(rows, wishes, ranks, chosen, factors))
    carries = frozenset(signal for several in wishes.values() for signal, _ in several)
    families = carries | system.zeros if system.lazy else carries
    keys = {place.key for place in places}
    counted = {key.rank for key in keys} or ({""} if system.lazy else set())
    if len(counted) > RANK_LIMIT:
        raise PageRefused(Refusal.TOO_MANY_SAMPLES, f"more than {RANK_LIMIT} engine ranks")
    signals = [family for family in families if isinstance(family, Signal)]
    keys |= {SeriesKey(signal, rank) for signal in signals for rank in counted}
    layout = layouts.layout(sorted(keys, key=_order))
    slots = {key: slot for slot, key in enumerate(layout)}
    return Plan(
        layout=layout,
        moves=layouts.share(tuple((place.sample, slots[place.key], place.factor) for place in places)),
        levels=layouts.share(tuple(_place_levels(rows, system, chosen))),
        families=layouts.share(families),
        model=_find_model(rows, system),
        counting=bool(carries) and system.required <= carries,
    )


def _choose(
    system: System, rows: Rows, carried: set[str], factors: Mapping[str, float | None]
) -> Iterator[tuple[str, list[Wish]]]:
    """Sample names that count, each with what it counts for; one spelling of a family only."""
    chosen: dict[str, list[Wish]] = {}
    for signal, choices in system.families.items():
        readable = tuple(terms for terms in choices if _is_readable(terms, carried, factors))
        for term in _prefer(readable, rows):
            name = next((name for name in term.samples if name in carried), term.samples[0])
            chosen.setdefault(name, []).append((signal, term))
    yield from chosen.items()


def _is_readable(terms: tuple[Term, ...], carried: set[str], factors: Mapping[str, float | None]) -> bool:
    first = terms[0]
    if first.family in factors and factors[first.family] is None:
        return False
    return bool(carried.intersection(first.samples + first.types))


def _prefer(choices: Choices, rows: Rows) -> tuple[Term, ...]:
    """The first alternative; another one of the same family only if no sample of the first one counts."""
    if not choices:
        return ()
    first = choices[0]
    same = [terms for terms in choices if terms[0].family == first[0].family]
    if len(same) == 1:
        return first
    return next((terms for terms in same if _has_sample(terms, rows)), first)


def _has_sample(terms: tuple[Term, ...], rows: Rows) -> bool:
    return any(name in term.samples and term.admits(labels) for term in terms for name, labels in rows)


class _Shards:
    """Which samples are read of those that several shards of one rank repeat: the lowest shard's."""

    def __init__(self, rows: Rows, ranks: Ranks) -> None:
        self._ranks = ranks
        self._lowest: dict[tuple[str, Labels], tuple[int, ...]] = {}
        for name, labels in rows if ranks.shards else ():
            shard = self._shard(labels)
            if shard is not None:
                key = name, self._rest(labels)
                self._lowest[key] = min(shard, self._lowest.get(key, shard))

    def admit(self, name: str, labels: Labels) -> bool:
        shard = self._shard(labels) if self._lowest else None
        return shard is None or self._lowest[name, self._rest(labels)] == shard

    def _shard(self, labels: Labels) -> tuple[int, ...] | None:
        said = dict(labels)
        if said.keys().isdisjoint(self._ranks.shards):
            return None
        return tuple(_whole(said.get(label, "")) for label in self._ranks.shards)

    def _rest(self, labels: Labels) -> Labels:
        apart = (*self._ranks.shards, PROCESS)
        return tuple(sorted(pair for pair in labels if pair[0] not in apart))


def _place(
    rows: Rows,
    wishes: Mapping[str, list[Wish]],
    ranks: Mapping[Labels, str],
    chosen: _Shards,
    factors: Mapping[str, float | None],
) -> Iterator[_Place]:
    for sample, (name, labels) in enumerate(rows):
        for signal, term in wishes.get(name, ()):
            if not term.admits(labels) or not (term.every_shard or chosen.admit(name, labels)):
                continue
            bound = _bound(labels) if term.part == "_bucket" else None
            yield _Place(sample, SeriesKey(signal, ranks[labels], bound), factors.get(term.family) or 1.0)


def _place_levels(rows: Rows, system: System, chosen: _Shards) -> Iterator[tuple[int, Level]]:
    carried = {name for name, _ in rows}
    names = {
        next((name for name in choices if name in carried), ""): level
        for level, choices in system.levels.items()
    }
    for sample, (name, labels) in enumerate(rows):
        if name in names and chosen.admit(name, labels):
            yield sample, names[name]


def _bound(labels: Labels) -> float:
    try:
        bound = float(_label(labels, "le"))
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise PageRefused(Refusal.MALFORMED, "a bucket has no bound")
    return bound


def _find_model(rows: Rows, system: System) -> str:
    """The model that output is counted for; else the first one that any sample names."""
    spellings = {name for terms in system.families.get(Signal.OUTPUT_TOKENS, ()) for name in terms[0].samples}
    makers = (_model_of(labels) for name, labels in rows if name in spellings)
    return _first(makers) or _first(_model_of(labels) for _, labels in rows)


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text), "")


def _name_rank(rank: str, model: str) -> str:
    return f"{rank}/{model}" if model else rank


def _model_of(labels: Labels) -> str:
    model = _label(labels, MODEL)
    return "" if model == NO_MODEL else model


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _label(labels: Labels, wanted: str) -> str:
    return next((value for label, value in labels if label == wanted), "")


def _order(key: SeriesKey) -> tuple[str, str, float]:
    return key.signal.value, key.rank, -1.0 if key.bound is None else key.bound
