"""The numbers of a pool's status, section by section. What is not known is left out."""

from __future__ import annotations

from typing import Any

from tokenfactory.measure import Known, Measure
from tokenfactory.model import (
    CostBasis,
    Economics,
    EnergyFigures,
    Histogram,
    Quantiles,
    Tokens,
    Verdict,
)
from tokenfactory.publishing.text import clean, number, present
from tokenfactory.units import WATTS_PER_KILOWATT

PRODUCTS_SHOWN = 16
PRODUCT_BYTES = 128


def gpus(economics: Economics) -> dict[str, Any]:
    """`status.gpus`: GPUs held (docs/cost-model.md §4), and shares from 0 to 1 over the window."""
    figures = economics.gpus
    return present(
        {
            "held": number(figures.held),
            "observed": number(figures.observed),
            "products": [clean(name, limit=PRODUCT_BYTES) for name in figures.products[:PRODUCTS_SHOWN]],
            "busyShare": number(figures.busy_share),
            "tensorActiveShare": number(figures.tensor_active_share),
            "memoryUsedShare": number(figures.memory_used_share),
            "throttledShare": number(figures.throttled_share),
        }
    )


def cost(economics: Economics) -> dict[str, Any]:
    """`status.cost`: money in the factory's currency (docs/cost-model.md §5, §6); empty without a price."""
    quote, figures = economics.price, economics.cost
    if not isinstance(quote.per_gpu_hour, Known):
        return {}
    per_million = figures.per_million
    return present(
        {
            "currency": clean(quote.currency, limit=3),
            "perMillionTokens": number(per_million.get(CostBasis.TOTAL)),
            "perMillionTokensUncached": number(per_million.get(CostBasis.TOTAL_UNCACHED)),
            "allCostPerMillionOutputTokens": number(per_million.get(CostBasis.OUTPUT)),
            "perMillionInputTokens": number(figures.per_million_input),
            "perMillionOutputTokens": number(figures.per_million_output),
            "perHour": number(figures.per_hour),
            "perGPUHour": number(quote.per_gpu_hour),
            "priceSource": quote.source.value if quote.source else None,
            "priceAsOf": clean(quote.as_of, limit=10),
            "idleShare": number(figures.idle_share),
            "projectedPerMonth": number(figures.projected_per_month),
            "grade": figures.grade.value,
        }
    )


def throughput(economics: Economics) -> dict[str, Any]:
    """`status.throughput`: rates over the window, Total basis where no type is named (§15)."""
    figures = economics.throughput
    rates = figures.per_second
    return present(
        {
            **(_rates(rates.value) if isinstance(rates, Known) else {}),
            "tokensPerSecondPerGPU": number(figures.per_gpu),
            "cachedInputShare": number(figures.cached_input_share),
            "tokensPerSecondPerUser": number(figures.per_user),
            "concurrency": number(figures.concurrency),
        }
    )


def _rates(tokens: Tokens) -> dict[str, str | None]:
    return {
        "tokensPerSecond": number(tokens.total),
        "inputTokensPerSecond": number(tokens.uncached_input + tokens.cached_input),
        "outputTokensPerSecond": number(tokens.output),
    }


def latency(economics: Economics) -> dict[str, Any]:
    """`status.latency`: seconds at the median and the 99th percentile over the window."""
    names = {
        "timeToFirstTokenSeconds": Histogram.TIME_TO_FIRST_TOKEN,
        "interTokenLatencySeconds": Histogram.INTER_TOKEN_LATENCY,
        "queueSeconds": Histogram.QUEUE,
    }
    found = {name: economics.latency.get(histogram, Quantiles()) for name, histogram in names.items()}
    return present(
        {name: present({"p50": number(at.p50), "p99": number(at.p99)}) for name, at in found.items()}
    )


def energy(economics: Economics) -> dict[str, Any]:
    """`status.energy`: two bases that are never mixed (docs/cost-model.md §8)."""
    measured, provisioned = economics.measured, economics.provisioned
    return present(
        {
            "measured": present(
                {
                    "watts": number(measured.watts),
                    "coverage": number(measured.coverage) if isinstance(measured.watts, Known) else None,
                    **_per_token(measured),
                }
            ),
            "provisioned": present(
                {
                    "kilowatts": _scaled(provisioned.watts, 1 / WATTS_PER_KILOWATT),
                    **_per_token(provisioned),
                }
            ),
        }
    )


def _per_token(figures: EnergyFigures) -> dict[str, str | None]:
    return {
        "joulesPerToken": number(figures.joules_per_token),
        "tokensPerSecondPerMegawatt": number(figures.tokens_per_second_per_megawatt),
        "gramsCO2PerMillionTokens": number(figures.grams_co2_per_million_tokens),
    }


def efficiency(economics: Economics, verdict: Verdict) -> dict[str, Any]:
    """`status.efficiency`: ratios to a reference curve (§9) and to the pool's own record (§10)."""
    return present(
        {
            "ofReference": number(economics.of_reference),
            "ofBaseline": number(verdict.of_baseline),
            "load": number(verdict.load),
        }
    )


def _scaled(measure: Measure[float], factor: float) -> str | None:
    return number(measure.value * factor) if isinstance(measure, Known) else None
