"""Which span the figures are over (docs/cost-model.md §1); the energy window may be a longer one (§8)."""

from __future__ import annotations

from tokenfactory.costing.ledger import Ledger
from tokenfactory.costing.window import FRESH_INTERVALS, Span, find_end
from tokenfactory.model import Terms

ENERGY_SAMPLES = 10


def find_span(ledger: Ledger, terms: Terms) -> Span:
    """The window as of the ledger's last cycle."""
    end = find_end(ledger.tracks.values(), now=ledger.at, interval=terms.scrape_interval_seconds)
    began = ledger.began if ledger.began is not None else end
    return Span(min(end, max(end - terms.window_seconds, began)), end)


def find_energy_span(ledger: Ledger, span: Span, *, terms: Terms) -> Span:
    """The energy window: it ends with the pool's, or now when no engine is read: boards go on.

    It never begins before the first cycle, as the pool's may where pages are older than the cycle: who held
    the boards until then is not known.
    """
    stale = ledger.at - span.end > FRESH_INTERVALS * terms.scrape_interval_seconds
    end = ledger.at if stale else span.end
    begun = ledger.first_at if ledger.began is None else max(ledger.first_at, ledger.began)
    return Span(min(end, max(end - energy_seconds(terms), begun)), end)


def energy_seconds(terms: Terms) -> float:
    """The energy window's length: the pool's, but at least ten of the exporter's sampling intervals."""
    return max(
        float(terms.window_seconds), ENERGY_SAMPLES * float(terms.telemetry.dcgm_sample_interval_seconds)
    )
