"""What OpenCost's metrics say of each node, read through the factory's Prometheus.

The whole cluster's nodes are asked for at once and kept for a minute, however many pools there are. While the
Prometheus is away it is asked four times as often, and the last answer holds for an hour; after that there is
no price rather than another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from types import MappingProxyType
from typing import Any

from tokenfactory.model import PROMETHEUS_ADVICE, Failure, NodePrice, NodePrices, PrometheusTerms
from tokenfactory.telemetry.queries import select_now
from tokenfactory.telemetry.rebuild import Unreadable
from tokenfactory.telemetry.recorded import Asker

TOTAL, GPUS = "node_total_hourly_cost", "node_gpu_count"
REFRESH_SECONDS = 60.0
RETRY_SECONDS = 15.0
KEEP_SECONDS = 3600.0
TIMEOUT_SECONDS = 5.0
_SPREAD = Decimal("0.01")
_AMBIGUOUS = (
    "several exporters give a node of this pool different prices: have Prometheus scrape one OpenCost only"
)


@dataclass(slots=True)
class _Held:
    until: float
    task: asyncio.Task[NodePrices]
    good: NodePrices | None = None
    good_at: float = 0.0


class OpenCost:
    """Prices of nodes by the Prometheus that knows them."""

    def __init__(self, asker: Asker, *, monotonic: Callable[[], float]) -> None:
        self._asker = asker
        self._monotonic = monotonic
        self._held: dict[PrometheusTerms, _Held] = {}

    async def prices(self, server: PrometheusTerms) -> NodePrices:
        """What OpenCost says of every node, at most a minute old, an hour when it can't be asked."""
        now, held = self._monotonic(), self._held.get(server)
        if held is None or now > held.until:
            task = asyncio.create_task(self._ask(server))
            good, good_at = (held.good, held.good_at) if held else (None, 0.0)
            held = self._held[server] = _Held(now + REFRESH_SECONDS, task, good, good_at)
        found = await asyncio.shield(held.task)
        if found.failure:
            held.until = min(held.until, now + RETRY_SECONDS)
            if held.good is not None and now - held.good_at <= KEEP_SECONDS:
                return held.good
            return found
        held.good, held.good_at = found, now
        return found

    async def _ask(self, server: PrometheusTerms) -> NodePrices:
        query = select_now((TOTAL, GPUS))
        answer = await self._asker.ask(server, query, timeout=TIMEOUT_SECONDS, read=read_prices)
        if not isinstance(answer, Failure):
            return answer
        why = PROMETHEUS_ADVICE.get(answer.reason, "")
        return NodePrices(failure=f"OpenCost can't be asked: {why}")


def read_prices(result: Sequence[Any]) -> NodePrices:
    """Prices by node. Raises Unreadable for what no Prometheus answers."""
    said: dict[tuple[str, str], list[Decimal]] = {}
    at = 0.0
    for item in result:
        name, node, moment, value = _read(item)
        if node:
            said.setdefault((node, name), []).append(value)
            at = max(at, moment)
    day = datetime.fromtimestamp(at, UTC).date().isoformat()
    nodes = sorted({node for node, _ in said})
    return NodePrices(by_node=MappingProxyType({node: _price(node, said, as_of=day) for node in nodes}))


def _price(node: str, said: Mapping[tuple[str, str], Sequence[Decimal]], *, as_of: str) -> NodePrice:
    """One node. Exporters that disagree are not believed: any pod may export these names."""
    totals, counts = said.get((node, TOTAL), ()), said.get((node, GPUS), ())
    if not _agree(totals) or not _agree(counts):
        return NodePrice(as_of=as_of, problem=_AMBIGUOUS)
    return NodePrice(
        per_hour=max(totals, default=Decimal(0)), gpus=max(counts, default=Decimal(0)), as_of=as_of
    )


def _agree(values: Sequence[Decimal]) -> bool:
    return not values or max(values) - min(values) <= _SPREAD * abs(max(values))


def _read(item: Any) -> tuple[str, str, float, Decimal]:
    try:
        labels, (moment, text) = item["metric"], item["value"]
        name, node = labels["__name__"], labels.get("exported_node") or labels.get("node") or ""
        value = Decimal(text)
    except (LookupError, TypeError, ValueError, AttributeError, DecimalException):
        raise Unreadable from None
    if not isinstance(node, str) or not isinstance(moment, int | float):
        raise Unreadable
    return name, node[:253], float(moment), value if value.is_finite() else Decimal(0)
