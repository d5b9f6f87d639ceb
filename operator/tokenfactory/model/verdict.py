"""What it means: optimizations, denominator, conditions and findings."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tokenfactory.measure import Measure
from tokenfactory.model.economics import UNSET
from tokenfactory.model.requests import OptimizationName, Policy


class OptimizationState(StrEnum):
    ACTIVE = "Active"
    PARTIAL = "Partial"
    INEFFECTIVE = "Ineffective"
    MISSING = "Missing"
    SIMULATED = "Simulated"
    UNSUPPORTED = "Unsupported"
    UNVERIFIABLE = "Unverifiable"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationRow:
    """One row of `status.optimizations`. `acceptance_length` only where speculation ran.

    `saving` is per million tokens of the Total basis, on rows that ran only (docs/cost-model.md §12).
    """

    name: OptimizationName
    policy: Policy
    state: OptimizationState
    declared: str
    evidence: str
    observed: str = ""
    replicas_active: int = 0
    replicas_applicable: int = 0
    acceptance_length: float | None = None
    saving: Measure[Decimal] = UNSET


class DenominatorState(StrEnum):
    """Reasons of DenominatorHealthy (reference: collapse detection)."""

    HEALTHY = "Healthy"
    LOW_DEMAND = "LowDemand"
    SATURATED = "Saturated"
    EFFICIENCY_DEGRADED = "EfficiencyDegraded"
    THROUGHPUT_COLLAPSED = "ThroughputCollapsed"
    ENGINE_STALLED = "EngineStalled"
    WARMING_UP = "WarmingUp"
    BLIND = "Blind"
    SUSPENDED = "Suspended"


class Truth(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    type: str
    status: Truth
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a platform team should look at. `cost_per_hour` orders findings, None when not known."""

    cause: str
    message: str
    cost_per_hour: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveResult:
    """One objective; `met` None when it can't be judged."""

    objective: str
    met: bool | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What judgement makes of a cycle; `baseline_lost` lets WarmingUp replace a published verdict."""

    rows: tuple[OptimizationRow, ...]
    denominator: DenominatorState
    denominator_message: str
    conditions: tuple[Condition, ...]
    findings: tuple[Finding, ...] = ()
    objectives: tuple[ObjectiveResult, ...] = ()
    of_baseline: Measure[float] = UNSET
    load: Measure[float] = UNSET
    baseline_lost: bool = False
