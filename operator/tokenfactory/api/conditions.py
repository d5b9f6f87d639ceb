"""Which reasons each condition of an InferencePool may give; the enums are the model's."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from tokenfactory.model.reasons import (
    ConditionType,
    DenominatorReason,
    ObjectivesReason,
    OptimizationsReason,
    PriceReason,
    ReadyReason,
    StalledReason,
    TelemetryReason,
)

REASONS: Mapping[ConditionType, type[StrEnum]] = MappingProxyType(
    {
        ConditionType.READY: ReadyReason,
        ConditionType.STALLED: StalledReason,
        ConditionType.TELEMETRY_HEALTHY: TelemetryReason,
        ConditionType.PRICE_KNOWN: PriceReason,
        ConditionType.OPTIMIZATIONS_ACTIVE: OptimizationsReason,
        ConditionType.DENOMINATOR_HEALTHY: DenominatorReason,
        ConditionType.OBJECTIVES_MET: ObjectivesReason,
    }
)

__all__ = [
    "REASONS",
    "ConditionType",
    "DenominatorReason",
    "ObjectivesReason",
    "OptimizationsReason",
    "PriceReason",
    "ReadyReason",
    "StalledReason",
    "TelemetryReason",
]
