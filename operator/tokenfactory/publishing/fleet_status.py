"""The `.status` document of a TokenFactory: all pools that use it, every pod counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tokenfactory.api.conditions import ConditionType, ReadyReason, StalledReason
from tokenfactory.errors import InvalidSpec
from tokenfactory.measure import Known, value_of
from tokenfactory.model import (
    PROMETHEUS_ADVICE,
    PROMETHEUS_REACHABLE,
    Condition,
    DenominatorState,
    Economics,
    Factory,
    FailureReason,
    PodFigures,
    PoolKey,
    PrometheusReason,
    Truth,
    Verdict,
)
from tokenfactory.publishing.gate import Draft
from tokenfactory.publishing.serving import by_cost, finding_row
from tokenfactory.publishing.status import conditions, fit
from tokenfactory.publishing.text import clean, number, present, timestamp
from tokenfactory.units import MILLION, SECONDS_PER_HOUR, WATTS_PER_MEGAWATT, decimal_of

FINDINGS_SHOWN = 10
TOKEN_FLOOR = 1000
EARLY = frozenset({"observedGeneration", "conditions", "observationTime", "pools"})
COUNTED = {
    DenominatorState.HEALTHY: "healthy",
    DenominatorState.LOW_DEMAND: "lowDemand",
    DenominatorState.SATURATED: "saturated",
    DenominatorState.EFFICIENCY_DEGRADED: "efficiencyDegraded",
    DenominatorState.THROUGHPUT_COLLAPSED: "throughputCollapsed",
    DenominatorState.ENGINE_STALLED: "engineStalled",
    DenominatorState.WARMING_UP: "warmingUp",
    DenominatorState.BLIND: "blind",
    DenominatorState.SUSPENDED: "suspended",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """The latest cycle of one pool that uses the factory."""

    key: PoolKey
    economics: Economics | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """What a factory's status is made from. `pools` counts also those that were not cycled yet.

    `prometheus` is how the Prometheus that the factory names answers; None: it names none.
    """

    factory: Factory
    reports: tuple[PoolReport, ...]
    pools: int
    now: float
    prometheus: PrometheusReason | None = None

    @property
    def complete(self) -> bool:
        """Whether every pool was cycled and has a full window, or none to fill."""
        return len(self.reports) >= self.pools and all(
            report.economics is None or report.economics.window_full for report in self.reports
        )


def render_fleet(roll: Roll, previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """The whole status of a TokenFactory. `previous` is the published one.

    Sums are over the pods whose figure is known, ratios over those where both are; the message of Ready says
    how many pools have figures. $/Mtok is all cost over all tokens, Total basis (docs/cost-model.md §6).
    """
    pods = tuple(each_pod_once(roll.reports))
    document = present(
        {
            "observedGeneration": roll.factory.generation,
            "conditions": _conditions(roll, previous),
            "observationTime": timestamp(roll.now),
            "pools": roll.pools,
            "gpus": present({"held": number(sum(pod.gpus for pod in pods)) if roll.reports else None}),
            "throughput": present({"tokensPerSecond": number(_sum(pod.tokens_per_second for pod in pods))}),
            "cost": _cost(roll, pods),
            "energy": _energy(roll.factory, pods),
            "verdicts": _verdicts(roll.reports),
            "findings": _findings(roll.reports),
        }
    )
    return fit(document)


def render_refused(
    problem: InvalidSpec, *, generation: int, now: float, previous: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The status of a TokenFactory that can't be used until it is edited: no numbers."""
    rows = (
        Condition(
            type=ConditionType.READY,
            status=Truth.FALSE,
            reason=ReadyReason.INVALID_SPEC,
            message=f"{problem.field}: {problem.message}",
        ),
        Condition(
            type=ConditionType.STALLED,
            status=Truth.TRUE,
            reason=StalledReason.INVALID_SPEC,
            message=f"Waits for an edit of {problem.field}",
        ),
    )
    return {
        "observedGeneration": generation,
        "conditions": conditions(rows, generation=generation, now=now, previous=previous),
        "observationTime": timestamp(now),
    }


def fleet_draft(roll: Roll, document: Mapping[str, Any], *, window_seconds: float) -> Draft:
    """The draft for the gate. `window_seconds`: the longest window of the factory's pools."""
    early = {name: value for name, value in document.items() if name in EARLY}
    return Draft(
        document=document,
        generation=roll.factory.generation,
        window_seconds=window_seconds,
        early=None if roll.complete else early,
    )


def each_pod_once(reports: Sequence[PoolReport]) -> Iterator[PodFigures]:
    """The figures of every pod; the first pool by name counts a pod that several select (§4).

    A pool without figures per pod counts as one.
    """
    seen: set[str] = set()
    for report in sorted(reports, key=lambda item: item.key):
        if report.economics is None:
            continue
        for pod in report.economics.pods or (_whole(report.key, report.economics),):
            if pod.pod_uid not in seen:
                seen.add(pod.pod_uid)
                yield pod


def _whole(key: PoolKey, economics: Economics) -> PodFigures:
    rates = economics.throughput.per_second
    return PodFigures(
        pod_uid=f"pool {key}",
        gpus=value_of(economics.gpus.held) or 0.0,
        tokens_per_second=rates.value.total if isinstance(rates, Known) else None,
        cost_per_hour=value_of(economics.cost.per_hour),
        measured_watts=value_of(economics.measured.watts),
        provisioned_watts=value_of(economics.provisioned.watts),
    )


def _cost(roll: Roll, pods: Sequence[PodFigures]) -> dict[str, Any]:
    per_hour = _sum(pod.cost_per_hour for pod in pods)
    if per_hour is None:
        return {}
    both = [pod for pod in pods if pod.tokens_per_second is not None and pod.cost_per_hour is not None]
    rate = _sum(pod.tokens_per_second for pod in both) or Decimal(0)
    spans = [report.economics.covered_seconds for report in roll.reports if report.economics]
    enough = float(rate) * max(spans, default=0.0) >= TOKEN_FLOOR
    spent = _sum(pod.cost_per_hour for pod in both) or Decimal(0)
    return present(
        {
            "currency": clean(roll.factory.currency, limit=3),
            "perHour": number(per_hour),
            "perMillionTokens": number(spent / (rate * SECONDS_PER_HOUR / MILLION)) if enough else None,
        }
    )


def _energy(factory: Factory, pods: Sequence[PodFigures]) -> dict[str, Any]:
    measured = [(pod.tokens_per_second, pod.measured_watts) for pod in pods]
    provisioned = [(pod.tokens_per_second, pod.provisioned_watts) for pod in pods]
    budget = factory.power.budget_megawatts
    carried = _per_megawatt(provisioned)
    at_budget = carried * decimal_of(budget) * SECONDS_PER_HOUR if carried and budget else None
    return present(
        {
            "measured": _basis(measured),
            "provisioned": _basis(provisioned),
            "tokensPerHourAtBudget": number(at_budget),
        }
    )


def _basis(pairs: Sequence[tuple[float | None, float | None]]) -> dict[str, Any]:
    watts = _sum(power for _, power in pairs)
    return present(
        {
            "megawatts": number(watts / decimal_of(WATTS_PER_MEGAWATT)) if watts is not None else None,
            "tokensPerSecondPerMegawatt": number(_per_megawatt(pairs)),
        }
    )


def _per_megawatt(pairs: Sequence[tuple[float | None, float | None]]) -> Decimal | None:
    both = [(rate, watts) for rate, watts in pairs if rate is not None and watts is not None]
    rate, watts = _sum(rate for rate, _ in both), _sum(watts for _, watts in both)
    return rate / watts * decimal_of(WATTS_PER_MEGAWATT) if rate and watts else None


def _sum(values: Iterable[float | Decimal | None]) -> Decimal | None:
    """The sum of what is known, exactly, in any order; None when nothing is."""
    known = [
        value if isinstance(value, Decimal) else decimal_of(float(value))
        for value in values
        if value is not None
    ]
    return sum(known, Decimal(0)) if known else None


def _verdicts(reports: Iterable[PoolReport]) -> dict[str, int]:
    found = Counter(
        "invalid" if _stalled(report.verdict) else COUNTED[report.verdict.denominator] for report in reports
    )
    return {name: found[name] for name in (*COUNTED.values(), "invalid")}


def _stalled(verdict: Verdict) -> bool:
    return any(row.type == ConditionType.STALLED and row.status is Truth.TRUE for row in verdict.conditions)


def _findings(reports: Iterable[PoolReport]) -> list[dict[str, Any]]:
    found = [(finding, report.key) for report in reports for finding in report.verdict.findings]
    found.sort(key=lambda pair: (by_cost(pair[0]), pair[1]))
    return [{**finding_row(finding), "pool": str(key)} for finding, key in found[:FINDINGS_SHOWN]]


def _conditions(roll: Roll, previous: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    told = sum(report.economics is not None for report in roll.reports)
    rows = [
        Condition(
            type=ConditionType.READY,
            status=Truth.TRUE,
            reason=ReadyReason.STATUS_PUBLISHED,
            message=f"{told} of {roll.pools} pools have figures",
        ),
        Condition(
            type=ConditionType.STALLED,
            status=Truth.FALSE,
            reason=StalledReason.SERVING,
            message="Nothing waits for an edit",
        ),
    ]
    if roll.prometheus is not None:
        rows.append(_reachable(roll.prometheus))
    return conditions(rows, generation=roll.factory.generation, now=roll.now, previous=previous)


def _reachable(reason: PrometheusReason) -> Condition:
    """Whether the Prometheus of this factory answers, and if not, which field to mend."""
    match reason:
        case PrometheusReason.ANSWERS:
            status, message = Truth.TRUE, "spec.telemetry.prometheus.url answers"
        case PrometheusReason.NOT_ASKED:
            status, message = Truth.UNKNOWN, "No pool asks spec.telemetry.prometheus.url"
        case _:
            status, message = Truth.FALSE, PROMETHEUS_ADVICE[FailureReason(reason.value)]
    return Condition(type=PROMETHEUS_REACHABLE, status=status, reason=reason, message=message)
