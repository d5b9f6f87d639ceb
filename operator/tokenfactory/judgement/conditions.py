"""The conditions of a pool. Messages name the fix and hold no number that moves from cycle to cycle."""

from __future__ import annotations

from tokenfactory.judgement.denominator import Denominator
from tokenfactory.judgement.objectives import Objective
from tokenfactory.judgement.optimizations import WORST_FIRST
from tokenfactory.measure import Known
from tokenfactory.model import (
    Condition,
    DenominatorState,
    ObjectiveResult,
    OptimizationRow,
    OptimizationState,
    Policy,
    PriceProblem,
    PriceQuote,
    PriceSource,
    Truth,
)
from tokenfactory.model.reasons import (
    ConditionType,
    DenominatorReason,
    ObjectivesReason,
    OptimizationsReason,
    PriceReason,
    ReadyReason,
    StalledReason,
)

_PRICE_FIXES: tuple[tuple[PriceProblem, str], ...] = (
    (
        PriceProblem.NO_PRICE,
        'no price is known: set spec.price.perGPUHour, or add a prices entry to TokenFactory "default"',
    ),
    (
        PriceProblem.FACTORY_NOT_FOUND,
        "the pool's TokenFactory does not exist or its spec is refused: look at its conditions, create it,"
        " or change spec.factoryName",
    ),
    (
        PriceProblem.CURRENCY_MISMATCH,
        "the price is in US dollars: set spec.usdExchangeRate in the TokenFactory, or give your own price",
    ),
    (
        PriceProblem.PRICE_OUT_OF_BOUNDS,
        "the price is outside spec.priceBounds of the TokenFactory: correct the price or the bounds",
    ),
    (
        PriceProblem.POOL_PRICE_FORBIDDEN,
        "the TokenFactory allows no pool prices: remove spec.price.perGPUHour",
    ),
    (
        PriceProblem.POOL_PRICE_OUT_OF_BOUNDS,
        "spec.price.perGPUHour is outside spec.priceBounds of the TokenFactory: correct or remove it",
    ),
)
_HEALTHY = (DenominatorState.HEALTHY, DenominatorState.LOW_DEMAND, DenominatorState.SATURATED)
_SICK = (
    DenominatorState.EFFICIENCY_DEGRADED,
    DenominatorState.THROUGHPUT_COLLAPSED,
    DenominatorState.ENGINE_STALLED,
)
_UNMET = {
    Objective.COST: ObjectivesReason.COST_TOO_HIGH,
    Objective.TOKENS_PER_SECOND_PER_GPU: ObjectivesReason.THROUGHPUT_TOO_LOW,
    Objective.TTFT: ObjectivesReason.TIME_TO_FIRST_TOKEN_TOO_LONG,
    Objective.ITL: ObjectivesReason.INTER_TOKEN_LATENCY_TOO_LONG,
}


def say_ready() -> Condition:
    return Condition(
        type=ConditionType.READY,
        status=Truth.TRUE,
        reason=ReadyReason.STATUS_PUBLISHED,
        message="this generation was read and its status published",
    )


def say_not_stalled() -> Condition:
    return Condition(
        type=ConditionType.STALLED,
        status=Truth.FALSE,
        reason=StalledReason.SERVING,
        message="the spec can be served",
    )


def judge_price(quote: PriceQuote) -> Condition:
    """PriceKnown: the source of the price, or why there is none, or why the pool's own was passed over."""
    if quote.problem is not None or not isinstance(quote.per_gpu_hour, Known) or quote.source is None:
        problem = quote.problem or PriceProblem.NO_PRICE
        return _price(Truth.FALSE, PriceReason(problem.value), quote.message or _price_fix(problem))
    if quote.passed_over is not None:
        text = f"{_price_fix(quote.passed_over)}; the next source is used: {_describe_price(quote)}"
        return _price(Truth.TRUE, PriceReason(quote.passed_over.value), text)
    return _price(Truth.TRUE, PriceReason(quote.source.value), _describe_price(quote))


def _price(status: Truth, reason: PriceReason, message: str) -> Condition:
    return Condition(type=ConditionType.PRICE_KNOWN, status=status, reason=reason, message=message)


def _price_fix(problem: PriceProblem) -> str:
    return next(fix for known, fix in _PRICE_FIXES if known is problem)


def _describe_price(quote: PriceQuote) -> str:
    if quote.source is PriceSource.POOL:
        return "spec.price.perGPUHour of the pool"
    named = f" {quote.source_text}" if quote.source_text else ""
    dated = f", as of {quote.as_of}" if quote.as_of else ""
    if quote.source is PriceSource.OPENCOST:
        return f"the price of{named or ' OpenCost'}{dated}"
    if quote.source is PriceSource.REFERENCE:
        kind = "a built-in placeholder price" if quote.placeholder else "a built-in reference price"
        return f"{kind}, not your contract:{named}{dated}" if named else f"{kind}, not your contract{dated}"
    return f"the TokenFactory's price{':' if named else ''}{named}{dated}"


def judge_optimizations_active(rows: tuple[OptimizationRow, ...]) -> Condition:
    """OptimizationsActive: the worst Required row decides; False before Unknown."""
    required = [row for row in rows if row.policy is Policy.REQUIRED]
    if not required:
        return _optimizations(Truth.TRUE, OptimizationsReason.NONE_REQUIRED, "no optimization is Required")
    worst = min(required, key=lambda row: WORST_FIRST.index(row.state))
    if worst.state is OptimizationState.ACTIVE:
        return _optimizations(
            Truth.TRUE, OptimizationsReason.ALL_REQUIRED_ACTIVE, "all Required optimizations are active"
        )
    open_question = worst.state in (OptimizationState.UNVERIFIABLE, OptimizationState.UNKNOWN)
    message = "; ".join(
        f"{row.name.value} is {row.state.value}: {row.evidence}"
        for row in required
        if row.state is not OptimizationState.ACTIVE
    )
    status = Truth.UNKNOWN if open_question else Truth.FALSE
    return _optimizations(status, OptimizationsReason(worst.state.value), message)


def _optimizations(status: Truth, reason: OptimizationsReason, message: str) -> Condition:
    return Condition(type=ConditionType.OPTIMIZATIONS_ACTIVE, status=status, reason=reason, message=message)


def judge_denominator_healthy(denominator: Denominator) -> Condition:
    """DenominatorHealthy: the state is the reason."""
    if denominator.state in _HEALTHY:
        status = Truth.TRUE
    else:
        status = Truth.FALSE if denominator.state in _SICK else Truth.UNKNOWN
    return Condition(
        type=ConditionType.DENOMINATOR_HEALTHY,
        status=status,
        reason=DenominatorReason(denominator.state.value),
        message=denominator.message,
    )


def judge_objectives_met(results: tuple[ObjectiveResult, ...]) -> Condition | None:
    """ObjectivesMet: the first unmet one, else whether all could be judged. None without objectives."""
    if not results:
        return None
    for result in results:
        if result.met is False:
            return _objectives(Truth.FALSE, _UNMET[Objective(result.objective)], result.message)
    unjudged = [result.message for result in results if result.met is None]
    if unjudged:
        return _objectives(Truth.UNKNOWN, ObjectivesReason.CANNOT_BE_JUDGED, "; ".join(unjudged))
    return _objectives(Truth.TRUE, ObjectivesReason.ALL_MET, "; ".join(result.message for result in results))


def _objectives(status: Truth, reason: ObjectivesReason, message: str) -> Condition:
    return Condition(type=ConditionType.OBJECTIVES_MET, status=status, reason=reason, message=message)
