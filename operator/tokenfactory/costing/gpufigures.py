"""GPUs held and observed, and what DCGM says of their activity over the window (docs/cost-model.md §4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.ledger import Fault, GpuSample, PodSample, Tally
from tokenfactory.costing.window import Span
from tokenfactory.measure import Absence, Known, Measure, Missing
from tokenfactory.model import BoardFigures, ExporterReading, Fleet, FleetReason, GpuFigures, Readings

LIMITS_SOURCE = "container limits, ResourceClaims and DCGM, docs/cost-model.md §4"
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
        held=_count_held(fleet, held),
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


def find_boards(
    samples: Iterable[GpuSample], faults: Iterable[Fault], span: Span
) -> tuple[BoardFigures, ...]:
    """One row per pod of which a page told something in the span, sorted by UID."""
    sums: dict[str, PodSample] = {}
    for sample in samples:
        if span.start < sample.at <= span.end:
            for part in sample.pods:
                before = sums.get(part.pod_uid)
                sums[part.pod_uid] = before.plus(part) if before else part
    xids: dict[str, set[int]] = {}
    for fault in faults:
        if fault.at > span.start:
            xids.setdefault(fault.pod_uid, set()).add(fault.xid)
    return tuple(
        BoardFigures(
            pod_uid=uid,
            throttled_share=_share(total.throttled, total.explained),
            power_capped_share=_share(total.power_capped, total.explained),
            thermal_share=_share(total.thermal, total.explained),
            sm_megahertz=_share(total.clocks, total.clocked),
            xids=tuple(sorted(xids.get(uid, ()))),
        )
        for uid in sorted({*sums, *xids})
        for total in (sums.get(uid, PodSample(uid)),)
    )


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _count_held(fleet: Fleet, held: Mapping[HardwareFacts, float]) -> Measure[float]:
    """None is not zero where the pods' claims could not be read."""
    if not fleet.replicas:
        return Missing(Absence.NO_PODS)
    if not held and any(problem.reason is FleetReason.CLAIMS_NOT_READ for problem in fleet.problems):
        return Missing(Absence.CLAIMS_NOT_READ)
    return Known(value=sum(held.values()), basis="GPUs held", source=LIMITS_SOURCE)


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


def _mean(parts: Iterable[Tally], *, sampled: bool, seconds: float) -> Measure[float]:
    if not sampled:
        return Missing(Absence.NOT_SCRAPED)
    total, count = 0.0, 0
    for value, of in parts:
        total += value
        count += of
    if count <= 0:
        return Missing(Absence.NOT_EXPORTED)
    return Known(
        value=total / count, basis="mean over DCGM samples", source=DCGM_SOURCE, window_seconds=seconds
    )
