"""Is the pool as cheap and as fast as asked? One result for each objective that is given."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from tokenfactory.measure import Absence, Measure, Missing
from tokenfactory.model import Economics, Histogram, ObjectiveResult, Objectives
from tokenfactory.units import significant


class Objective(StrEnum):
    """The label of `objective_met`."""

    COST = "cost"
    TOKENS_PER_SECOND_PER_GPU = "tokens_per_second_per_gpu"
    TTFT = "ttft"
    ITL = "itl"


def judge_objectives(objectives: Objectives | None, economics: Economics) -> tuple[ObjectiveResult, ...]:
    """Results in the API's order: cost on its basis, tokens/s/GPU, then TTFT and ITL at p99 (seconds)."""
    if objectives is None:
        return ()
    basis = objectives.cost_basis
    cost = economics.cost.per_million.get(basis, Missing(Absence.NOT_SCRAPED))
    results = (
        _at_most(
            Objective.COST,
            f"cost per million tokens (basis {basis.value})",
            measure=cost,
            bound=objectives.max_cost_per_million_tokens,
        ),
        _at_least(
            Objective.TOKENS_PER_SECOND_PER_GPU,
            "tokens per second per GPU",
            measure=economics.throughput.per_gpu,
            bound=objectives.min_tokens_per_second_per_gpu,
        ),
        _at_most(
            Objective.TTFT,
            "time to first token (p99, seconds)",
            measure=_p99(economics, Histogram.TIME_TO_FIRST_TOKEN),
            bound=objectives.max_time_to_first_token_seconds,
        ),
        _at_most(
            Objective.ITL,
            "inter-token latency (p99, seconds)",
            measure=_p99(economics, Histogram.INTER_TOKEN_LATENCY),
            bound=objectives.max_inter_token_latency_seconds,
        ),
    )
    return tuple(result for result in results if result is not None)


def _p99(economics: Economics, histogram: Histogram) -> Measure[float]:
    quantiles = economics.latency.get(histogram)
    return quantiles.p99 if quantiles is not None else Missing(Absence.NOT_EXPORTED)


def _at_most(
    objective: Objective,
    what: str,
    *,
    measure: Measure[Decimal] | Measure[float],
    bound: Decimal | float | None,
) -> ObjectiveResult | None:
    if bound is None:
        return None
    if isinstance(measure, Missing):
        return _unjudged(objective, what, why=measure.reason)
    met = measure.value <= bound
    side = "within" if met else "above"
    return ObjectiveResult(objective=objective, met=met, message=f"{what} is {side} {significant(bound)}")


def _at_least(
    objective: Objective, what: str, *, measure: Measure[float], bound: float | None
) -> ObjectiveResult | None:
    if bound is None:
        return None
    if isinstance(measure, Missing):
        return _unjudged(objective, what, why=measure.reason)
    met = measure.value >= bound
    message = f"{what} {'reach' if met else 'are below'} {significant(bound)}"
    return ObjectiveResult(objective=objective, met=met, message=message)


def _unjudged(objective: Objective, what: str, *, why: Absence) -> ObjectiveResult:
    return ObjectiveResult(objective=objective, met=None, message=f"{what} can't be judged: {why.value}")
