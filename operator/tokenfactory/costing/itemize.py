"""The window's account, pod by pod: what `tokenfactory explain` prints (docs/cost-model.md §13).

Made from the ledger on demand, by the same functions that make the figures; the pods add up to the pool.
"""

from __future__ import annotations

from decimal import Decimal

from tokenfactory.costing.cost import Prices, cost_of
from tokenfactory.costing.energy import held_by_pod, mean_watts
from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.ledger import Ledger
from tokenfactory.costing.prices import price_product
from tokenfactory.costing.reference import find_reference, interpolate_curve
from tokenfactory.costing.savings import accepted_tokens, loaded_tokens
from tokenfactory.costing.shares import Share
from tokenfactory.costing.spans import find_energy_span, find_span
from tokenfactory.costing.split import halve, input_share_of
from tokenfactory.costing.tokencount import MAKERS, RoleCount, count_once, count_part
from tokenfactory.costing.window import TrackView, WindowView, view
from tokenfactory.measure import value_of
from tokenfactory.model import Account, Economics, PodAccount, Pool, PowerTerms, Role, Signal, Terms

FIRST = (Role.AGGREGATED, Role.DECODE, Role.PREFILL)


def itemize(pool: Pool, terms: Terms, ledger: Ledger, economics: Economics) -> Account:
    """The account of the window that `economics` is about; `ledger` is what that cycle left."""
    span = find_span(ledger, terms)
    window = view(ledger.tracks.values(), span)
    prices = {
        facts: price_product(pool, terms, facts) for facts in {part.track.facts for part in window.parts}
    }
    wide = find_energy_span(ledger, span, terms=terms)
    broad = window if wide == span else view(ledger.tracks.values(), wide)
    power = terms.factory.power if terms.factory else PowerTerms()
    return Account(
        start=span.start,
        end=span.end,
        currency=economics.price.currency,
        pods=_pods(window, prices, economics),
        energy_seconds=wide.seconds,
        energy_tokens=count_once(_counted(broad)).total,
        energy_gpu_seconds=broad.gpu_seconds,
        energy_gpus=sum(held_by_pod(ledger.presence, wide).values()),
        provisioned_watts_per_gpu=mean_watts(window.gpu_seconds_by_facts(), power),
        reference_per_gpu=_reference(pool, terms, economics),
        pue=power.pue,
        grams_per_kilowatt_hour=power.grams_co2_per_kilowatt_hour,
        tokens_per_month=pool.tokens_per_month,
    )


def _counted(window: WindowView) -> list[RoleCount]:
    return [count_part(part) for part in window.parts if part.track.read_at is not None]


def _reference(pool: Pool, terms: Terms, economics: Economics) -> float | None:
    curve = find_reference(pool.reference_name, terms.factory) if pool.reference_name else None
    per_user = value_of(economics.throughput.per_user)
    return interpolate_curve(curve.points, per_user) if curve and per_user is not None else None


def _pods(window: WindowView, prices: Prices, economics: Economics) -> tuple[PodAccount, ...]:
    halves = value_of(halve(window, prices, economics.price))
    by_pod: dict[str, list[TrackView]] = {}
    for part in window.parts:
        by_pod.setdefault(part.track.id.pod_uid, []).append(part)
    fallback = halves.input_share if halves else None
    return tuple(_pod(uid, parts, prices, fallback=fallback) for uid, parts in sorted(by_pod.items()))


def _pod(uid: str, parts: list[TrackView], prices: Prices, *, fallback: Decimal | None) -> PodAccount:
    """One pod; `fallback` is the input share of GPUs that tell nothing, None while no split is known."""
    costs = [cost_of(part, prices) for part in parts]
    known = [money for money in costs if money is not None]
    cost = sum(known, Decimal(0)) if len(known) == len(costs) else None
    into: Decimal | None = None
    if fallback is not None and cost is not None:
        shares = [fallback if share is None else share for share in map(input_share_of, parts)]
        into = sum((money * share for money, share in zip(known, shares, strict=True)), Decimal(0))
    facts = parts[0].track.facts
    price = prices[facts]
    makers = [part for part in parts if part.track.role in MAKERS]
    cachers = [part for part in parts if part.track.role in (Role.AGGREGATED, Role.PREFILL)]
    return PodAccount(
        pod_uid=uid,
        role=_role(parts),
        product=_name(facts),
        gpus=sum(part.track.gpus for part in parts if part.track.present),
        present=any(part.track.present for part in parts),
        price=price.per_hour,
        price_source=price.text or price.message,
        serving=_share(parts, Share.SERVING),
        idle=_share(parts, Share.IDLE),
        loading=_share(parts, Share.LOADING),
        cost=cost,
        input_cost=into,
        output_cost=None if into is None or cost is None else cost - into,
        input_tokens=_total(makers, Signal.PROMPT_TOKENS),
        cached_tokens=_total(cachers, Signal.CACHED_PROMPT_TOKENS),
        output_tokens=_total(makers, Signal.OUTPUT_TOKENS),
        prefill_seconds=_total(parts, Signal.PREFILL_SECONDS),
        decode_seconds=_total(parts, Signal.DECODE_SECONDS),
        inter_token_seconds=_total(makers, Signal.INTER_TOKEN_SECONDS),
        made_tokens=sum(part.made for part in makers),
        accepted_tokens=accepted_tokens(part for part in makers if part.track.read_at is not None),
        loaded_tokens=loaded_tokens(parts) or 0.0,
        estimated=any(part.estimated for part in parts),
    )


def _role(parts: list[TrackView]) -> Role:
    roles = [part.track.role for part in parts]
    return next((role for role in FIRST if role in roles), roles[0])


def _name(facts: HardwareFacts) -> str:
    return facts.product or ""


def _share(parts: list[TrackView], share: Share) -> float:
    return sum(value for part in parts for kind, value in part.gpu_seconds if kind is share)


def _total(parts: list[TrackView], signal: Signal) -> float:
    return sum(part.total(signal) for part in parts)
