"""Names, help and labels of the pools' series, as design and docs list them (design: Metrics)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PREFIX = "tokenfactory_pool_"
COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "tokens": ("Tokens served; the types are disjoint and add up to the Total basis.", ("type",)),
        "cost": ("Cost of the GPUs held, by what they did.", ("currency", "share")),
        "gpu_seconds": ("GPU-seconds held, by what the GPUs did.", ("share",)),
        "energy_joules": ("Joules used; the two bases must not be mixed.", ("basis",)),
    }
)
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "cost_per_million_tokens": ("Cost of a million tokens over the window.", ("basis", "currency")),
        "cost_per_hour": ("Cost of an hour of the GPUs held.", ("currency",)),
        "price_per_gpu_hour": ("Price of a GPU-hour and where it came from.", ("source", "currency")),
        "tokens_per_second": ("Tokens a second over the window.", ("type",)),
        "tokens_per_second_per_gpu": ("Input and output tokens a second over all GPUs held.", ()),
        "tokens_per_second_per_megawatt": ("Input and output tokens a second for a megawatt.", ("basis",)),
        "gpus": ("GPUs that the pool's pods hold, and that DCGM observed.", ("kind",)),
        "power_watts": ("Mean power over the window.", ("basis",)),
        "latency_seconds": ("Latency quantiles over the window.", ("kind", "quantile")),
        "efficiency_ratio": ("Throughput per GPU over a reference's or the pool's own.", ("of",)),
        "acceptance_length": ("Tokens per decode step of speculative decoding.", ()),
        "optimization_state": ("1 for the state that an optimization is in.", ("optimization", "state")),
        "denominator_state": ("1 for the state of the pool's throughput per GPU.", ("state",)),
        "condition": ("1 for the status that a condition has.", ("type", "status")),
        "replicas": ("Replicas whose page should be read, and was.", ("kind",)),
        "objective_met": ("1 when an objective is met, 0 when not.", ("objective",)),
        "energy_coverage_ratio": ("Share of the GPUs held whose energy was read.", ()),
        "energy_valid": ("1 when measured power is known, 0 when not.", ()),
        "findings": ("Findings by cause.", ("cause",)),
        "last_observation_timestamp_seconds": ("Unix time of the last cycle with numbers.", ()),
    }
)
