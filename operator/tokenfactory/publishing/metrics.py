"""The pools on the operator's `/metrics`: every series unrounded, and none left behind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tokenfactory.model import PoolKey
from tokenfactory.publishing.families import COUNTERS, GAUGES, PREFIX
from tokenfactory.publishing.samples import Sample, currency_of, samples
from tokenfactory.publishing.status import Subject
from tokenfactory.units import decimal_of

LARGEST_SERIES_COUNT = 20_000


class PoolSeries:
    """The series of one pool: counters that only grow, gauges of the last cycle."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, tuple[str, ...]], Decimal] = {}
        self._gauges: tuple[Sample, ...] = ()

    def __len__(self) -> int:
        return len(self._counters) + len(self._gauges)

    def update(self, subject: Subject, *, room: int) -> int:
        """Takes over one cycle in at most `room` series; returns how many found no room."""
        dropped = sum(not self._add(*step, room=room) for step in _increments(subject))
        found = tuple(samples(subject))
        self._gauges = found[: max(0, room - len(self._counters))]
        return dropped + len(found) - len(self._gauges)

    def _add(self, family: str, labels: tuple[str, ...], amount: float | Decimal, *, room: int) -> bool:
        key = (family, labels)
        if key not in self._counters and len(self._counters) >= room:
            return False
        added = amount if isinstance(amount, Decimal) else decimal_of(float(amount))
        self._counters[key] = self._counters.get(key, Decimal(0)) + added
        return True

    def samples(self) -> Iterator[Sample]:
        """All series: (family, label values after namespace and pool, value)."""
        for (family, labels), value in self._counters.items():
            yield family, labels, float(value)
        yield from self._gauges


def _increments(subject: Subject) -> Iterator[tuple[str, tuple[str, ...], float | Decimal]]:
    """What the cycle adds to the counters. A negative amount is dropped: counters only grow."""
    if subject.economics is None:
        return
    added, currency = subject.economics.increments, currency_of(subject.economics)
    steps: list[tuple[str, tuple[str, ...], float | Decimal]] = [
        ("tokens", ("uncached_input",), added.tokens.uncached_input),
        ("tokens", ("cached_input",), added.tokens.cached_input),
        ("tokens", ("output",), added.tokens.output),
        *(("cost", (currency, share), amount) for share, amount in added.cost_by_share.items()),
        *(("gpu_seconds", (share,), amount) for share, amount in added.gpu_seconds_by_share.items()),
        *(("energy_joules", (basis,), amount) for basis, amount in added.joules_by_basis.items()),
    ]
    yield from (step for step in steps if math.isfinite(step[2]) and step[2] >= 0)


class PoolMetrics(Collector):
    """Exports the series of all pools: labels are namespace, pool and closed enums only (threat 11)."""

    def __init__(self, registry: CollectorRegistry, *, largest: int = LARGEST_SERIES_COUNT) -> None:
        self._pools: dict[PoolKey, PoolSeries] = {}
        self._largest = largest
        self._used = 0
        self._dropped = 0
        registry.register(self)

    def record(self, key: PoolKey, subject: Subject) -> None:
        """Takes over one cycle of one pool. Series over the global cap are dropped and counted."""
        series = self._pools.setdefault(key, PoolSeries())
        before = len(series)
        self._dropped += series.update(subject, room=self._largest - self._used + before)
        self._used += len(series) - before

    def forget(self, key: PoolKey) -> None:
        """Removes every series of a pool that was deleted."""
        series = self._pools.pop(key, None)
        self._used -= len(series) if series is not None else 0

    def collect(self) -> Iterator[Metric]:
        """All families, with the samples of each pool; one at a time, for a family of all pools is large."""
        rows: dict[str, list[tuple[PoolKey, tuple[str, ...], float]]] = {}
        for key, series in sorted(self._pools.items()):
            for name, labels, value in series.samples():
                rows.setdefault(name, []).append((key, labels, value))
        for kind, families in ((CounterMetricFamily, COUNTERS), (GaugeMetricFamily, GAUGES)):
            for name, (text, names) in families.items():
                family = kind(PREFIX + name, text, labels=("namespace", "pool", *names))
                for key, labels, value in rows.pop(name, ()):
                    family.add_metric((key.namespace, key.name, *labels), value)
                yield family
        yield CounterMetricFamily(
            "tokenfactory_dropped_series",
            "Pool series left out because all of them together passed 20,000.",
            value=self._dropped,
        )


def exposition(registry: CollectorRegistry) -> bytes:
    """The page in the Prometheus text format."""
    return generate_latest(registry)
