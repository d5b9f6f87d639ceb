"""OpenCost's price of a GPU-hour: the whole node over its GPUs, refused where it is a known fault's."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.costing.synthetic import POOL, TERMS
from tokenfactory.costing.hardware import HardwareFacts, facts_of
from tokenfactory.costing.prices import quote
from tokenfactory.measure import Absence, Missing, value_of
from tokenfactory.model import (
    ExchangeRate,
    Factory,
    HardwareMatch,
    Node,
    NodePrice,
    NodePrices,
    Pod,
    Pool,
    PriceEntry,
    PriceProblem,
    PriceQuote,
    PriceSource,
    Replica,
)

PLAIN = replace(POOL, price_per_gpu_hour=None)
NODE = NodePrice(per_hour=Decimal("22.88"), gpus=Decimal(8), as_of="2026-11-26")
H200 = HardwareFacts(product="NVIDIA-H200", opencost=NODE, labelled_gpus=8)


def ask(facts: HardwareFacts = H200, *, pool: Pool = PLAIN, **factory: object) -> PriceQuote:
    chosen = Factory(**factory)  # type: ignore[arg-type]
    return quote(pool, replace(TERMS, factory=chosen), {facts: 8.0})


def test_the_price_is_that_of_the_node_over_its_gpus_with_source_and_date() -> None:
    found = ask()
    assert value_of(found.per_gpu_hour) == Decimal("2.86")
    assert found.source is PriceSource.OPENCOST
    assert found.source_text == "OpenCost, the whole node over its GPUs"
    assert found.as_of == "2026-11-26"


def test_it_comes_after_pool_and_factory_and_before_the_reference() -> None:
    entry = PriceEntry(match=HardwareMatch(), per_gpu_hour=Decimal(2))
    own = replace(POOL, price_per_gpu_hour=Decimal(3))
    assert ask(pool=own).source is PriceSource.POOL
    assert ask(prices=(entry,)).source is PriceSource.FACTORY
    assert ask(replace(H200, opencost=None)).source is PriceSource.REFERENCE


def test_a_factory_that_does_not_list_it_is_not_given_its_price() -> None:
    order = (PriceSource.POOL, PriceSource.REFERENCE)
    assert ask(price_order=order).source is PriceSource.REFERENCE


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (replace(NODE, per_hour=Decimal(0)), "costs nothing"),
        (replace(NODE, per_hour=Decimal(-1)), "costs nothing"),
        (replace(NODE, gpus=Decimal(0)), "counts no GPU"),
        (replace(NODE, gpus=Decimal(4)), "other GPUs"),
        (NodePrice(problem="OpenCost can't be asked: it is away"), "can't be asked"),
    ],
    ids=["a free node", "a negative price", "a node without GPUs", "half of the GPUs", "no answer"],
)
def test_what_can_not_be_believed_is_no_price_and_never_another_one(node: NodePrice, said: str) -> None:
    found = ask(replace(H200, opencost=node))
    assert isinstance(found.per_gpu_hour, Missing)
    assert found.per_gpu_hour.reason is Absence.PRICE_UNKNOWN
    assert found.problem is PriceProblem.NO_PRICE
    assert said in found.message


def test_a_price_730_times_too_low_is_refused_by_the_name_of_the_fault() -> None:
    """opencost 3781: a custom price of $2.86 an hour was exported as $0.0039."""
    found = ask(replace(H200, opencost=replace(NODE, per_hour=NODE.per_hour / 730)))
    assert found.problem is PriceProblem.PRICE_OUT_OF_BOUNDS
    assert "730 times as much would fit" in found.message


def test_a_price_that_is_absurd_in_another_way_does_not_blame_that_fault() -> None:
    found = ask(replace(H200, opencost=replace(NODE, per_hour=Decimal("100000"))))
    assert found.problem is PriceProblem.PRICE_OUT_OF_BOUNDS
    assert "730" not in found.message


def test_another_currency_needs_a_dated_rate() -> None:
    assert ask(currency="EUR").problem is PriceProblem.CURRENCY_MISMATCH
    rate = ExchangeRate(per_usd=Decimal("0.5"), as_of="2026-11-01")
    found = ask(currency="EUR", usd_exchange_rate=rate)
    assert value_of(found.per_gpu_hour) == Decimal("1.43")
    assert found.source_text.endswith("at 0.5 EUR per USD of 2026-11-01")


def test_each_node_is_priced_by_its_own() -> None:
    cheap = replace(H200, opencost=replace(NODE, per_hour=Decimal("11.44")))
    found = quote(PLAIN, replace(TERMS, factory=Factory()), {H200: 8.0, cheap: 24.0})
    assert value_of(found.per_gpu_hour) == (Decimal("2.86") + 3 * Decimal("1.43")) / 4


def test_facts_hold_the_price_of_the_pods_node_and_equal_ones_are_equal() -> None:
    prices = NodePrices(by_node={"a": NODE, "b": NODE})
    terms = replace(TERMS, node_prices=prices)

    def facts(node: str) -> HardwareFacts:
        pod = Pod(namespace="n", name="p", uid="u")
        return facts_of(
            Replica(pod=pod, node=Node(name=node, gpu_count=8), gpus=8.0, product="NVIDIA-H200"), terms
        )

    assert facts("a") == facts("b") == H200
    assert facts("c") == HardwareFacts(product="NVIDIA-H200")
