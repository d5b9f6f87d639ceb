"""Money over the window: per million tokens by basis, per hour, by share (docs/cost-model.md §6)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.history import Segment
from tokenfactory.costing.prices import ProductPrice, mean_price
from tokenfactory.costing.shares import Share
from tokenfactory.costing.tokencount import Counted
from tokenfactory.costing.window import TrackView, WindowView
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing, worst
from tokenfactory.model import CostBasis, CostFigures, Pool, PriceProblem, PriceQuote
from tokenfactory.units import MILLION, SECONDS_PER_HOUR, decimal_of, dollars_per_million_tokens

SOURCE = "docs/cost-model.md §6"
Prices = Mapping[HardwareFacts, ProductPrice]


def find_cost(
    pool: Pool,
    *,
    quote: PriceQuote,
    prices: Prices,
    held: Mapping[HardwareFacts, float],
    counted: Measure[Counted],
    window: WindowView,
) -> CostFigures:
    """Allocation basis: what all GPUs held cost, idle and loading time included."""
    price: Measure[Decimal] = missing_price(quote, prices)
    found = window_price(prices, window)
    if found is not None:
        price = Known(value=found, basis=f"{quote.currency} per GPU-hour", source=SOURCE)
    per_million = {
        basis: _per_million(basis, price=price, currency=quote.currency, counted=counted, window=window)
        for basis in CostBasis
    }
    total = per_million[CostBasis.TOTAL]
    return CostFigures(
        per_million=per_million,
        per_hour=_per_hour(quote, prices=prices, held=held),
        idle_share=_idle_share(window),
        projected_per_month=_project(total, pool.tokens_per_month),
        grade=total.grade if isinstance(total, Known) else Grade.CONFIGURED,
    )


def window_price(prices: Prices, window: WindowView) -> Decimal | None:
    """The price of a GPU-hour averaged over the window's GPU time; None when any product has none."""
    weights = window.gpu_seconds_by_facts()
    if not weights or any(prices[facts].per_hour is None for facts in weights):
        return None
    return mean_price({facts: prices[facts] for facts in weights}, weights)


def cost_of(part: TrackView, prices: Prices) -> Decimal | None:
    """What one engine's GPU time in the window cost; None when its product has no price."""
    if part.all_gpu_seconds <= 0:
        return Decimal(0)
    price = prices[part.track.facts].per_hour
    return None if price is None else price * decimal_of(part.all_gpu_seconds) / SECONDS_PER_HOUR


def price_segment(segment: Segment, price: ProductPrice) -> Decimal | None:
    """What the segment's GPU time cost."""
    if price.per_hour is None:
        return None
    return price.per_hour * decimal_of((segment.end - segment.start) * segment.gpus) / SECONDS_PER_HOUR


def _per_million(
    basis: CostBasis,
    *,
    price: Measure[Decimal],
    currency: str,
    counted: Measure[Counted],
    window: WindowView,
) -> Measure[Decimal]:
    """Price over (tokens/s/GPU x 0.0036); below the token floor NoTraffic, never 0 or infinity."""
    if isinstance(counted, Missing):
        return counted
    count = counted.value
    tokens = count.tokens.of(basis)
    if not count.enough or tokens <= 0:
        return Missing(Absence.NO_TRAFFIC, "fewer than 1,000 tokens in the window")
    if basis is CostBasis.TOTAL_UNCACHED and not count.cache_known:
        return Missing(Absence.NOT_EXPORTED, "the engine does not count cached input")
    if window.gpu_seconds <= 0:
        return Missing(Absence.NO_PODS, "no GPU was held in the window")
    if isinstance(price, Missing):
        return price
    return Known(
        value=dollars_per_million_tokens(price.value, tokens / window.gpu_seconds),
        basis=f"{currency} per million tokens, {basis.value} basis",
        source=SOURCE,
        grade=worst(count.grade, Grade.CONFIGURED),
        window_seconds=window.span.seconds,
    )


def missing_price(quote: PriceQuote, prices: Prices) -> Missing:
    """The quote's own absence, else that of a product that only the window still holds."""
    if isinstance(quote.per_gpu_hour, Missing):
        return quote.per_gpu_hour
    for price in prices.values():
        if price.per_hour is None:
            mismatch = price.problem is PriceProblem.CURRENCY_MISMATCH
            return Missing(Absence.CURRENCY_MISMATCH if mismatch else Absence.PRICE_UNKNOWN, price.message)
    return Missing(Absence.PRICE_UNKNOWN)


def _per_hour(quote: PriceQuote, *, prices: Prices, held: Mapping[HardwareFacts, float]) -> Measure[Decimal]:
    """The price of every GPU held now, summed."""
    if not any(gpus > 0 for gpus in held.values()):
        return Missing(Absence.NO_PODS, "no GPU is known to be held")
    if isinstance(quote.per_gpu_hour, Missing):
        return quote.per_gpu_hour
    total = Decimal(0)
    for facts, gpus in held.items():
        price = prices[facts].per_hour
        if price is not None:
            total += price * decimal_of(gpus)
    return Known(
        value=total, basis=f"{quote.currency} per hour, all GPUs held", source=SOURCE, grade=Grade.CONFIGURED
    )


def _idle_share(window: WindowView) -> Measure[float]:
    """Idle and loading GPU time over all GPU time (docs/cost-model.md §15)."""
    total = window.gpu_seconds
    if total <= 0:
        return Missing(Absence.NOT_SCRAPED if window.parts else Absence.NO_PODS)
    spare = window.by_share(Share.IDLE) + window.by_share(Share.LOADING)
    return Known(
        value=min(1.0, spare / total),
        basis="GPU-seconds idle or loading over GPU-seconds held",
        source="docs/cost-model.md §15",
        window_seconds=window.span.seconds,
    )


def _project(per_million: Measure[Decimal], tokens_per_month: int | None) -> Measure[Decimal]:
    if tokens_per_month is None:
        return Missing(Absence.NOT_CONFIGURED)
    if isinstance(per_million, Missing):
        return per_million
    return Known(
        value=per_million.value * tokens_per_month / MILLION,
        basis="per month at spec.projection.tokensPerMonth",
        source="docs/cost-model.md §15",
        grade=per_million.grade,
        window_seconds=per_million.window_seconds,
    )
