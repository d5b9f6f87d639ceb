"""Each pod's part of the pool's numbers; they add up to the pool's (docs/cost-model.md §13)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from tokenfactory.costing.cost import Prices
from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.ledger import Track
from tokenfactory.costing.ownership import provisioned_kilowatts
from tokenfactory.costing.throughput import Pace
from tokenfactory.costing.tokencount import count_once, count_part
from tokenfactory.costing.window import TrackView
from tokenfactory.model import PodFigures, PowerTerms
from tokenfactory.units import WATTS_PER_KILOWATT, decimal_of


def split_pods(
    pace: Pace, *, prices: Prices, power: PowerTerms, watts: Mapping[str, float]
) -> tuple[PodFigures, ...]:
    """One row per pod of the window, sorted by UID. `watts` are measured ones, where they are known.

    A pod whose engines were never read has tokens None, not 0; a vanished one has no GPUs and no cost.
    """
    by_pod: dict[str, list[TrackView]] = {}
    for part in pace.window.parts:
        by_pod.setdefault(part.track.id.pod_uid, []).append(part)
    return tuple(
        _figures_of(uid, parts, pace=pace, prices=prices, power=power, watts=watts.get(uid))
        for uid, parts in sorted(by_pod.items())
    )


def _figures_of(
    uid: str,
    parts: list[TrackView],
    *,
    pace: Pace,
    prices: Prices,
    power: PowerTerms,
    watts: float | None,
) -> PodFigures:
    held: dict[HardwareFacts, float] = {}
    for part in parts:
        if part.track.present:
            held[part.track.facts] = held.get(part.track.facts, 0.0) + part.track.gpus
    tokens = sum(count_once([count_part(part)]).total for part in parts)
    return PodFigures(
        pod_uid=uid,
        gpus=sum(held.values()),
        tokens_per_second=pace.per_second(tokens) if any(_is_known(part.track) for part in parts) else None,
        cost_per_hour=_cost(held, prices),
        measured_watts=watts,
        provisioned_watts=_provision(held, power),
    )


def _is_known(track: Track) -> bool:
    """Read at some time, or without a page of its own, or not Ready: what it made is then known."""
    return track.read_at is not None or track.id.container == "" or not track.ready


def _cost(held: Mapping[HardwareFacts, float], prices: Prices) -> Decimal | None:
    total = Decimal(0)
    for facts, gpus in held.items():
        price = prices[facts].per_hour
        if price is None:
            return None
        total += price * decimal_of(gpus)
    return total


def _provision(held: Mapping[HardwareFacts, float], power: PowerTerms) -> float | None:
    total = 0.0
    for facts, gpus in held.items():
        kilowatts = provisioned_kilowatts(power, facts.product)
        if kilowatts is None:
            return None
        total += kilowatts * WATTS_PER_KILOWATT * gpus
    return total
