"""Condition types of an InferencePool, and one enum of reasons for each of them."""

from __future__ import annotations

from enum import StrEnum

from tokenfactory.model.verdict import DenominatorState


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
    CLAIMS_NOT_READ = "ClaimsNotRead"
    HOST_NETWORK_REFUSED = "HostNetworkRefused"
    TARGETS_TRUNCATED = "TargetsTruncated"
    PROMETHEUS_UNAVAILABLE = "PrometheusUnavailable"
    POOL_REF_NOT_FOUND = "PoolRefNotFound"
    POOL_REF_KIND_MISSING = "PoolRefKindMissing"
    SUSPENDED = "Suspended"
    INVALID_SPEC = "InvalidSpec"
    NOT_PROCESSED = "NotProcessed"


class PriceReason(StrEnum):
    """True: the source, or why the pool's own price was passed over. Unknown: InvalidSpec, NotProcessed."""

    POOL = "Pool"
    FACTORY = "Factory"
    OPENCOST = "OpenCost"
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

    HEALTHY = DenominatorState.HEALTHY.value
    LOW_DEMAND = DenominatorState.LOW_DEMAND.value
    SATURATED = DenominatorState.SATURATED.value
    EFFICIENCY_DEGRADED = DenominatorState.EFFICIENCY_DEGRADED.value
    THROUGHPUT_COLLAPSED = DenominatorState.THROUGHPUT_COLLAPSED.value
    ENGINE_STALLED = DenominatorState.ENGINE_STALLED.value
    WARMING_UP = DenominatorState.WARMING_UP.value
    BLIND = DenominatorState.BLIND.value
    SUSPENDED = DenominatorState.SUSPENDED.value
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
