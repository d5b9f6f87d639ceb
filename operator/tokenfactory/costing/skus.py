"""GPU models: their names on labels, and the built-in, dated reference price and power of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

REFERENCE_AS_OF = "2026-04-03"
REFERENCE_SOURCE = "SemiAnalysis InferenceX constants, hyperscaler-own tier"


@dataclass(frozen=True, slots=True)
class Sku:
    """One GPU model. `kilowatts` is all-in provisioned power per GPU, facility losses included.

    `usd_per_hour` is the hyperscaler-own total cost of one GPU-hour. `placeholder` marks a price that its
    own source calls temporary (1.2 x the part before it).
    """

    name: str
    kilowatts: float | None = None
    usd_per_hour: Decimal | None = None
    placeholder: bool = False


SKUS = (
    Sku("H100", 1.73, Decimal("1.30")),
    Sku("H200", 1.73, Decimal("1.41")),
    Sku("B200", 2.17, Decimal("1.95")),
    Sku("B300", 2.17, Decimal("2.34"), placeholder=True),
    Sku("GB200", 2.10, Decimal("2.21")),
    Sku("GB300", 2.10, Decimal("2.652"), placeholder=True),
    Sku("MI300X", 1.79, Decimal("1.12")),
    Sku("MI325X", 2.18, Decimal("1.28")),
    Sku("MI355X", 2.65, Decimal("1.48")),
    Sku("GB300-WS"),
    Sku("RTX-PRO-6000"),
    Sku("GH200"),
    Sku("GB10"),
    Sku("A100"),
    Sku("L40S"),
    Sku("H20"),
)
_BY_NAME = {sku.name: sku for sku in SKUS}
_TOKEN = re.compile(
    "(?<![A-Z0-9])("
    + "|".join(sorted((re.escape(sku.name) for sku in SKUS), key=len, reverse=True))
    + ")(?![A-Z0-9])"
)
_SHARING_SUFFIX = re.compile(r"(-SHARED|-MIG-[0-9A-Z.+]+)+$", re.IGNORECASE)


def name_product(product: str) -> str:
    """The product as node labels spell it: blanks become dashes, `-SHARED` and `-MIG-<profile>` go.

    >>> name_product("NVIDIA H200-MIG-1g.18gb-SHARED")
    'NVIDIA-H200'
    """
    return _SHARING_SUFFIX.sub("", "-".join(product.split()))


def find_sku(product: str | None) -> Sku | None:
    """The GPU model that a product name holds, the longest name first; None when none is known.

    >>> find_sku("NVIDIA-GB300").name, find_sku("NVIDIA-H20")
    ('GB300', Sku(name='H20', kilowatts=None, usd_per_hour=None, placeholder=False))
    """
    if not product:
        return None
    found = _TOKEN.search(name_product(product).upper().replace("_", "-"))
    return _BY_NAME[found.group(1)] if found else None


def matches_product(wanted: str, product: str | None) -> bool:
    """Whether a price, power or reference entry for `wanted` holds for `product`.

    A bare model (`H200`, `NVIDIA-H200`) holds for all of its variants; a longer name only for itself.
    """
    if not product:
        return False
    left, right = name_product(wanted).upper(), name_product(product).upper()
    if left == right:
        return True
    bare = left.removeprefix("NVIDIA-").removeprefix("AMD-")
    sku = find_sku(product)
    return sku is not None and sku.name == bare
