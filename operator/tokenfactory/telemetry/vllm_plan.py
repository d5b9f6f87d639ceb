"""From the names and labels of a vLLM page to a plan: which sample goes into which counter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tokenfactory.model import Histogram, Level, SeriesKey, Signal
from tokenfactory.telemetry.exposition import PageRefused, Refusal
from tokenfactory.telemetry.layouts import Layouts, Plan
from tokenfactory.telemetry.shapes import Labels, Row
from tokenfactory.telemetry.vllm_names import FAMILIES, GPU_HITS_FAMILY, LEVELS, OUTPUT_FAMILY, Term

Rows = tuple[Row, ...]
Wish = tuple[Signal | Histogram, Term]
RANK_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class _Place:
    """A sample's place on the page, its series of ours and the factor of its value."""

    sample: int
    key: SeriesKey
    factor: float


def draw_plan(
    rows: Rows, declared: frozenset[bytes], layouts: Layouts, *, gpu_hit_tokens: float | None
) -> Plan:
    """The plan of a page with these samples and declared (`# TYPE`) families.

    A rank is `engine/model_name`, so that a model which joins the page later renames no series. Raises
    PageRefused for a bucket without a bound and for more than 1,024 ranks.
    """
    carried = {name for name, _ in rows} | {name.decode() for name in declared}
    wishes = dict(_choose(carried, gpu_hits_known=gpu_hit_tokens is not None))
    ranks = _name_ranks(rows)
    places = tuple(_place(rows, wishes, ranks, gpu_hit_tokens or 1.0))
    families = frozenset(signal for several in wishes.values() for signal, _ in several)
    keys = {place.key for place in places}
    counted = {key.rank for key in keys}
    if len(counted) > RANK_LIMIT:
        raise PageRefused(Refusal.TOO_MANY_SAMPLES, f"more than {RANK_LIMIT} engine ranks")
    signals = [family for family in families if isinstance(family, Signal)]
    keys |= {SeriesKey(signal, rank) for signal in signals for rank in counted}
    layout = layouts.share(tuple(sorted(keys, key=_order)))
    slots = {key: slot for slot, key in enumerate(layout)}
    return Plan(
        layout=layout,
        moves=layouts.share_moves(tuple((place.sample, slots[place.key], place.factor) for place in places)),
        levels=tuple(_place_levels(rows)),
        families=families,
        model=_find_model(rows),
    )


def _choose(carried: set[str], *, gpu_hits_known: bool) -> Iterator[tuple[str, list[Wish]]]:
    """Sample names that count, each with what it counts for; one spelling of a family only."""
    chosen: dict[str, list[Wish]] = {}
    for signal, choices in FAMILIES.items():
        for terms in choices:
            if terms[0].family == GPU_HITS_FAMILY and not gpu_hits_known:
                continue
            if not carried.intersection(terms[0].samples + terms[0].types):
                continue
            for term in terms:
                name = next((name for name in term.samples if name in carried), term.samples[0])
                chosen.setdefault(name, []).append((signal, term))
            break
    yield from chosen.items()


def _name_ranks(rows: Rows) -> dict[Labels, str]:
    return {labels: _name_rank(_label(labels, "engine"), _label(labels, "model_name")) for _, labels in rows}


def _name_rank(engine: str, model: str) -> str:
    return f"{engine}/{model}" if model else engine


def _place(
    rows: Rows, wishes: dict[str, list[Wish]], ranks: dict[Labels, str], gpu_hit_tokens: float
) -> Iterator[_Place]:
    for sample, (name, labels) in enumerate(rows):
        for signal, term in wishes.get(name, ()):
            if term.label and _label(labels, term.label) not in term.values:
                continue
            bound = _bound(labels) if term.part == "_bucket" else None
            factor = gpu_hit_tokens if term.family == GPU_HITS_FAMILY else 1.0
            yield _Place(sample, SeriesKey(signal, ranks[labels], bound), factor)


def _place_levels(rows: Rows) -> Iterator[tuple[int, Level]]:
    carried = {name for name, _ in rows}
    names = {
        next((name for name in choices if name in carried), ""): level for level, choices in LEVELS.items()
    }
    for sample, (name, _) in enumerate(rows):
        if name in names:
            yield sample, names[name]


def _bound(labels: Labels) -> float:
    try:
        bound = float(_label(labels, "le"))
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise PageRefused(Refusal.MALFORMED, "a bucket has no bound")
    return bound


def _find_model(rows: Rows) -> str:
    for name, labels in rows:
        if name.startswith(OUTPUT_FAMILY):
            return _label(labels, "model_name")
    return ""


def _label(labels: Labels, wanted: str) -> str:
    return next((value for label, value in labels if label == wanted), "")


def _order(key: SeriesKey) -> tuple[str, str, float]:
    return key.signal.value, key.rank, -1.0 if key.bound is None else key.bound
