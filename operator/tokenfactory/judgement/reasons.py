"""Why findings exist. Reasons of conditions are in `tokenfactory.model.reasons`."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why a finding exists: the closed set of the metrics label `cause`.

    The first three say what is wrong, with its cost; those from GPU_ERRORS to UNKNOWN say why.
    """

    THROUGHPUT_COLLAPSED = "ThroughputCollapsed"
    ENGINE_STALLED = "EngineStalled"
    EFFICIENCY_DEGRADED = "EfficiencyDegraded"
    GPU_ERRORS = "GPUErrors"
    TRANSFERS_FAILING = "TransfersFailing"
    ACCEPTANCE_FELL = "AcceptanceFell"
    OFFLOAD_STOPPED = "OffloadStopped"
    CLOCKS_THROTTLED = "ClocksThrottled"
    SLOW_REPLICA = "SlowReplica"
    CACHE_HITS_FELL = "CacheHitsFell"
    PROMPTS_LONGER = "PromptsLonger"
    PREEMPTIONS = "Preemptions"
    REPLICAS_LOADING = "ReplicasLoading"
    ROLLOUT = "Rollout"
    UNKNOWN = "Unknown"
    PAID_IDLE = "PaidIdle"
    OPTIMIZATION_LOST = "OptimizationLost"
    OPTIMIZATION_INEFFECTIVE = "OptimizationIneffective"
    TELEMETRY_MISSING = "TelemetryMissing"
    PRICE_UNKNOWN = "PriceUnknown"
    PODS_SHARED = "PodsShared"
    GPUS_UNOBSERVED = "GPUsUnobserved"
    FRONTENDS_DISAGREE = "FrontendsDisagree"
