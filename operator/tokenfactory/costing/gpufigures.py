"""GPUs held and observed, and what DCGM says of their activity over the window (docs/cost-model.md §4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.ledger import GpuSample
from tokenfactory.costing.window import Span
from tokenfactory.measure import Absence, Known, Measure, Missing
from tokenfactory.model import ExporterReading, Fleet, GpuFigures, Readings

LIMITS_SOURCE = "container limits and DCGM, docs/cost-model.md §4"
DCGM_SOURCE = "DCGM"


def find_gpus(
    fleet: Fleet,
    *,
    held: Mapping[HardwareFacts, float],
    observed: Mapping[str, float],
    readings: Readings,
    samples: Iterable[GpuSample],
    span: Span,
) -> GpuFigures:
    """Shares are means over the DCGM samples in the span of the pool's own GPUs."""
    inside = [item for item in samples if span.start < item.at <= span.end]
    return GpuFigures(
        held=Known(value=sum(held.values()), basis="GPUs held", source=LIMITS_SOURCE)
        if fleet.replicas
        else Missing(Absence.NO_PODS),
        observed=_count_observed(fleet, observed, readings),
        products=tuple(sorted({facts.product for facts in held if facts.product})),
        busy_share=_mean((item.busy for item in inside), sampled=bool(inside), seconds=span.seconds),
        tensor_active_share=_mean(
            (item.tensor for item in inside), sampled=bool(inside), seconds=span.seconds
        ),
        memory_used_share=_mean((item.memory for item in inside), sampled=bool(inside), seconds=span.seconds),
        throttled_share=_mean(
            (item.throttled for item in inside), sampled=bool(inside), seconds=span.seconds
        ),
        sm_megahertz=_mean((item.megahertz for item in inside), sampled=bool(inside), seconds=span.seconds),
    )


def _count_observed(fleet: Fleet, observed: Mapping[str, float], readings: Readings) -> Measure[float]:
    """Known once any of the pool's nodes has a readable exporter page, 0 included."""
    nodes = {replica.pod.node_name for replica in fleet.replicas}
    if not nodes:
        return Missing(Absence.NO_PODS)
    if not any(isinstance(readings.exporters.get(node), ExporterReading) for node in nodes):
        return Missing(Absence.NOT_SCRAPED)
    return Known(
        value=sum(observed.values()), basis="GPUs that DCGM shows the pool's pods to hold", source="DCGM"
    )


def _mean(parts: Iterable[tuple[float, float]], *, sampled: bool, seconds: float) -> Measure[float]:
    if not sampled:
        return Missing(Absence.NOT_SCRAPED)
    total = count = 0.0
    for value, weight in parts:
        total += value
        count += weight
    if count <= 0:
        return Missing(Absence.NOT_EXPORTED)
    return Known(
        value=total / count, basis="mean over DCGM samples", source=DCGM_SOURCE, window_seconds=seconds
    )
