"""An owned GPU's cost an hour, and its all-in provisioned power (docs/cost-model.md §5, §8)."""

from __future__ import annotations

from decimal import Decimal

from tokenfactory.costing.skus import find_sku, matches_product
from tokenfactory.model import OwnershipEntry, PowerTerms
from tokenfactory.units import HOURS_PER_YEAR, decimal_of


def provisioned_kilowatts(power: PowerTerms, product: str | None) -> float | None:
    """All-in kW per GPU: the factory's own figure first, then the built-in one; None when neither knows."""
    for wanted, kilowatts in power.provisioned_kilowatts_per_gpu:
        if matches_product(wanted, product):
            return kilowatts
    sku = find_sku(product)
    return sku.kilowatts if sku else None


def cost_of_owning(
    entry: OwnershipEntry, power: PowerTerms, product: str | None
) -> tuple[Decimal | None, str]:
    """Purchase, yearly maintenance and all-in electricity of one GPU-hour (docs/cost-model.md §5).

    The second value says what is missing when there is no cost. PUE is inside the all-in kW.
    """
    if power.price_per_kilowatt_hour is None:
        return None, "spec.ownership of the TokenFactory needs spec.power.pricePerKilowattHour"
    if entry.amortization_years <= 0:
        return None, "spec.ownership.amortizationYears of the TokenFactory must be above 0"
    kilowatts = provisioned_kilowatts(power, product)
    if kilowatts is None:
        return None, (
            f"the all-in power of {product or 'this GPU'} is not known: "
            "set spec.power.provisionedKilowattsPerGPU of the TokenFactory"
        )
    price = entry.purchase_price_per_gpu
    purchase = price / (entry.amortization_years * HOURS_PER_YEAR)
    maintenance = price * entry.yearly_maintenance_fraction / HOURS_PER_YEAR
    return purchase + maintenance + decimal_of(kilowatts) * power.price_per_kilowatt_hour, ""
