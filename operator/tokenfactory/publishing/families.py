"""Names, help, labels and units of the pools' series; docs/reference/metrics.md is rendered from them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PREFIX = "tokenfactory_pool_"
COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "tokens": ("Tokens served. The types are disjoint; their sum is the Total basis.", ("type",)),
        "cost": ("Cost of the GPUs held, by what they did: serving, idle or loading.", ("currency", "share")),
        "gpu_seconds": ("GPU time held, by what the GPUs did: serving, idle or loading.", ("share",)),
        "energy_joules": ("Energy on each basis. Never add the two.", ("basis",)),
    }
)
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "cost_per_million_tokens": (
            "Cost over tokens of the window. Absent below 1,000 tokens.",
            ("basis", "currency"),
        ),
        "cost_per_hour": ("Cost of an hour of the GPUs held now.", ("currency",)),
        "price_per_gpu_hour": (
            "Price of one GPU-hour, averaged over the GPUs held, and where it came from.",
            ("source", "currency"),
        ),
        "tokens_per_second": ("Rate over the window, by the same types as the counter.", ("type",)),
        "tokens_per_second_per_gpu": ("Input and output tokens a second over all GPUs held.", ()),
        "tokens_per_second_per_megawatt": (
            "Input and output tokens a second for a megawatt of that basis.",
            ("basis",),
        ),
        "gpus": (
            "GPUs: held by the pool's pods, observed by DCGM. Shares of a GPU are fractions.",
            ("kind",),
        ),
        "power_watts": (
            "Mean power. The measured one has a window of its own: at least ten DCGM sampling intervals.",
            ("basis",),
        ),
        "latency_seconds": (
            "Latency at quantile 0.5 or 0.99 over the window, of engines or, where read, of frontends.",
            ("kind", "quantile"),
        ),
        "efficiency_ratio": (
            "Throughput per GPU over the reference curve's, or the pool's own at the same concurrency.",
            ("of",),
        ),
        "acceptance_length": ("Tokens per decode step of speculative decoding: 1 + accepted / drafts.", ()),
        "optimization_state": (
            "1 for the state that each of the five optimizations is in.",
            ("optimization", "state"),
        ),
        "denominator_state": ("1 for the verdict on the throughput per GPU.", ("state",)),
        "condition": ("1 for the status that each condition has.", ("type", "status")),
        "replicas": (
            "Replicas whose page should be read (expected), and those whose page was (scraped).",
            ("kind",),
        ),
        "objective_met": (
            "1 when met, 0 when not, absent when it can't be judged.",
            ("objective",),
        ),
        "energy_coverage_ratio": ("Share of the GPUs held whose energy was read.", ()),
        "energy_valid": ("1 when measured power is known, 0 when not.", ()),
        "findings": ("Findings by cause.", ("cause",)),
        "findings_cost_per_hour": (
            "What the findings of a cause cost, to two digits; causes overlap, so never add them.",
            ("cause", "currency"),
        ),
        "last_observation_timestamp_seconds": (
            "The last cycle that had numbers. This is the freshness: the status has no heartbeat.",
            (),
        ),
    }
)

UNITS: Mapping[str, str] = MappingProxyType(
    {
        "tokens": "tokens",
        "cost": "money",
        "gpu_seconds": "GPU-seconds",
        "energy_joules": "joules",
        "cost_per_million_tokens": "money per 10⁶ tokens",
        "cost_per_hour": "money per hour",
        "price_per_gpu_hour": "money per GPU-hour",
        "tokens_per_second": "tokens/s",
        "tokens_per_second_per_gpu": "tokens/s",
        "tokens_per_second_per_megawatt": "tokens/s/MW",
        "gpus": "GPUs",
        "power_watts": "watts",
        "latency_seconds": "seconds",
        "efficiency_ratio": "ratio",
        "acceptance_length": "tokens",
        "optimization_state": "1",
        "denominator_state": "1",
        "condition": "1",
        "replicas": "replicas",
        "objective_met": "0 or 1",
        "energy_coverage_ratio": "ratio",
        "energy_valid": "0 or 1",
        "findings": "findings",
        "findings_cost_per_hour": "money per hour",
        "last_observation_timestamp_seconds": "Unix time",
    }
)
