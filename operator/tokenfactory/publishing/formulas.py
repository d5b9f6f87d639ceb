"""Every published number with its unit, its formula and its section of docs/cost-model.md: data only.

A formula is written in the names of the inputs that stand beside it, in ×, ÷, − and +, so that anybody can
evaluate it by hand. One in words has no inputs to be evaluated from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tokenfactory.measure import Measure
from tokenfactory.model import CostBasis, Economics, Histogram, Quantiles, Verdict

Pick = Callable[[Economics, Verdict], Measure[Any]]
MONEY = "{currency}"
SAMPLES = "mean over the DCGM samples of the window, GPUs of the pool only"
QUANTILE = "quantile {q} of the bucket gains over the window, interpolated within a bucket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """One number of the status, by its path. `scale` turns the figure into the status' unit."""

    path: str
    pick: Pick
    unit: str
    text: str
    section: str
    scale: float = 1.0


def _latency(name: str, histogram: Histogram) -> tuple[Formula, ...]:
    def at(quantile: str) -> Pick:
        return lambda e, _: getattr(e.latency.get(histogram, Quantiles()), quantile)

    return tuple(
        Formula(
            path=f"latency.{name}.{quantile}",
            pick=at(quantile),
            unit="seconds",
            text=QUANTILE.format(q=share),
            section="§15",
        )
        for quantile, share in (("p50", "0.5"), ("p99", "0.99"))
    )


def _energy(basis: str, per_gpu: str, rate: str) -> tuple[Formula, ...]:
    def of(name: str) -> Pick:
        return lambda e, _: getattr(getattr(e, basis), name)

    joules = f"{per_gpu} ÷ ({rate})"
    overhead = "pue × " if basis == "measured" else ""
    return (
        Formula(
            path=f"energy.{basis}.joulesPerToken",
            pick=of("joules_per_token"),
            unit="J per token",
            text=joules,
            section="§8",
        ),
        Formula(
            path=f"energy.{basis}.tokensPerSecondPerMegawatt",
            pick=of("tokens_per_second_per_megawatt"),
            unit="tokens/s per MW",
            text=f"1000000 ÷ ({joules})",
            section="§8",
        ),
        Formula(
            path=f"energy.{basis}.gramsCO2PerMillionTokens",
            pick=of("grams_co2_per_million_tokens"),
            unit="g CO2e per million tokens",
            text=f"{joules} × {overhead}gramsCO2PerKilowattHour ÷ 3.6",
            section="§8",
        ),
    )


COST = (
    Formula(
        path="cost.perMillionTokens",
        pick=lambda e, _: e.cost.per_million[CostBasis.TOTAL],
        unit=f"{MONEY} per million tokens (Total)",
        text="windowCost ÷ (inputTokens + outputTokens) × 1000000",
        section="§6",
    ),
    Formula(
        path="cost.perMillionTokensUncached",
        pick=lambda e, _: e.cost.per_million[CostBasis.TOTAL_UNCACHED],
        unit=f"{MONEY} per million tokens (TotalUncached)",
        text="windowCost ÷ (inputTokens − cachedInputTokens + outputTokens) × 1000000",
        section="§6",
    ),
    Formula(
        path="cost.allCostPerMillionOutputTokens",
        pick=lambda e, _: e.cost.per_million[CostBasis.OUTPUT],
        unit=f"{MONEY} per million output tokens, all cost",
        text="windowCost ÷ outputTokens × 1000000",
        section="§6",
    ),
    Formula(
        path="cost.perMillionInputTokens",
        pick=lambda e, _: e.cost.per_million_input,
        unit=f"{MONEY} per million input tokens, input cost",
        text="inputCost ÷ inputTokens × 1000000",
        section="§7",
    ),
    Formula(
        path="cost.perMillionOutputTokens",
        pick=lambda e, _: e.cost.per_million_output,
        unit=f"{MONEY} per million output tokens, output cost",
        text="outputCost ÷ outputTokens × 1000000",
        section="§7",
    ),
    Formula(
        path="cost.perHour",
        pick=lambda e, _: e.cost.per_hour,
        unit=f"{MONEY} per hour",
        text="costPerHourOfGPUsHeld",
        section="§6",
    ),
    Formula(
        path="cost.perGPUHour",
        pick=lambda e, _: e.price.per_gpu_hour,
        unit=f"{MONEY} per GPU-hour",
        text="costPerHourOfGPUsHeld ÷ gpusHeld",
        section="§5",
    ),
    Formula(
        path="cost.idleShare",
        pick=lambda e, _: e.cost.idle_share,
        unit="share",
        text="(gpuSecondsIdle + gpuSecondsLoading) ÷ gpuSecondsHeld",
        section="§15",
    ),
    Formula(
        path="cost.projectedPerMonth",
        pick=lambda e, _: e.cost.projected_per_month,
        unit=f"{MONEY} per month",
        text="windowCost ÷ (inputTokens + outputTokens) × tokensPerMonth",
        section="§15",
    ),
)

ALL_COVERED, ESTIMATED = "{0} ÷ windowSeconds", "{0} ÷ gpuSecondsHeld × gpusHeld"


def rates(template: str) -> tuple[Formula, ...]:
    """Rates: over the window's seconds, or by covered GPU time while a replica is not covered (§15)."""
    return (
        Formula(
            path="throughput.tokensPerSecond",
            pick=lambda e, _: e.throughput.per_second,
            unit="tokens/s (Total)",
            text=template.format("(inputTokens + outputTokens)"),
            section="§15",
        ),
        Formula(
            path="throughput.inputTokensPerSecond",
            pick=lambda e, _: e.throughput.per_second,
            unit="input tokens/s, cached ones included",
            text=template.format("inputTokens"),
            section="§15",
        ),
        Formula(
            path="throughput.outputTokensPerSecond",
            pick=lambda e, _: e.throughput.per_second,
            unit="output tokens/s",
            text=template.format("outputTokens"),
            section="§15",
        ),
        Formula(
            path="throughput.concurrency",
            pick=lambda e, _: e.throughput.concurrency,
            unit="sequences",
            text=template.format("interTokenSeconds"),
            section="§15",
        ),
    )


OTHERS = (
    Formula(
        path="throughput.tokensPerSecondPerGPU",
        pick=lambda e, _: e.throughput.per_gpu,
        unit="tokens/s per GPU (Total)",
        text="(inputTokens + outputTokens) ÷ gpuSecondsHeld",
        section="§15",
    ),
    Formula(
        path="throughput.cachedInputShare",
        pick=lambda e, _: e.throughput.cached_input_share,
        unit="share",
        text="cachedInputTokens ÷ inputTokens",
        section="§15",
    ),
    Formula(
        path="throughput.tokensPerSecondPerUser",
        pick=lambda e, _: e.throughput.per_user,
        unit="output tokens/s of one sequence",
        text="outputTokensAsMade ÷ interTokenSeconds",
        section="§15",
    ),
    Formula(
        path="energy.measured.watts",
        pick=lambda e, _: e.measured.watts,
        unit="W of GPU boards",
        text="measuredWatts",
        section="§8",
    ),
    Formula(
        path="energy.measured.coverage",
        pick=lambda e, _: e.measured.coverage,
        unit="share",
        text="GPUs with a live energy counter ÷ GPUs held, new pods left out",
        section="§8",
    ),
    *_energy("measured", "measuredWatts ÷ energyWindowGPUs", "energyWindowTokens ÷ energyWindowGPUSeconds"),
    Formula(
        path="energy.provisioned.kilowatts",
        pick=lambda e, _: e.provisioned.watts,
        unit="kW, all-in",
        text="provisionedWatts ÷ 1000",
        section="§8",
        scale=1e-3,
    ),
    *_energy("provisioned", "provisionedWattsPerGPU", "(inputTokens + outputTokens) ÷ gpuSecondsHeld"),
    Formula(
        path="efficiency.ofReference",
        pick=lambda e, _: e.of_reference,
        unit="ratio",
        text="(inputTokens + outputTokens) ÷ gpuSecondsHeld ÷ referenceTokensPerSecondPerGPU",
        section="§9",
    ),
    Formula(
        path="efficiency.ofBaseline",
        pick=lambda _, v: v.of_baseline,
        unit="ratio",
        text="throughput per ready GPU over the pool's own at the same concurrency",
        section="§10",
    ),
    Formula(
        path="efficiency.load",
        pick=lambda _, v: v.load,
        unit="ratio",
        text="concurrency over the one at which the baseline stops growing",
        section="§15",
    ),
    Formula(
        path="gpus.held",
        pick=lambda e, _: e.gpus.held,
        unit="GPUs",
        text="gpusHeld",
        section="§4",
    ),
    Formula(
        path="gpus.observed",
        pick=lambda e, _: e.gpus.observed,
        unit="GPUs",
        text="GPUs that DCGM shows the pool's pods to hold",
        section="§4",
    ),
    *(
        Formula(path=f"gpus.{path}", pick=pick, unit="share", text=SAMPLES, section="§15")
        for path, pick in (
            ("busyShare", lambda e, _: e.gpus.busy_share),
            ("tensorActiveShare", lambda e, _: e.gpus.tensor_active_share),
            ("memoryUsedShare", lambda e, _: e.gpus.memory_used_share),
            ("throttledShare", lambda e, _: e.gpus.throttled_share),
        )
    ),
    *_latency("timeToFirstTokenSeconds", Histogram.TIME_TO_FIRST_TOKEN),
    *_latency("interTokenLatencySeconds", Histogram.INTER_TOKEN_LATENCY),
    *_latency("queueSeconds", Histogram.QUEUE),
)
