"""How the pool compares with a dated reference curve at its own speed per user (docs/cost-model.md §9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log

from tokenfactory.costing.curves import CURVES
from tokenfactory.costing.skus import matches_product
from tokenfactory.measure import Absence, Measure, Missing, derive
from tokenfactory.model import Factory, Pool, Reference, ReferencePoint, Terms

IDLE_LIMIT = 0.2
CONCURRENCY_LIMIT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What tells whether demand was the limit: requests that waited at a scrape, idle share of the GPU time
    that was not loading, mean decoding sequences per replica (None: not known)."""

    waited: bool
    idle_share: float
    concurrency: float | None

    @property
    def is_the_limit(self) -> bool:
        """Nothing waited at any scrape, and a fifth of the time was idle or less than one sequence ran."""
        if self.waited:
            return False
        return self.idle_share > IDLE_LIMIT or (
            self.concurrency is not None and self.concurrency < CONCURRENCY_LIMIT
        )


def find_reference(name: str, factory: Factory | None) -> Reference | None:
    """The factory's own curve of that name, else the built-in one."""
    own = factory.references if factory else ()
    return next((curve for curve in (*own, *CURVES) if curve.name == name), None)


def interpolate_curve(points: Sequence[ReferencePoint], per_user: float) -> float | None:
    """Tokens/s/GPU of the curve at `per_user` tokens/s/user, log-log; None outside the curve."""
    ordered = sorted((p.tokens_per_second_per_user, p.tokens_per_second_per_gpu) for p in points)
    for x, y in ordered:
        if x == per_user:
            return y
    for (left, low), (right, high) in pairwise(ordered):
        if left < per_user < right:
            part = (log(per_user) - log(left)) / (log(right) - log(left))
            return exp(log(low) + part * (log(high) - log(low)))
    return None


def compare(
    pool: Pool,
    terms: Terms,
    *,
    products: Sequence[str],
    per_gpu: Measure[float],
    per_user: Measure[float],
    demand: Demand,
) -> Measure[float]:
    """Tokens/s/GPU over the curve's at the pool's own tokens/s/user, as a ratio."""
    if pool.reference_name is None:
        return Missing(Absence.NOT_CONFIGURED, "the pool names no reference")
    curve = find_reference(pool.reference_name, terms.factory)
    if curve is None:
        return Missing(Absence.REFERENCE_NOT_FOUND, f"no reference is named {pool.reference_name}")
    if not products or not all(matches_product(curve.gpu_product, product) for product in products):
        return Missing(
            Absence.REFERENCE_NOT_FOUND,
            f"the reference {curve.name} is for {curve.gpu_product}, which is not what this pool holds",
        )
    if isinstance(per_gpu, Missing):
        return per_gpu
    if isinstance(per_user, Missing):
        return per_user
    if demand.is_the_limit:
        return Missing(Absence.DEMAND_LIMITED, "nothing waits and little runs: demand is the limit")
    at_speed = interpolate_curve(curve.points, per_user.value)
    if at_speed is None:
        return Missing(
            Absence.OUTSIDE_CURVE,
            f"the pool's tokens per second per user lie outside the reference {curve.name}",
        )
    return derive(
        lambda mine, _: mine / at_speed,
        per_gpu,
        per_user,
        basis="ratio of tokens/s/GPU (Total) at equal tokens/s/user",
        source=f"{curve.name} of {curve.as_of}, docs/cost-model.md §9",
    )
