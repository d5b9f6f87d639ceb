"""The samples of one pool: names and labels of design/api.md, unrounded. What is unknown has no sample."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TypeAlias

from tokenfactory.measure import Known, Measure
from tokenfactory.model import (
    WINDOWED,
    CostBasis,
    Economics,
    EnergyFigures,
    Finding,
    OptimizationName,
    OptimizationRow,
    Quantiles,
    Verdict,
)
from tokenfactory.publishing.status import Subject

Sample: TypeAlias = tuple[str, tuple[str, ...], float]

BASES = {CostBasis.TOTAL: "total", CostBasis.TOTAL_UNCACHED: "total_uncached", CostBasis.OUTPUT: "output"}
OBJECTIVES = frozenset({"cost", "tokens_per_second_per_gpu", "ttft", "itl"})
WORD = re.compile(r"[A-Z][A-Za-z0-9]{0,47}", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
CAUSES_SHOWN = 20


def samples(subject: Subject) -> Iterator[Sample]:
    """(family, label values after namespace and pool, value) of every gauge of one cycle."""
    yield from _judged(subject.verdict)
    if subject.economics is None:
        return
    economics = subject.economics
    yield from _finite(_money(economics))
    yield from _finite(_rates(economics))
    yield from _finite(_energy(economics))
    yield from _finite(_quality(economics, subject.verdict))
    yield from _findings(subject.verdict, currency_of(economics))
    yield "last_observation_timestamp_seconds", (), economics.at


def currency_of(economics: Economics) -> str:
    """The currency as a label value: three capital letters, or `XXX` as ISO 4217 says for none."""
    return economics.price.currency if CURRENCY.fullmatch(economics.price.currency) else "XXX"


def _finite(found: Iterator[tuple[str, tuple[str, ...], Measure[Any] | None]]) -> Iterator[Sample]:
    for family, labels, measure in found:
        if isinstance(measure, Known) and isinstance(measure.value, int | float | Decimal):
            value = float(measure.value)
            if math.isfinite(value):
                yield family, labels, value


def _judged(verdict: Verdict) -> Iterator[Sample]:
    for condition in verdict.conditions:
        yield "condition", (condition.type, condition.status.value), 1.0
    yield "denominator_state", (verdict.denominator.value,), 1.0
    for row in verdict.rows:
        yield "optimization_state", (row.name.value, row.state.value), 1.0
    for result in verdict.objectives:
        if result.met is not None and result.objective in OBJECTIVES:
            yield "objective_met", (result.objective,), float(result.met)


def _money(economics: Economics) -> Iterator[tuple[str, tuple[str, ...], Measure[Any] | None]]:
    quote, cost, currency = economics.price, economics.cost, currency_of(economics)
    for basis, label in BASES.items():
        yield "cost_per_million_tokens", (label, currency), cost.per_million.get(basis)
    yield "cost_per_hour", (currency,), cost.per_hour
    if quote.source is not None:
        yield "price_per_gpu_hour", (quote.source.value, currency), quote.per_gpu_hour


def _rates(economics: Economics) -> Iterator[tuple[str, tuple[str, ...], Measure[Any] | None]]:
    rates = economics.throughput.per_second
    if isinstance(rates, Known):
        for kind in ("uncached_input", "cached_input", "output"):
            yield "tokens_per_second", (kind,), _like(rates, getattr(rates.value, kind))
    yield "tokens_per_second_per_gpu", (), economics.throughput.per_gpu
    yield "gpus", ("held",), economics.gpus.held
    yield "gpus", ("observed",), economics.gpus.observed
    yield "replicas", ("expected",), _plain(economics.coverage.expected)
    yield "replicas", ("scraped",), _plain(economics.coverage.scraped)


def _energy(economics: Economics) -> Iterator[tuple[str, tuple[str, ...], Measure[Any] | None]]:
    figures: tuple[tuple[str, EnergyFigures], ...] = (
        ("measured", economics.measured),
        ("provisioned", economics.provisioned),
    )
    for basis, energy in figures:
        yield "power_watts", (basis,), energy.watts
        yield "tokens_per_second_per_megawatt", (basis,), energy.tokens_per_second_per_megawatt
    yield "energy_coverage_ratio", (), economics.measured.coverage
    yield "energy_valid", (), _plain(int(isinstance(economics.measured.watts, Known)))


def _quality(
    economics: Economics, verdict: Verdict
) -> Iterator[tuple[str, tuple[str, ...], Measure[Any] | None]]:
    for histogram in WINDOWED:
        quantiles = economics.latency.get(histogram, Quantiles())
        yield "latency_seconds", (histogram.value, "0.5"), quantiles.p50
        yield "latency_seconds", (histogram.value, "0.99"), quantiles.p99
    yield "efficiency_ratio", ("reference",), economics.of_reference
    yield "efficiency_ratio", ("baseline",), verdict.of_baseline
    acceptance = _acceptance(verdict.rows)
    if acceptance is not None:
        yield "acceptance_length", (), _plain(acceptance)


def _acceptance(rows: tuple[OptimizationRow, ...]) -> float | None:
    """The acceptance length, credited to MTP's row when MTP runs (design: state of an optimization)."""
    found = {row.name: row.acceptance_length for row in rows if row.acceptance_length is not None}
    return found.get(
        OptimizationName.MULTI_TOKEN_PREDICTION, found.get(OptimizationName.SPECULATIVE_DECODING)
    )


def _findings(verdict: Verdict, currency: str) -> Iterator[Sample]:
    found: dict[str, list[Finding]] = {}
    for finding in verdict.findings:
        found.setdefault(finding.cause if WORD.fullmatch(finding.cause) else "Other", []).append(finding)
    for cause, findings in sorted(found.items())[:CAUSES_SHOWN]:
        yield "findings", (cause,), float(len(findings))
        costs = [finding.cost_per_hour for finding in findings if finding.cost_per_hour is not None]
        if costs and all(cost.is_finite() for cost in costs):
            yield "findings_cost_per_hour", (cause, currency), float(sum(costs))


def _plain(value: float) -> Known[float]:
    return Known(value=value, basis="", source="")


def _like(measure: Known[Any], value: float) -> Known[float]:
    return Known(value=value, basis=measure.basis, source=measure.source, grade=measure.grade)
