"""The composition: readings and the ledger in, the new ledger and the pool's economics out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tokenfactory.costing import boards, figures
from tokenfactory.costing.companions import follow, remember
from tokenfactory.costing.condense import append_sample, append_spans, condense
from tokenfactory.costing.coverage import gpus_by_pod
from tokenfactory.costing.gpus import attribute, observed_by_pod
from tokenfactory.costing.ledger import Ledger, Presence, Track
from tokenfactory.costing.sights import begin_of_new, list_sights
from tokenfactory.costing.slices import append_slice, merge_buckets
from tokenfactory.costing.spans import energy_seconds, find_energy_span, find_span
from tokenfactory.costing.standing import keep
from tokenfactory.costing.tracks import Sight, Step, advance_all, trim
from tokenfactory.costing.window import FRESH_INTERVALS, Span
from tokenfactory.model import Economics, Fleet, Inspected, Pool, Readings, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that one cycle knows of a pool before it is costed. `now` is the cycle's Unix time."""

    pool: Pool
    terms: Terms
    fleet: Fleet
    inspected: tuple[Inspected, ...]
    readings: Readings
    now: float


def assess(situation: Situation, ledger: Ledger | None) -> tuple[Ledger, Economics]:
    """The pool's economics over its window, and the ledger for the next cycle (docs/cost-model.md §1)."""
    fleet, terms, now = situation.fleet, situation.terms, situation.now
    attributed = attribute(fleet, situation.readings.exporters)
    observed = observed_by_pod(holding for _, holdings in attributed for holding in holdings)
    sights = list_sights(
        fleet,
        situation.inspected,
        situation.readings,
        terms=terms,
        ledger=ledger,
        observed=observed,
        products=_products_seen(attributed),
        now=now,
    )
    steps = advance_all(sights, ledger.tracks if ledger else {}, now=now)
    beside = follow(fleet, situation.readings, ledger=ledger, now=now)
    presence = _note_presence(sights, fleet, ledger=ledger, now=now)
    before = ledger or Ledger(first_at=now, at=now, window_seconds=terms.window_seconds)
    patience = FRESH_INTERVALS * max(terms.scrape_interval_seconds, _sampling(terms))
    driven = boards.drive(before.odometers, attributed, presence=presence, now=now, keep=patience)
    after = _write(before, situation, steps=steps, beside=beside, driven=driven, presence=presence)
    sampled = boards.sample(attributed, now=now)
    after = replace(after, samples=append_sample(after.samples, sampled, window_seconds=terms.window_seconds))
    span = find_span(after, terms)
    after = replace(after, full=after.full or _is_full(span, terms))
    cycle = figures.Cycle(
        pool=situation.pool,
        terms=terms,
        fleet=fleet,
        readings=situation.readings,
        now=now,
        ledger=after,
        span=span,
        energy_span=find_energy_span(after, span, terms=terms),
        sights=sights,
        observed=observed,
        steps=steps,
        closed_energy=driven.spans,
    )
    economics = figures.compose(cycle)
    standings = keep(after.standings, economics.standing, window=terms.window_seconds)
    return replace(after, standings=standings), economics


def _sampling(terms: Terms) -> float:
    return float(terms.telemetry.dcgm_sample_interval_seconds)


def _products_seen(attributed: boards.Boards) -> dict[str, str]:
    return {
        holding.pod_uid: gpu.product
        for _, holdings in attributed
        for holding in holdings
        for gpu in holding.readings
        if gpu.product
    }


def _note_presence(
    sights: Iterable[Sight], fleet: Fleet, *, ledger: Ledger | None, now: float
) -> dict[str, Presence]:
    """Since when each pod is known to hold its GPUs, and when it was last seen."""
    before = ledger.presence if ledger else {}
    created = {replica.pod.uid: replica.pod.created_at for replica in fleet.replicas}
    found: dict[str, Presence] = {}
    for uid, gpus in gpus_by_pod(sights).items():
        known, born = before.get(uid), begin_of_new(created[uid], ledger)
        begun = now if born is None else min(born, now)
        found[uid] = Presence(known.since if known else begun, now, gpus)
    return {**before, **found}


def _write(
    before: Ledger,
    situation: Situation,
    *,
    steps: tuple[Step, ...],
    beside: tuple[Step, ...],
    driven: boards.Drive,
    presence: Mapping[str, Presence],
) -> Ledger:
    """The ledger after this cycle, without what no window can reach any more."""
    terms, now = situation.terms, situation.now
    slack = 4 * terms.scrape_interval_seconds
    horizon = now - energy_seconds(terms) - slack
    tracks = {
        step.track.id: condense(trim(step.track, horizon), window_seconds=terms.window_seconds)
        for step in steps
    }
    for engine_id, track in before.tracks.items():
        if engine_id not in tracks:
            left = trim(replace(track, present=False, ready=False), horizon)
            if left.segments:
                tracks[engine_id] = left
    short = now - terms.window_seconds - slack
    latency = tuple(piece for piece in before.latency if piece.end > short)
    client_latency = tuple(piece for piece in before.client_latency if piece.end > short)
    return Ledger(
        first_at=before.first_at,
        at=now,
        window_seconds=terms.window_seconds,
        began=before.began if before.began is not None else _begin_window(tracks.values()),
        full=before.full and before.window_seconds == terms.window_seconds,
        tracks=tracks,
        presence={uid: item for uid, item in presence.items() if item.until > horizon},
        latency=append_slice(latency, merge_buckets(steps), window_seconds=terms.window_seconds),
        companions=remember(before.companions, beside, horizon=short, window_seconds=terms.window_seconds),
        client_latency=append_slice(
            client_latency, merge_buckets(beside), window_seconds=terms.window_seconds
        ),
        odometers=driven.odometers,
        energy=append_spans(
            (e for e in before.energy if e.end > horizon), driven.spans, window_seconds=energy_seconds(terms)
        ),
        samples=tuple(s for s in before.samples if s.at > short),
        standings=before.standings,
        faults=tuple(fault for fault in (*before.faults, *driven.faults) if fault.at > short),
    )


def _begin_window(tracks: Iterable[Track]) -> float | None:
    """The moment since which every engine of the first cycle is accounted for."""
    return max((t.closed_at for t in tracks if t.closed_at is not None), default=None)


def _is_full(span: Span, terms: Terms) -> bool:
    """Full once all but one scrape interval is covered; it stays so while the window keeps its length."""
    return span.seconds >= terms.window_seconds - terms.scrape_interval_seconds > 0
