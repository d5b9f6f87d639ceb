"""Units and their conversions. Money is Decimal; rates, watts and seconds are float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal

SECONDS_PER_HOUR = 3600
HOURS_PER_YEAR = 8760
MILLION = 1_000_000
JOULES_PER_MILLIJOULE = 1e-3
JOULES_PER_KILOWATT_HOUR = 3.6e6
WATTS_PER_KILOWATT = 1000.0
WATTS_PER_MEGAWATT = 1e6
STATUS_DIGITS = 4

_MIG_PROFILE = re.compile(r"([1-9])[cg]\.", re.ASCII)
_FOUR_SLICE_PRODUCTS = ("A30", "RTX-PRO-6000")


def mig_share(profile: str, product: str) -> float | None:
    """A MIG profile's share of its GPU (`3g.71gb`: 3/7); None when `profile` is none.

    The leading number counts slices: seven to a GPU, four on A30 and RTX PRO 6000 (NVIDIA MIG user guide).
    """
    found = _MIG_PROFILE.match(profile)
    if found is None:
        return None
    flat = product.replace(" ", "-")
    slices = 4 if any(token in flat for token in _FOUR_SLICE_PRODUCTS) else 7
    return min(int(found.group(1)), slices) / slices


def significant(value: Decimal | float, digits: int = STATUS_DIGITS) -> str:
    """`value` as a plain decimal string with `digits` significant digits (docs/cost-model.md §14).

    >>> significant(Decimal("0.1227777"))
    '0.1228'
    >>> significant(48000.4)
    '48000'
    """
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    if not number:
        return "0"
    rounded = Context(prec=digits, rounding=ROUND_HALF_EVEN).create_decimal(number)
    text = format(rounded, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimal_of(value: float) -> Decimal:
    """The shortest Decimal that reads back as `value`, for money made from measured rates."""
    return Decimal(repr(value))


def dollars_per_million_tokens(price_per_gpu_hour: Decimal, tokens_per_second_per_gpu: float) -> Decimal:
    """Price of a GPU-hour over the million tokens that it makes (docs/cost-model.md §6).

    Raises ZeroDivisionError when no token is made: the caller answers Missing before.
    """
    return price_per_gpu_hour / (decimal_of(tokens_per_second_per_gpu) * SECONDS_PER_HOUR / MILLION)
