"""The price of a GPU-hour from the sources of the factory's order (docs/cost-model.md §5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from tokenfactory.costing import opencost
from tokenfactory.costing.hardware import UNKNOWN_HARDWARE, HardwareFacts, facts_of, is_match
from tokenfactory.costing.ownership import cost_of_owning
from tokenfactory.costing.skus import REFERENCE_AS_OF, REFERENCE_SOURCE, find_sku
from tokenfactory.measure import Absence, Grade, Known, Missing
from tokenfactory.model import (
    ExchangeRate,
    Factory,
    Fleet,
    Pool,
    PriceProblem,
    PriceQuote,
    PriceSource,
    Terms,
)
from tokenfactory.units import decimal_of

USD = "USD"
USD_MINIMUM = Decimal("0.05")
USD_MAXIMUM = Decimal(50)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductPrice:
    """One product's price of a GPU-hour, or the problem that leaves it without one."""

    per_hour: Decimal | None = None
    source: PriceSource | None = None
    text: str = ""
    as_of: str = ""
    placeholder: bool = False
    problem: PriceProblem | None = None
    message: str = ""


def price_product(pool: Pool, terms: Terms, facts: HardwareFacts) -> ProductPrice:
    """The first source of the factory's order that has a price for this hardware.

    A pool's own price that is forbidden or out of bounds is passed over; a factory's never is.
    """
    factory = terms.factory
    if factory is None:
        return ProductPrice(
            problem=PriceProblem.FACTORY_NOT_FOUND,
            message=(
                f"the TokenFactory {pool.factory_name or 'default'!r} does not exist or its spec is refused"
            ),
        )
    for source in factory.price_order:
        answer = _ask(source, pool, factory=factory, facts=facts)
        if answer is not None:
            return answer
    return ProductPrice(problem=PriceProblem.NO_PRICE, message=_nothing_for(facts))


def refuse_pool_price(pool: Pool, factory: Factory) -> tuple[PriceProblem, str] | None:
    """Why the pool's own price is not used, and the fix; None when there is none or it is fine."""
    price = pool.price_per_gpu_hour
    if price is None:
        return None
    if not factory.allow_pool_prices or PriceSource.POOL not in factory.price_order:
        return (
            PriceProblem.POOL_PRICE_FORBIDDEN,
            "the factory does not allow prices of pools: remove spec.price",
        )
    if _is_absurd(price, factory):
        return (
            PriceProblem.POOL_PRICE_OUT_OF_BOUNDS,
            f"spec.price.perGPUHour is outside the factory's bounds ({_bounds_text(factory)}): "
            "correct or remove spec.price",
        )
    return None


def quote(pool: Pool, terms: Terms, products: Mapping[HardwareFacts, float]) -> PriceQuote:
    """The pool's price of a GPU-hour: each product's own, averaged over the GPUs held (weights).

    One product without a price leaves the whole pool without one.
    """
    weights = dict(products) or {UNKNOWN_HARDWARE: 1.0}
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1.0)
    prices = {facts: price_product(pool, terms, facts) for facts, gpus in weights.items() if gpus > 0}
    return quote_from(pool, terms, prices=prices, weights=weights)


def quote_fleet(pool: Pool, terms: Terms, fleet: Fleet) -> PriceQuote:
    """`quote` over what the fleet's limits ask for; for pools that are not costed (suspended, stalled)."""
    products: dict[HardwareFacts, float] = {}
    for replica in fleet.replicas:
        if replica.gpus > 0:
            facts = facts_of(replica, terms)
            products[facts] = products.get(facts, 0.0) + replica.gpus
    return quote(pool, terms, products)


def quote_from(
    pool: Pool,
    terms: Terms,
    *,
    prices: Mapping[HardwareFacts, ProductPrice],
    weights: Mapping[HardwareFacts, float],
) -> PriceQuote:
    """The quote of products that are priced already."""
    factory = terms.factory
    currency = factory.currency if factory else USD
    refused = refuse_pool_price(pool, factory) if factory else None
    passed_over = refused[0] if refused else None
    note = refused[1] if refused else ""
    for price in prices.values():
        if price.per_hour is None:
            absence = Absence.PRICE_UNKNOWN
            if price.problem is PriceProblem.CURRENCY_MISMATCH:
                absence = Absence.CURRENCY_MISMATCH
            return PriceQuote(
                per_gpu_hour=Missing(absence, price.message),
                currency=currency,
                problem=price.problem,
                passed_over=passed_over,
                message=price.message,
            )
    return _average(prices, weights=weights, currency=currency, passed_over=passed_over, note=note)


def _average(
    prices: Mapping[HardwareFacts, ProductPrice],
    *,
    weights: Mapping[HardwareFacts, float],
    currency: str,
    passed_over: PriceProblem | None,
    note: str,
) -> PriceQuote:
    answers = list(prices.values())
    order = list(PriceSource)
    sources = [answer.source for answer in answers if answer.source is not None]
    weakest = max(sources, key=order.index)
    text = "; ".join(sorted({answer.text for answer in answers if answer.text}))
    return PriceQuote(
        per_gpu_hour=Known(
            value=mean_price(prices, weights),
            basis=f"{currency} per GPU-hour",
            source=text or weakest.value,
            grade=Grade.CONFIGURED,
        ),
        currency=currency,
        source=weakest,
        source_text=text,
        as_of=min((answer.as_of for answer in answers if answer.as_of), default=""),
        passed_over=passed_over,
        message=note,
        placeholder=any(answer.placeholder for answer in answers),
    )


def mean_price(
    prices: Mapping[HardwareFacts, ProductPrice], weights: Mapping[HardwareFacts, float]
) -> Decimal:
    """The prices averaged over the weights; exact when all are equal. All prices must be there."""
    values = [answer.per_hour for answer in prices.values() if answer.per_hour is not None]
    if min(values) == max(values):
        return values[0]
    shares = {facts: decimal_of(weights[facts]) for facts in prices}
    total = sum(
        (answer.per_hour * shares[facts] for facts, answer in prices.items() if answer.per_hour is not None),
        Decimal(0),
    )
    return total / sum(shares.values(), Decimal(0))


def _ask(source: PriceSource, pool: Pool, *, factory: Factory, facts: HardwareFacts) -> ProductPrice | None:
    match source:
        case PriceSource.POOL:
            if pool.price_per_gpu_hour is None or refuse_pool_price(pool, factory):
                return None
            return ProductPrice(
                per_hour=pool.price_per_gpu_hour, source=source, text="spec.price of the pool"
            )
        case PriceSource.FACTORY:
            return _ask_factory(factory, facts)
        case PriceSource.OPENCOST:
            return _ask_opencost(factory, facts)
        case PriceSource.REFERENCE:
            return _ask_reference(factory, facts)


def _ask_factory(factory: Factory, facts: HardwareFacts) -> ProductPrice | None:
    """`prices` before `ownership`, first match wins."""
    for entry in factory.prices:
        if is_match(entry.match, facts):
            text = entry.source or f"prices of the TokenFactory {factory.name}"
            found = ProductPrice(
                per_hour=entry.per_gpu_hour, source=PriceSource.FACTORY, text=text, as_of=entry.as_of
            )
            return _within_bounds(found, factory)
    for owned in factory.ownership:
        if is_match(owned.match, facts):
            cost, problem = cost_of_owning(owned, factory.power, facts.product)
            if cost is None:
                return ProductPrice(problem=PriceProblem.NO_PRICE, message=problem)
            text = f"ownership of the TokenFactory {factory.name}"
            found = ProductPrice(per_hour=cost, source=PriceSource.FACTORY, text=text, as_of=owned.as_of)
            return _within_bounds(found, factory)
    return None


def _ask_opencost(factory: Factory, facts: HardwareFacts) -> ProductPrice | None:
    """None for a node that OpenCost does not know; what it says and can't be believed never falls through."""
    if facts.opencost is None:
        return None
    problem = opencost.fault(facts.opencost, gpus=facts.labelled_gpus)
    if problem:
        return ProductPrice(problem=PriceProblem.NO_PRICE, message=problem)
    price = opencost.per_gpu_hour(facts.opencost)
    text = "OpenCost, the whole node over its GPUs"
    if factory.currency != USD:
        rate = factory.usd_exchange_rate
        if rate is None:
            return _mismatch("OpenCost's prices", factory)
        price, text = price * rate.per_usd, text + _at_rate(factory, rate)
    found = ProductPrice(per_hour=price, source=PriceSource.OPENCOST, text=text, as_of=facts.opencost.as_of)
    bounded = _within_bounds(found, factory)
    low, high = _bounds(factory)
    if bounded.problem is None:
        return bounded
    return replace(bounded, message=bounded.message + opencost.explain_bounds(price, low=low, high=high))


def _mismatch(whose: str, factory: Factory) -> ProductPrice:
    return ProductPrice(
        problem=PriceProblem.CURRENCY_MISMATCH,
        message=f"{whose} are in USD and the factory counts in {factory.currency}: "
        "set spec.usdExchangeRate or spec.prices of the TokenFactory",
    )


def _at_rate(factory: Factory, rate: ExchangeRate) -> str:
    return f", at {rate.per_usd} {factory.currency} per USD of {rate.as_of}"


def _ask_reference(factory: Factory, facts: HardwareFacts) -> ProductPrice | None:
    sku = find_sku(facts.product)
    if sku is None or sku.usd_per_hour is None:
        return None
    price, text = sku.usd_per_hour, f"built-in reference for {sku.name}: {REFERENCE_SOURCE}"
    if sku.placeholder:
        text += " (placeholder in its source: 1.2 x the part before it)"
    if factory.currency != USD:
        rate = factory.usd_exchange_rate
        if rate is None:
            return _mismatch("built-in prices", factory)
        price *= rate.per_usd
        text += _at_rate(factory, rate)
    found = ProductPrice(
        per_hour=price,
        source=PriceSource.REFERENCE,
        text=text,
        as_of=REFERENCE_AS_OF,
        placeholder=sku.placeholder,
    )
    return _within_bounds(found, factory)


def _within_bounds(found: ProductPrice, factory: Factory) -> ProductPrice:
    if found.per_hour is not None and _is_absurd(found.per_hour, factory):
        return ProductPrice(
            problem=PriceProblem.PRICE_OUT_OF_BOUNDS,
            message=f"the price from {found.text} is outside the bounds ({_bounds_text(factory)})",
        )
    return found


def _bounds(factory: Factory) -> tuple[Decimal | None, Decimal | None]:
    """The factory's own bounds; the defaults hold for US dollars only."""
    low, high = factory.minimum_per_gpu_hour, factory.maximum_per_gpu_hour
    if factory.currency == USD:
        return (USD_MINIMUM if low is None else low), (USD_MAXIMUM if high is None else high)
    return low, high


def _is_absurd(price: Decimal, factory: Factory) -> bool:
    low, high = _bounds(factory)
    if not price.is_finite() or price <= 0:
        return True
    return (low is not None and price < low) or (high is not None and price > high)


def _bounds_text(factory: Factory) -> str:
    low, high = _bounds(factory)
    return (
        f"{low if low is not None else 'above 0'} to {high if high is not None else 'any'} {factory.currency}"
    )


def _nothing_for(facts: HardwareFacts) -> str:
    if facts.product is None:
        return (
            "no GPU product is known: the pool holds no pod on a node yet, or no node label names it;"
            " set spec.price or a factory price for all"
        )
    return (
        f"no source has a price for {facts.product}: set spec.prices of the factory or the pool's spec.price"
    )
