"""The price of a GPU-hour (docs/cost-model.md §5)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.costing.synthetic import POOL, TERMS
from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.ownership import cost_of_owning, provisioned_kilowatts
from tokenfactory.costing.prices import quote
from tokenfactory.costing.skus import (
    REFERENCE_AS_OF,
    REFERENCE_SOURCE,
    SKUS,
    Sku,
    find_sku,
    matches_product,
    name_product,
)
from tokenfactory.measure import Absence, Known, Missing, value_of
from tokenfactory.model import (
    ExchangeRate,
    Factory,
    HardwareMatch,
    LabelSelector,
    OwnershipEntry,
    Pool,
    PowerTerms,
    PriceEntry,
    PriceProblem,
    PriceQuote,
    PriceSource,
)
from tokenfactory.units import dollars_per_million_tokens

H200 = HardwareFacts("NVIDIA-H200", "p5en.48xlarge", "reserved", (("pool", "gold"),))
PLAIN = replace(POOL, price_per_gpu_hour=None)
ANY = HardwareMatch()


def ask(factory: Factory | None, pool: Pool = PLAIN, facts: HardwareFacts = H200) -> PriceQuote:
    return quote(pool, replace(TERMS, factory=factory), {facts: 8.0})


def priced(text: str, match: HardwareMatch = ANY) -> tuple[PriceEntry, ...]:
    return (PriceEntry(match=match, per_gpu_hour=Decimal(text), source="contract", as_of="2026-04-15"),)


@pytest.mark.parametrize(
    ("product", "sku"),
    [
        ("NVIDIA-GB300", "GB300"),
        ("NVIDIA-B300-SXM6-AC", "B300"),
        ("NVIDIA-GB200", "GB200"),
        ("NVIDIA-B200", "B200"),
        ("NVIDIA-H200-NVL", "H200"),
        ("NVIDIA-H20", "H20"),
        ("NVIDIA-GH200-480GB", "GH200"),
        ("NVIDIA-GB10", "GB10"),
        ("NVIDIA-GB300-WS", "GB300-WS"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA-H100-80GB-HBM3-SHARED", "H100"),
        ("NVIDIA-H200-MIG-1g.18gb", "H200"),
        ("AMD_Instinct_MI300X_OAM", "MI300X"),
    ],
)
def test_the_longest_model_name_wins(product: str, sku: str) -> None:
    found = find_sku(product)
    assert found is not None
    assert found.name == sku


@pytest.mark.parametrize("product", [None, "", "Tesla-T4", "NVIDIA-H2000", "XB200Y"])
def test_an_unknown_product_is_nobody(product: str | None) -> None:
    assert find_sku(product) is None


def test_sharing_suffixes_are_no_part_of_the_name() -> None:
    assert name_product("NVIDIA H200-MIG-1g.18gb-SHARED") == "NVIDIA-H200"
    assert matches_product("NVIDIA-H200", "NVIDIA-H200-MIG-1g.18gb")
    assert matches_product("H100", "NVIDIA-H100-80GB-HBM3")
    assert not matches_product("NVIDIA-H100-PCIe", "NVIDIA-H100-80GB-HBM3")
    assert not matches_product("NVIDIA-B200", "NVIDIA-GB200")


def test_the_pools_own_price_comes_first() -> None:
    found = ask(Factory(prices=priced("1.9")), POOL)
    assert (value_of(found.per_gpu_hour), found.source) == (Decimal(2), PriceSource.POOL)


def test_the_factory_orders_the_sources() -> None:
    order = (PriceSource.FACTORY, PriceSource.POOL)
    found = ask(Factory(prices=priced("1.9"), price_order=order), POOL)
    assert (value_of(found.per_gpu_hour), found.source) == (Decimal("1.9"), PriceSource.FACTORY)


@pytest.mark.parametrize(
    ("factory", "price", "problem"),
    [
        (Factory(allow_pool_prices=False), "2", PriceProblem.POOL_PRICE_FORBIDDEN),
        (Factory(price_order=(PriceSource.REFERENCE,)), "2", PriceProblem.POOL_PRICE_FORBIDDEN),
        (Factory(), "0", PriceProblem.POOL_PRICE_OUT_OF_BOUNDS),
        (Factory(), "-2", PriceProblem.POOL_PRICE_OUT_OF_BOUNDS),
        (Factory(), "50.01", PriceProblem.POOL_PRICE_OUT_OF_BOUNDS),
        (Factory(), "0.049", PriceProblem.POOL_PRICE_OUT_OF_BOUNDS),
    ],
)
def test_a_refused_pool_price_is_passed_over_and_says_so(
    factory: Factory, price: str, problem: PriceProblem
) -> None:
    found = ask(factory, replace(POOL, price_per_gpu_hour=Decimal(price)))
    assert (value_of(found.per_gpu_hour), found.source) == (Decimal("1.41"), PriceSource.REFERENCE)
    assert found.passed_over is problem
    assert "spec.price" in found.message


@pytest.mark.parametrize("price", ["0", "-1", "51"])
def test_an_absurd_factory_price_never_falls_through(price: str) -> None:
    found = ask(Factory(prices=priced(price)))
    assert found.problem is PriceProblem.PRICE_OUT_OF_BOUNDS
    assert isinstance(found.per_gpu_hour, Missing)
    assert found.per_gpu_hour.reason is Absence.PRICE_UNKNOWN


def test_the_bounds_are_dollars_and_another_currency_sets_its_own() -> None:
    yen = Factory(currency="JPY", prices=priced("300"))
    assert value_of(ask(yen).per_gpu_hour) == 300
    assert ask(replace(yen, maximum_per_gpu_hour=Decimal(200))).problem is PriceProblem.PRICE_OUT_OF_BOUNDS
    assert ask(replace(yen, prices=priced("0"))).problem is PriceProblem.PRICE_OUT_OF_BOUNDS


def test_a_built_in_price_in_another_currency_needs_a_dated_exchange_rate() -> None:
    euro = Factory(currency="EUR")
    mismatch = ask(euro)
    assert mismatch.problem is PriceProblem.CURRENCY_MISMATCH
    assert isinstance(mismatch.per_gpu_hour, Missing)
    assert mismatch.per_gpu_hour.reason is Absence.CURRENCY_MISMATCH
    rate = ExchangeRate(per_usd=Decimal("0.9"), as_of="2026-11-01")
    found = ask(replace(euro, usd_exchange_rate=rate))
    assert value_of(found.per_gpu_hour) == Decimal("1.41") * Decimal("0.9")
    assert "2026-11-01" in found.source_text


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        (ANY, True),
        (HardwareMatch(gpu_product="NVIDIA-H200"), True),
        (HardwareMatch(gpu_product="NVIDIA-GH200"), False),
        (HardwareMatch(instance_type="p5en.48xlarge"), True),
        (HardwareMatch(instance_type="p5.48xlarge"), False),
        (HardwareMatch(capacity_type="Reserved"), True),
        (HardwareMatch(capacity_type="Spot"), False),
        (HardwareMatch(node_selector=LabelSelector((("pool", "gold"),))), True),
        (HardwareMatch(node_selector=LabelSelector((("pool", "tin"),))), False),
        (HardwareMatch(gpu_product="NVIDIA-H200", capacity_type="Spot"), False),
    ],
)
def test_every_given_field_of_a_match_must_hold(match: HardwareMatch, *, fits: bool) -> None:
    found = ask(Factory(prices=priced("3.5", match)))
    assert (found.source is PriceSource.FACTORY) is fits


def test_the_first_matching_entry_wins() -> None:
    found = ask(Factory(prices=priced("3.5") + priced("2.5")))
    assert value_of(found.per_gpu_hour) == Decimal("3.5")


def test_ownership_is_purchase_maintenance_and_all_in_electricity() -> None:
    entry = OwnershipEntry(
        match=ANY,
        purchase_price_per_gpu=Decimal(32000),
        amortization_years=Decimal(4),
        yearly_maintenance_fraction=Decimal("0.05"),
    )
    power = PowerTerms(price_per_kilowatt_hour=Decimal("0.08"), pue=1.5)
    cost, _ = cost_of_owning(entry, power, "NVIDIA-H200")
    assert cost is not None
    assert float(cost) == pytest.approx(32000 / 35040 + 1600 / 8760 + 1.73 * 0.08)
    found = ask(
        Factory(prices=priced("3", HardwareMatch(gpu_product="B200")), ownership=(entry,), power=power)
    )
    assert (value_of(found.per_gpu_hour), found.source) == (cost, PriceSource.FACTORY)


def test_ownership_without_a_price_of_electricity_is_no_price_and_does_not_fall_through() -> None:
    entry = OwnershipEntry(match=ANY, purchase_price_per_gpu=Decimal(32000), amortization_years=Decimal(4))
    found = ask(Factory(ownership=(entry,)))
    assert found.problem is PriceProblem.NO_PRICE
    assert "pricePerKilowattHour" in found.message


def test_prices_come_before_ownership() -> None:
    entry = OwnershipEntry(match=ANY, purchase_price_per_gpu=Decimal(32000), amortization_years=Decimal(4))
    found = ask(Factory(prices=priced("3"), ownership=(entry,)))
    assert value_of(found.per_gpu_hour) == 3


def test_a_named_factory_that_does_not_exist_leaves_no_price_not_even_the_pools() -> None:
    found = ask(None, replace(POOL, factory_name="gold"))
    assert found.problem is PriceProblem.FACTORY_NOT_FOUND
    assert isinstance(found.per_gpu_hour, Missing)


def test_a_built_in_price_shows_its_source_its_date_and_that_it_is_a_placeholder() -> None:
    found = ask(Factory(), facts=HardwareFacts("NVIDIA-GB300"))
    assert isinstance(found.per_gpu_hour, Known)
    assert found.per_gpu_hour.value == Decimal("2.652")
    assert (found.as_of, found.placeholder) == ("2026-04-03", True)
    assert "placeholder" in found.source_text
    assert not ask(Factory()).placeholder


def test_a_product_without_any_price_says_what_to_set() -> None:
    found = ask(Factory(), facts=HardwareFacts("Tesla-T4"))
    assert found.problem is PriceProblem.NO_PRICE
    assert "Tesla-T4" in found.message


def test_products_are_priced_each_and_averaged_over_the_gpus_held() -> None:
    found = quote(PLAIN, TERMS, {H200: 8.0, HardwareFacts("NVIDIA-B200"): 4.0})
    assert value_of(found.per_gpu_hour) == (Decimal("1.41") * 8 + Decimal("1.95") * 4) / 12


def test_one_product_without_a_price_leaves_the_pool_without_one() -> None:
    found = quote(PLAIN, TERMS, {H200: 8.0, HardwareFacts("Tesla-T4"): 1.0})
    assert found.problem is PriceProblem.NO_PRICE


def test_a_pool_without_gpus_is_quoted_when_the_price_needs_no_product() -> None:
    assert value_of(quote(POOL, TERMS, {}).per_gpu_hour) == 2
    assert quote(PLAIN, TERMS, {}).problem is PriceProblem.NO_PRICE


def test_the_factorys_power_overrides_the_built_in_one() -> None:
    power = PowerTerms(provisioned_kilowatts_per_gpu=(("NVIDIA-H200", 1.5),))
    assert provisioned_kilowatts(power, "NVIDIA-H200") == 1.5
    assert provisioned_kilowatts(power, "NVIDIA-GB200") == 2.10
    assert provisioned_kilowatts(power, "Tesla-T4") is None


@pytest.mark.parametrize(
    ("price", "per_gpu", "dollars"),
    [("1.41", 93.3, 4.20), ("1.41", 90.0, 4.35), ("2.652", 6000.0, 0.123), ("1.41", 90 / 3600, 15667)],
)
def test_the_unit_check_of_section_six(price: str, per_gpu: float, dollars: float) -> None:
    cost = float(dollars_per_million_tokens(Decimal(price), per_gpu))
    assert cost == pytest.approx(dollars, rel=0.002)


@pytest.mark.parametrize(("per_million", "month"), [("4.20", 42_000), ("0.12", 1_200)])
def test_ten_billion_tokens_a_month(per_million: str, month: int) -> None:
    assert Decimal(per_million) * 10_000_000_000 / 1_000_000 == month


@pytest.mark.parametrize(("per_gpu", "kilowatts", "printed"), [(93.3, 1.73, 54e3), (6000.0, 2.10, 2.86e6)])
def test_the_provisioned_basis_reproduces_nvidias_tokens_per_megawatt(
    per_gpu: float, kilowatts: float, printed: float
) -> None:
    assert per_gpu / (kilowatts / 1000) == pytest.approx(printed, rel=0.005)


@pytest.mark.parametrize(
    ("name", "kilowatts", "dollars", "placeholder"),
    [
        ("H100", 1.73, "1.30", False),
        ("H200", 1.73, "1.41", False),
        ("B200", 2.17, "1.95", False),
        ("B300", 2.17, "2.34", True),
        ("GB200", 2.10, "2.21", False),
        ("GB300", 2.10, "2.652", True),
        ("MI300X", 1.79, "1.12", False),
        ("MI325X", 2.18, "1.28", False),
        ("MI355X", 2.65, "1.48", False),
    ],
)
def test_the_built_in_table_is_its_dated_source(
    name: str, kilowatts: float, dollars: str, *, placeholder: bool
) -> None:
    sku = find_sku(f"NVIDIA-{name}")
    assert sku == Sku(name, kilowatts, Decimal(dollars), placeholder=placeholder)
    assert (REFERENCE_AS_OF, "hyperscaler-own" in REFERENCE_SOURCE) == ("2026-04-03", True)


def test_nothing_else_has_a_built_in_price() -> None:
    """No market price list is bundled: A100, L40S and the others need a price of the factory's."""
    assert sum(sku.usd_per_hour is not None for sku in SKUS) == 9
    assert all(sku.usd_per_hour is not None for sku in SKUS if sku.kilowatts is not None)
