"""Energy on two bases, never mixed: measured boards and provisioned all-in (docs/cost-model.md §8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.ledger import EnergySpan, Presence
from tokenfactory.costing.ownership import provisioned_kilowatts
from tokenfactory.costing.tokencount import Counted
from tokenfactory.costing.window import Span, WindowView, overlap
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing, worst
from tokenfactory.model import EnergyFigures, PowerTerms
from tokenfactory.units import JOULES_PER_KILOWATT_HOUR, MILLION, WATTS_PER_KILOWATT, WATTS_PER_MEGAWATT

MEASURED_BASIS = "GPU boards, DCGM energy counters"
PROVISIONED_BASIS = "all-in provisioned power of the SKU"
SOURCE = "docs/cost-model.md §8"
FULL = 0.999
SLACK = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class PerGpu:
    """Mean watts of one GPU and tokens per second of one GPU over the same window, on one basis."""

    watts: float
    tokens: Measure[Counted]
    gpu_seconds: float
    basis: str
    grade: Grade
    seconds: float


@dataclass(frozen=True, slots=True)
class Metered:
    """What the boards' counters gained within a span: joules and GPU-seconds by pod."""

    pods: Mapping[str, tuple[float, float]]
    covered_seconds: float
    estimated: bool

    @property
    def watts_per_gpu(self) -> float | None:
        seconds = sum(seconds for _, seconds in self.pods.values())
        return sum(joules for joules, _ in self.pods.values()) / seconds if seconds > 0 else None


def sum_spans(spans: Iterable[EnergySpan], span: Span) -> Metered:
    """Joules within the span; one that straddles an edge is prorated linearly."""
    pods: dict[str, tuple[float, float]] = {}
    start, end = span.end, span.start
    estimated = False
    for piece in spans:
        fraction = overlap(piece.start, piece.end, span)
        if fraction > 0:
            joules, seconds = pods.get(piece.pod_uid, (0.0, 0.0))
            seconds += (piece.end - piece.start) * fraction * piece.gpus
            pods[piece.pod_uid] = (joules + piece.joules * fraction, seconds)
            estimated = estimated or piece.estimated
            start = min(start, max(piece.start, span.start))
            end = max(end, min(piece.end, span.end))
    return Metered(pods, max(0.0, end - start), estimated)


def held_by_pod(presence: Mapping[str, Presence], span: Span) -> dict[str, float]:
    """GPUs that each pod held, averaged over the span."""
    if span.seconds <= 0:
        return {}
    return {
        uid: item.gpus * (min(item.until, span.end) - max(item.since, span.start)) / span.seconds
        for uid, item in presence.items()
        if item.gpus > 0 and min(item.until, span.end) > max(item.since, span.start)
    }


def watts_by_pod(metered: Metered, held: Mapping[str, float]) -> dict[str, float]:
    """Mean board watts of each pod: its metered GPU time stands for all of its own.

    A pod too new to be metered counts with the mean GPU of the others (docs/cost-model.md §8).
    """
    mean = metered.watts_per_gpu
    found: dict[str, float] = {}
    for uid, gpus in held.items():
        joules, seconds = metered.pods.get(uid, (0.0, 0.0))
        if seconds > 0:
            found[uid] = joules / seconds * gpus
        elif mean is not None:
            found[uid] = mean * gpus
    return found


def find_measured(
    metered: Metered,
    *,
    least_seconds: float,
    coverage: Measure[float],
    held: Mapping[str, float],
    counted: Measure[Counted],
    window: WindowView,
    power: PowerTerms,
) -> EnergyFigures:
    """Board energy over its own window; absent below full coverage, where only the coverage is shown.

    `held` is the mean of GPUs that each pod held in the span. `pue` enters the grams of CO2 only: watts and
    joules stay those of the boards.
    """
    if isinstance(coverage, Missing):
        return _absent(coverage, coverage=coverage)
    if coverage.value < FULL:
        few = Missing(Absence.INCOMPLETE_COVERAGE, "not every GPU of the pool has a live energy counter")
        return _absent(few, coverage=coverage)
    watts, gpus = sum(watts_by_pod(metered, held).values()), sum(held.values())
    if watts <= 0 or gpus <= 0 or metered.covered_seconds < least_seconds - SLACK:
        early = Missing(Absence.WINDOW_FILLING, "fewer than two DCGM sampling intervals are covered")
        return _absent(early, coverage=coverage)
    per_gpu = PerGpu(
        watts=watts / gpus,
        tokens=counted,
        gpu_seconds=window.gpu_seconds,
        basis=MEASURED_BASIS,
        grade=Grade.ESTIMATED if metered.estimated else Grade.MEASURED,
        seconds=metered.covered_seconds,
    )
    return _figures(per_gpu, held=gpus, coverage=coverage, power=power, overhead=power.pue or 1.0)


def _absent(
    reason: Missing, *, coverage: Measure[float], watts: Measure[float] | None = None
) -> EnergyFigures:
    return EnergyFigures(
        watts=reason if watts is None else watts,
        coverage=coverage,
        joules_per_token=reason,
        tokens_per_second_per_megawatt=reason,
        grams_co2_per_million_tokens=reason,
    )


def find_provisioned(
    held: Mapping[HardwareFacts, float],
    *,
    power: PowerTerms,
    counted: Measure[Counted],
    window: WindowView,
) -> EnergyFigures:
    """All-in kW of the GPUs held now; ratios over the window's GPU time. PUE is inside already."""
    gpus = sum(held.values())
    if gpus <= 0:
        none = Missing(Absence.NO_PODS, "no GPU is held")
        return _absent(none, coverage=none)
    now, mean = mean_watts(held, power), mean_watts(window.gpu_seconds_by_facts() or held, power)
    if mean is None or now is None:
        unknown = Missing(Absence.POWER_UNKNOWN, "no all-in power is known for a GPU product of this pool")
        return _absent(unknown, coverage=unknown)
    per_gpu = PerGpu(
        watts=mean,
        tokens=counted,
        gpu_seconds=window.gpu_seconds,
        basis=PROVISIONED_BASIS,
        grade=Grade.CONFIGURED,
        seconds=window.span.seconds,
    )
    coverage = Known(value=1.0, basis="GPUs with a known power", source=SOURCE, grade=Grade.CONFIGURED)
    figures = _figures(per_gpu, held=gpus, coverage=coverage, power=power, overhead=1.0)
    watts = Known(value=now * gpus, basis=f"W, {PROVISIONED_BASIS}", source=SOURCE, grade=Grade.CONFIGURED)
    return replace(figures, watts=watts)


def mean_watts(weights: Mapping[HardwareFacts, float], power: PowerTerms) -> float | None:
    """All-in watts of one GPU, averaged over the weights; None when a product's power is not known."""
    total = area = 0.0
    for facts, weight in weights.items():
        kilowatts = provisioned_kilowatts(power, facts.product)
        if kilowatts is None:
            return None
        total += weight
        area += weight * kilowatts * WATTS_PER_KILOWATT
    return area / total if total > 0 else None


def _figures(
    per_gpu: PerGpu, *, held: float, coverage: Measure[float], power: PowerTerms, overhead: float
) -> EnergyFigures:
    def known(value: float, basis: str, grade: Grade) -> Known[float]:
        return Known(
            value=value,
            basis=f"{basis}, {per_gpu.basis}",
            source=SOURCE,
            grade=grade,
            window_seconds=per_gpu.seconds,
        )

    watts = known(per_gpu.watts * held, "W", per_gpu.grade)
    rate = _tokens_per_gpu_second(per_gpu)
    if isinstance(rate, Missing):
        return _absent(rate, coverage=coverage, watts=watts)
    grade = worst(per_gpu.grade, rate.grade)
    joules = per_gpu.watts / rate.value
    carbon: Measure[float] = Missing(Absence.NOT_CONFIGURED)
    if power.grams_co2_per_kilowatt_hour is not None:
        grams = joules * overhead * MILLION / JOULES_PER_KILOWATT_HOUR * power.grams_co2_per_kilowatt_hour
        carbon = known(grams, "gCO2 per million tokens", worst(grade, Grade.CONFIGURED))
    return EnergyFigures(
        watts=watts,
        coverage=coverage,
        joules_per_token=known(joules, "J per token (Total)", grade),
        tokens_per_second_per_megawatt=known(
            rate.value / (per_gpu.watts / WATTS_PER_MEGAWATT), "tokens/s (Total) per MW", grade
        ),
        grams_co2_per_million_tokens=carbon,
    )


def _tokens_per_gpu_second(per_gpu: PerGpu) -> Measure[float]:
    counted = per_gpu.tokens
    if isinstance(counted, Missing):
        return counted
    if not counted.value.enough:
        return Missing(Absence.NO_TRAFFIC, "fewer than 1,000 tokens in the window")
    if per_gpu.gpu_seconds <= 0 or per_gpu.watts <= 0:
        return Missing(Absence.NO_PODS, "no GPU was held in the window")
    return Known(
        value=counted.value.tokens.total / per_gpu.gpu_seconds,
        basis="tokens/s/GPU",
        source=SOURCE,
        grade=counted.value.grade,
    )
