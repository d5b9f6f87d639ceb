"""Why findings exist. Reasons of conditions are in `tokenfactory.model.reasons`."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why a finding exists: the closed set of the metrics label `cause`."""

    THROUGHPUT_COLLAPSED = "ThroughputCollapsed"
    ENGINE_STALLED = "EngineStalled"
    EFFICIENCY_DEGRADED = "EfficiencyDegraded"
    PAID_IDLE = "PaidIdle"
    OPTIMIZATION_LOST = "OptimizationLost"
    OPTIMIZATION_INEFFECTIVE = "OptimizationIneffective"
    TELEMETRY_MISSING = "TelemetryMissing"
    PRICE_UNKNOWN = "PriceUnknown"
    PODS_SHARED = "PodsShared"
    GPUS_UNOBSERVED = "GPUsUnobserved"
