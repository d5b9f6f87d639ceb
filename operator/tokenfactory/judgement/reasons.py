"""The reasons that judgement gives, one enum per condition, and the causes of findings.

They are the reasons that the API lists; a test holds the two lists together.
"""

from __future__ import annotations

from enum import StrEnum


class ConditionType(StrEnum):
    """Conditions of an InferencePool, in the order in which the status lists them."""

    READY = "Ready"
    STALLED = "Stalled"
    TELEMETRY_HEALTHY = "TelemetryHealthy"
    PRICE_KNOWN = "PriceKnown"
    OPTIMIZATIONS_ACTIVE = "OptimizationsActive"
    DENOMINATOR_HEALTHY = "DenominatorHealthy"
    OBJECTIVES_MET = "ObjectivesMet"


class ReadyReason(StrEnum):
    """True: StatusPublished. Unknown: NotProcessed, InternalError. False: the others."""

    STATUS_PUBLISHED = "StatusPublished"
    INVALID_SPEC = "InvalidSpec"
    POOL_REF_NOT_FOUND = "PoolRefNotFound"
    POOL_REF_KIND_MISSING = "PoolRefKindMissing"
    NOT_PROCESSED = "NotProcessed"
    INTERNAL_ERROR = "InternalError"


class StalledReason(StrEnum):
    """False: Serving. True: the others; only InvalidSpec waits for an edit."""

    SERVING = "Serving"
    INVALID_SPEC = "InvalidSpec"
    POOL_REF_NOT_FOUND = "PoolRefNotFound"
    POOL_REF_KIND_MISSING = "PoolRefKindMissing"


class TelemetryReason(StrEnum):
    """True: AllFresh. Unknown: Suspended, InvalidSpec, NotProcessed. False: the others."""

    ALL_FRESH = "AllFresh"
    SCRAPE_FAILED = "ScrapeFailed"
    METRICS_DISABLED = "MetricsDisabled"
    NO_PODS = "NoPods"
    ENGINE_NOT_SUPPORTED = "EngineNotSupported"
    DCGM_MISSING = "DCGMMissing"
    HOST_NETWORK_REFUSED = "HostNetworkRefused"
    TARGETS_TRUNCATED = "TargetsTruncated"
    POOL_REF_NOT_FOUND = "PoolRefNotFound"
    POOL_REF_KIND_MISSING = "PoolRefKindMissing"
    SUSPENDED = "Suspended"
    INVALID_SPEC = "InvalidSpec"
    NOT_PROCESSED = "NotProcessed"


class PriceReason(StrEnum):
    """True: the source, or why the pool's own price was passed over. Unknown: InvalidSpec, NotProcessed."""

    POOL = "Pool"
    FACTORY = "Factory"
    REFERENCE = "Reference"
    POOL_PRICE_FORBIDDEN = "PoolPriceForbidden"
    POOL_PRICE_OUT_OF_BOUNDS = "PoolPriceOutOfBounds"
    NO_PRICE = "NoPrice"
    FACTORY_NOT_FOUND = "FactoryNotFound"
    CURRENCY_MISMATCH = "CurrencyMismatch"
    PRICE_OUT_OF_BOUNDS = "PriceOutOfBounds"
    INVALID_SPEC = "InvalidSpec"
    NOT_PROCESSED = "NotProcessed"


class OptimizationsReason(StrEnum):
    """True: AllRequiredActive, NoneRequired. Otherwise the state of the worst Required row."""

    ALL_REQUIRED_ACTIVE = "AllRequiredActive"
    NONE_REQUIRED = "NoneRequired"
    MISSING = "Missing"
    PARTIAL = "Partial"
    INEFFECTIVE = "Ineffective"
    SIMULATED = "Simulated"
    UNSUPPORTED = "Unsupported"
    UNVERIFIABLE = "Unverifiable"
    UNKNOWN = "Unknown"
    SUSPENDED = "Suspended"
    INVALID_SPEC = "InvalidSpec"
    NOT_PROCESSED = "NotProcessed"


class DenominatorReason(StrEnum):
    """The states of the judge (model.DenominatorState), and the two of a spec that was not judged."""

    HEALTHY = "Healthy"
    LOW_DEMAND = "LowDemand"
    SATURATED = "Saturated"
    EFFICIENCY_DEGRADED = "EfficiencyDegraded"
    THROUGHPUT_COLLAPSED = "ThroughputCollapsed"
    ENGINE_STALLED = "EngineStalled"
    WARMING_UP = "WarmingUp"
    BLIND = "Blind"
    SUSPENDED = "Suspended"
    INVALID_SPEC = "InvalidSpec"
    NOT_PROCESSED = "NotProcessed"


class ObjectivesReason(StrEnum):
    """True: AllMet. False: the first unmet one. Unknown: the others."""

    ALL_MET = "AllMet"
    COST_TOO_HIGH = "CostTooHigh"
    THROUGHPUT_TOO_LOW = "ThroughputTooLow"
    TIME_TO_FIRST_TOKEN_TOO_LONG = "TimeToFirstTokenTooLong"
    INTER_TOKEN_LATENCY_TOO_LONG = "InterTokenLatencyTooLong"
    CANNOT_BE_JUDGED = "CannotBeJudged"
    SUSPENDED = "Suspended"
    INVALID_SPEC = "InvalidSpec"
    NOT_PROCESSED = "NotProcessed"


class Cause(StrEnum):
    """Why a finding exists: the closed set of the metrics label `cause`."""

    THROUGHPUT_COLLAPSED = "ThroughputCollapsed"
    PAID_IDLE = "PaidIdle"
    OPTIMIZATION_LOST = "OptimizationLost"
    OPTIMIZATION_INEFFECTIVE = "OptimizationIneffective"
    TELEMETRY_MISSING = "TelemetryMissing"
    PRICE_UNKNOWN = "PriceUnknown"
    PODS_SHARED = "PodsShared"
    GPUS_UNOBSERVED = "GPUsUnobserved"
