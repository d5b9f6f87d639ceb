"""Why the cost of a million tokens moved between two windows (docs/cost-model.md §11).

In logarithms cost = price + GPUs held − busy GPUs − tokens a second of a busy GPU, exactly. The last term
is explained by cache hits, acceptance length, role ratio and clocks as far as they are known; what is left
is named. The logarithmic mean of both costs turns logarithms into money, so that the parts add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import isclose, log

SOURCE = "docs/cost-model.md §11"


class Mover(StrEnum):
    """What can move the cost, in the order in which it is told."""

    PRICE = "Price"
    GPUS_HELD = "GPUsHeld"
    DEMAND = "Demand"
    CACHE_HITS = "CacheHits"
    ACCEPTANCE_LENGTH = "AcceptanceLength"
    ROLE_RATIO = "RoleRatio"
    CLOCKS = "Clocks"
    UNEXPLAINED = "Unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Prefill and decode in one window: each role's share of all GPUs, and how busy its own were."""

    prefill_share: float
    decode_share: float
    prefill_busy: float
    decode_busy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One window of a pool, as far as it explains the cost. None: not known, or not applicable.

    `cost` is per million tokens (Total), `price` per GPU-hour, both of the window; `gpus` and `busy` are mean
    GPUs held and serving. `input_share`: of the cost (§7). `roles`: prefill and decode, where they are apart.
    `clock`: mean SM clock of the GPUs at work, in MHz.
    """

    at: float
    seconds: float
    currency: str
    cost: Decimal
    price: Decimal
    gpus: float
    busy: float
    input_share: float | None = None
    cached_share: float | None = None
    acceptance_length: float | None = None
    roles: Roles | None = None
    clock: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One mover: from what to what, and how much of the change it is. `change` None: can't be told."""

    mover: Mover
    before: float | None
    after: float | None
    change: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The change between two windows; the known changes of `parts` add up to `change` exactly."""

    before: Standing
    after: Standing
    parts: tuple[Part, ...]

    @property
    def change(self) -> Decimal:
        return self.after.cost - self.before.cost


def explain_move(before: Standing, after: Standing) -> Move | None:
    """The change of cost split into its parts; None when the two can't be compared (another currency)."""
    if before.currency != after.currency or min(before.cost, after.cost, before.price, after.price) <= 0:
        return None
    if min(before.gpus, after.gpus, before.busy, after.busy) <= 0:
        return None
    scale = _logarithmic_mean(float(before.cost), float(after.cost))
    known = {mover: value for mover, value in _weigh(before, after).items() if value is not None}
    money = {mover: Decimal(repr(scale * value)) for mover, value in known.items()}
    rest = after.cost - before.cost - sum(money.values(), Decimal(0))
    values = {**_values(before, after), Mover.UNEXPLAINED: (None, None)}
    parts = tuple(
        Part(
            mover=mover,
            before=values[mover][0],
            after=values[mover][1],
            change=rest if mover is Mover.UNEXPLAINED else money.get(mover),
        )
        for mover in Mover
    )
    return Move(before=before, after=after, parts=parts)


def _values(one: Standing, two: Standing) -> dict[Mover, tuple[float | None, float | None]]:
    return {
        Mover.PRICE: (float(one.price), float(two.price)),
        Mover.GPUS_HELD: (one.gpus, two.gpus),
        Mover.DEMAND: (one.busy, two.busy),
        Mover.CACHE_HITS: (one.cached_share, two.cached_share),
        Mover.ACCEPTANCE_LENGTH: (one.acceptance_length, two.acceptance_length),
        Mover.ROLE_RATIO: _binding_shares(one.roles, two.roles),
        Mover.CLOCKS: (one.clock, two.clock),
    }


def _weigh(one: Standing, two: Standing) -> dict[Mover, float | None]:
    """Each part in logarithms of cost: above 0 makes tokens dearer.

    Prefill work goes with the input that is not cached, decode steps go with 1 ÷ acceptance length; each
    weighs as much as its half of the cost (the mean of both windows).
    """
    shares = [share for share in (one.input_share, two.input_share) if share is not None]
    into = sum(shares) / len(shares) if shares else None
    computed = tuple(None if share is None else 1.0 - share for share in (one.cached_share, two.cached_share))
    return {
        Mover.PRICE: _ratio(float(one.price), float(two.price)),
        Mover.GPUS_HELD: _ratio(one.gpus, two.gpus),
        Mover.DEMAND: _ratio(two.busy, one.busy),
        Mover.CACHE_HITS: _times(into, _ratio(*computed)),
        Mover.ACCEPTANCE_LENGTH: _times(
            None if into is None else 1.0 - into, _ratio(two.acceptance_length, one.acceptance_length)
        ),
        Mover.ROLE_RATIO: _ratio(*reversed(_binding_shares(one.roles, two.roles))),
        Mover.CLOCKS: _ratio(two.clock, one.clock),
    }


def _binding_shares(one: Roles | None, two: Roles | None) -> tuple[float | None, float | None]:
    """The GPU share of the role that was the busier one in both windows together: it is the limit."""
    if one is None or two is None:
        return None, None
    if one.decode_busy + two.decode_busy >= one.prefill_busy + two.prefill_busy:
        return one.decode_share, two.decode_share
    return one.prefill_share, two.prefill_share


def _ratio(low: float | None, high: float | None) -> float | None:
    """ln(high ÷ low); None when either is not known or not above 0."""
    if low is None or high is None or low <= 0 or high <= 0:
        return None
    return log(high / low)


def _times(weight: float | None, value: float | None) -> float | None:
    return None if weight is None or value is None else weight * value


def _logarithmic_mean(one: float, two: float) -> float:
    if isclose(one, two, rel_tol=1e-9):
        return (one + two) / 2
    return (two - one) / log(two / one)
