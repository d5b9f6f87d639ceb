"""OpenCost's price of a GPU-hour: the whole node over its GPUs (docs/cost-model.md §5).

OpenCost splits a node's price over CPU, RAM and GPU; its `node_gpu_hourly_cost` leaves the machine around
the GPU out and is not comparable with any other source, so it is not used. Two faults of OpenCost are known
in public and looked for: prices 730 times too low, and nodes that cost nothing or have no GPU.
"""

from __future__ import annotations

from decimal import Decimal

from tokenfactory.model import NodePrice

HOURS_PER_MONTH = 730
_STEP = Decimal("0.000001")


def per_gpu_hour(price: NodePrice) -> Decimal:
    """The node's price over its GPUs, to a millionth. Both are above zero when `fault` finds nothing."""
    return (price.per_hour / price.gpus).quantize(_STEP)


def fault(price: NodePrice, *, gpus: int | None) -> str:
    """Why this price can't be used; empty when it can. `gpus` is what the node's labels say it has."""
    if price.problem:
        return price.problem
    if price.per_hour <= 0:
        return "OpenCost says that a node of this pool costs nothing: correct its pricing"
    if price.gpus <= 0:
        return "OpenCost counts no GPU on a node of this pool: correct its pricing, or use spec.prices"
    if gpus is not None and price.gpus != gpus:
        return "OpenCost counts other GPUs on a node of this pool than its labels do: use spec.prices"
    return ""


def explain_bounds(value: Decimal, *, low: Decimal | None, high: Decimal | None) -> str:
    """What to add when a price is out of bounds: OpenCost's own unit mistake, where it fits."""
    monthly = value * HOURS_PER_MONTH
    if low is not None and value < low <= monthly and (high is None or monthly <= high):
        return "; 730 times as much would fit: this OpenCost may divide hourly prices by the hours of a month"
    return ""
