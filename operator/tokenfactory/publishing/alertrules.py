"""The alerts, once for all: the PrometheusRule, the chart and what the operator posts are made of these.

Severities as the monitoring mixins use them: critical wakes somebody, warning is a ticket, info explains.
The judge debounces what it judges, so such a rule waits no longer than a minute (collapse detection).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tokenfactory.publishing.expressions import (
    Above,
    AllOf,
    AnyOf,
    Equals,
    Expression,
    MostlyUnused,
    Older,
    Series,
    Unless,
)

NAME_PREFIX = "TokenFactory"
SYMPTOMS = ("ThroughputCollapsed", "EngineStalled", "EfficiencyDegraded")
"""Findings that say what is wrong; the others say why."""
MINUTE = 60
GAP_SECONDS = 2 * MINUTE
STALE_SECONDS = 15 * MINUTE


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """What only Prometheus can tell: the operator as a whole is gone, and an alert then has no pool."""

    promql: str
    summary: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """One alert about a pool. `{pool}` in its texts is namespace/name.

    `condition` is the condition type whose message explains it, `graph` the family that shows it, `finding`
    the cause of the finding whose cost per hour it cites; empty: it cites what the whole pool costs.
    """

    name: str
    severity: Severity
    expression: Expression
    summary: str
    description: str
    condition: str
    graph: str
    finding: str = ""
    for_seconds: int = 0
    keep_firing_seconds: int = GAP_SECONDS
    beyond: Beyond | None = None

    @property
    def alertname(self) -> str:
        return NAME_PREFIX + self.name


def _state(name: str) -> Equals:
    return Equals(Series("denominator_state", (("state", name),)), 1)


def _condition(kind: str, status: str) -> Equals:
    return Equals(Series("condition", (("type", kind), ("status", status))), 1)


POOL_RULES = (
    AlertRule(
        name="ThroughputCollapsed",
        severity=Severity.CRITICAL,
        expression=_state("ThroughputCollapsed"),
        summary="Pool {pool} makes far fewer tokens per GPU than it used to, and requests wait.",
        description="The output per GPU of pool {pool} fell under its collapse threshold, compared with the"
        " pool's own record at the same concurrency. Each token costs a multiple of what it did.",
        finding="ThroughputCollapsed",
        condition="DenominatorHealthy",
        graph="efficiency_ratio",
    ),
    AlertRule(
        name="EngineStalled",
        severity=Severity.CRITICAL,
        expression=_state("EngineStalled"),
        summary="Pool {pool} holds requests and makes no token.",
        description="Requests run in pool {pool}, and no token came for half a window: an engine hangs.",
        finding="EngineStalled",
        condition="DenominatorHealthy",
        graph="tokens_per_second",
    ),
    AlertRule(
        name="EfficiencyDegraded",
        severity=Severity.WARNING,
        expression=_state("EfficiencyDegraded"),
        summary="Pool {pool} makes clearly fewer tokens per GPU than it used to.",
        description="The output per GPU of pool {pool} is clearly under the pool's own record at the same"
        " concurrency, and no request has to wait yet. Each token costs more than it did.",
        condition="DenominatorHealthy",
        graph="efficiency_ratio",
        finding="EfficiencyDegraded",
        for_seconds=MINUTE,
    ),
    AlertRule(
        name="CostAboveObjective",
        severity=Severity.WARNING,
        expression=Unless(Equals(Series("objective_met", (("objective", "cost"),)), 0), _state("LowDemand")),
        summary="A million tokens of pool {pool} cost more than its objective allows.",
        description="Pool {pool} has demand and is above spec.objectives.maxCostPerMillionTokens. While"
        " demand is low this alert is silent: TokenFactoryPaidIdle tells of idle GPUs.",
        condition="ObjectivesMet",
        graph="cost_per_million_tokens",
        for_seconds=5 * MINUTE,
        keep_firing_seconds=5 * MINUTE,
    ),
    AlertRule(
        name="PaidIdle",
        severity=Severity.INFO,
        expression=MostlyUnused(0.5),
        summary="More than half of the GPU time of pool {pool} was paid for and not used, for a day.",
        description="Over the last 24 hours the GPUs of pool {pool} idled or loaded for more than half of the"
        " time that they were held.",
        finding="PaidIdle",
        condition="DenominatorHealthy",
        graph="tokens_per_second",
        for_seconds=MINUTE,
        keep_firing_seconds=60 * MINUTE,
    ),
    AlertRule(
        name="OptimizationLost",
        severity=Severity.WARNING,
        expression=_condition("OptimizationsActive", "False"),
        summary="A Required optimization of pool {pool} is not active.",
        description="At least one optimization that pool {pool} requires is missing, partial, without effect,"
        " simulated or not supported by the GPU.",
        condition="OptimizationsActive",
        graph="optimization_state",
        for_seconds=MINUTE,
    ),
    AlertRule(
        name="SimulatedAcceptance",
        severity=Severity.WARNING,
        expression=Equals(Series("optimization_state", (("state", "Simulated"),)), 1),
        summary="Pool {pool} runs with simulated acceptance: its output is fiction.",
        description="A benchmark switch forces the acceptance of drafted tokens in pool {pool}. Throughput"
        " and cost of the pool mean nothing, and its answers are wrong.",
        condition="OptimizationsActive",
        graph="acceptance_length",
        for_seconds=MINUTE,
    ),
    AlertRule(
        name="TelemetryMissing",
        severity=Severity.WARNING,
        expression=_condition("TelemetryHealthy", "False"),
        summary="Pool {pool} is not seen completely.",
        description="Replicas or GPUs of pool {pool} can't be read, or no pod matches its selector. Until"
        " they can, its numbers cover less than the pool, and a collapse may go unseen.",
        condition="TelemetryHealthy",
        graph="replicas",
        for_seconds=5 * MINUTE,
    ),
    AlertRule(
        name="PriceUnknown",
        severity=Severity.WARNING,
        expression=_condition("PriceKnown", "False"),
        summary="Pool {pool} has no price, so it has no cost.",
        description="No price source gives an acceptable price for the GPUs of pool {pool}. Tokens and"
        " efficiency are still measured, money is absent.",
        condition="PriceKnown",
        graph="price_per_gpu_hour",
        for_seconds=5 * MINUTE,
    ),
    AlertRule(
        name="EnergyInvalid",
        severity=Severity.INFO,
        expression=AllOf((Equals(Series("energy_valid"), 0), Above(Series("energy_coverage_ratio"), 0))),
        summary="The measured energy of pool {pool} is not valid.",
        description="Some GPUs of pool {pool} are read and others are not, so there is no measured power of"
        " the pool. Provisioned power is still shown.",
        condition="TelemetryHealthy",
        graph="energy_coverage_ratio",
        for_seconds=15 * MINUTE,
        keep_firing_seconds=5 * MINUTE,
    ),
    AlertRule(
        name="OperatorStale",
        severity=Severity.CRITICAL,
        expression=AnyOf(
            (
                Older(Series("last_observation_timestamp_seconds"), STALE_SECONDS),
                _condition("Ready", "Unknown"),
            )
        ),
        summary="The numbers of pool {pool} are stale: a collapse would go unseen.",
        description="The operator runs, and has not completed a look at pool {pool} for 15 minutes, or fails"
        " in every one.",
        condition="Ready",
        graph="last_observation_timestamp_seconds",
        for_seconds=5 * MINUTE,
        beyond=Beyond(
            promql=f"time() - max(tokenfactory_last_sweep_timestamp_seconds) > {STALE_SECONDS}\n"
            "or absent_over_time(tokenfactory_last_sweep_timestamp_seconds[5m])",
            summary="No operator looks at the pools: no collapse would be seen.",
            description="No replica of the operator leads, its sweeps don't end, or Prometheus does not"
            " reach it.",
        ),
    ),
)
