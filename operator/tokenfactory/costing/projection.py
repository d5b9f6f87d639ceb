"""What-if arithmetic: the formulas of the cost model on assumed numbers (docs/cost-model.md §6, §8).

Every line names its unit and its formula, so that it can be checked by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tokenfactory.units import HOURS_PER_YEAR, MILLION, SECONDS_PER_HOUR

MONTHS_PER_YEAR = 12
SECONDS_PER_MONTH = Decimal(HOURS_PER_YEAR * SECONDS_PER_HOUR) / MONTHS_PER_YEAR
THOUSAND = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What somebody assumes. None: not given; what can't be worked out without it is left out.

    Throughputs are input and output tokens (Total basis); `kilowatts_per_gpu` is all-in provisioned power.
    `slower` is the throughput of the same GPU after an optimization is lost.
    """

    per_gpu_hour: Decimal | None = None
    tokens_per_second_per_gpu: Decimal | None = None
    cost_per_million: Decimal | None = None
    tokens_per_month: Decimal | None = None
    kilowatts_per_gpu: Decimal | None = None
    tokens_per_second_per_megawatt: Decimal | None = None
    megawatts: Decimal | None = None
    slower: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure. `money`: an amount of the currency. `section` is the cost model's."""

    name: str
    value: Decimal
    unit: str
    formula: str
    money: bool = False
    section: str = "§6"


def project(given: Assumptions) -> tuple[Line, ...]:
    """Every figure that follows from what is given, in reading order."""
    return tuple(
        line for part in (_cost, _month, _power, _budget, _loss) for line in part(given) if line is not None
    )


def cost_of_million(given: Assumptions) -> Decimal | None:
    """§6; what was given directly wins."""
    if given.cost_per_million is not None:
        return given.cost_per_million
    return _cost_at(given, given.tokens_per_second_per_gpu)


def per_megawatt(given: Assumptions) -> Decimal | None:
    """§8, provisioned basis; what was given directly wins."""
    if given.tokens_per_second_per_megawatt is not None:
        return given.tokens_per_second_per_megawatt
    if given.tokens_per_second_per_gpu is None or given.kilowatts_per_gpu is None:
        return None
    return given.tokens_per_second_per_gpu * THOUSAND / given.kilowatts_per_gpu


def _cost_at(given: Assumptions, rate: Decimal | None) -> Decimal | None:
    if given.per_gpu_hour is None or rate is None:
        return None
    return given.per_gpu_hour * MILLION / (rate * SECONDS_PER_HOUR)


def _cost(given: Assumptions) -> Iterator[Line]:
    cost, rate = cost_of_million(given), given.tokens_per_second_per_gpu
    if cost is not None:
        asked = given.cost_per_million is not None
        formula = "as given" if asked else "perGPUHour ÷ (tokensPerSecondPerGPU × 0.0036)"
        yield Line(
            name="costPerMillionTokens", value=cost, unit="per million tokens", formula=formula, money=True
        )
    if rate is not None:
        yield Line(
            name="tokensPerGPUHour",
            value=rate * SECONDS_PER_HOUR,
            unit="tokens per GPU-hour",
            formula="tokensPerSecondPerGPU × 3,600",
        )
    if rate is not None and given.per_gpu_hour is not None:
        yield Line(
            name="misreadCostPerMillionTokens",
            value=given.per_gpu_hour * MILLION / rate,
            unit="per million tokens",
            formula="WRONG by 3,600 times: the rate read as tokens per GPU-hour instead of per second",
            money=True,
        )


def _month(given: Assumptions) -> Iterator[Line]:
    cost, tokens = cost_of_million(given), given.tokens_per_month
    if tokens is None:
        return
    if cost is not None:
        month = cost * tokens / MILLION
        yield Line(
            name="costPerMonth",
            value=month,
            unit="per month",
            formula="costPerMillionTokens × tokensPerMonth ÷ 10⁶",
            money=True,
        )
        yield Line(
            name="costPerYear",
            value=month * MONTHS_PER_YEAR,
            unit="per year",
            formula="costPerMonth × 12",
            money=True,
        )
    if given.tokens_per_second_per_gpu is not None:
        yield Line(
            name="gpusAtFullLoad",
            value=tokens / (given.tokens_per_second_per_gpu * SECONDS_PER_MONTH),
            unit="GPUs, busy all month (730 h)",
            formula="tokensPerMonth ÷ (tokensPerSecondPerGPU × 2,628,000 s)",
        )


def _power(given: Assumptions) -> Iterator[Line]:
    rate, power = given.tokens_per_second_per_gpu, given.kilowatts_per_gpu
    found = per_megawatt(given)
    if found is not None:
        asked = given.tokens_per_second_per_megawatt is not None
        yield Line(
            name="tokensPerSecondPerMegawatt",
            value=found,
            unit="tokens/s per MW, provisioned all-in",
            formula="as given" if asked else "tokensPerSecondPerGPU × 1,000 ÷ kilowattsPerGPU",
            section="§8",
        )
    if rate is not None and power is not None:
        yield Line(
            name="joulesPerToken",
            value=power * THOUSAND / rate,
            unit="J per token, provisioned all-in",
            formula="kilowattsPerGPU × 1,000 ÷ tokensPerSecondPerGPU",
            section="§8",
        )
        yield Line(
            name="kilowattHoursPerMillionTokens",
            value=power * MILLION / (rate * SECONDS_PER_HOUR),
            unit="kWh per million tokens, provisioned all-in",
            formula="kilowattsPerGPU ÷ (tokensPerSecondPerGPU × 0.0036)",
            section="§8",
        )


def _budget(given: Assumptions) -> Iterator[Line]:
    megawatts, found = given.megawatts, per_megawatt(given)
    if megawatts is None:
        return
    if found is not None:
        yield Line(
            name="tokensPerSecondAtBudget",
            value=megawatts * found,
            unit="tokens/s",
            formula="megawatts × tokensPerSecondPerMegawatt",
            section="§8",
        )
        yield Line(
            name="tokensPerHourAtBudget",
            value=megawatts * found * SECONDS_PER_HOUR,
            unit="tokens per hour",
            formula="megawatts × tokensPerSecondPerMegawatt × 3,600",
            section="§8",
        )
    if given.kilowatts_per_gpu is not None:
        gpus = megawatts * THOUSAND / given.kilowatts_per_gpu
        yield Line(
            name="gpusAtBudget",
            value=gpus,
            unit="GPUs",
            formula="megawatts × 1,000 ÷ kilowattsPerGPU",
            section="§8",
        )
        if given.per_gpu_hour is not None:
            yield Line(
                name="costPerHourAtBudget",
                value=gpus * given.per_gpu_hour,
                unit="per hour",
                formula="gpusAtBudget × perGPUHour",
                section="§8",
                money=True,
            )


def _loss(given: Assumptions) -> Iterator[Line]:
    """What losing an optimization costs: the same GPU-hour over fewer tokens."""
    cost, slower = cost_of_million(given), _cost_at(given, given.slower)
    if given.slower is not None and given.tokens_per_second_per_gpu is not None:
        yield Line(
            name="timesTheCostWithout",
            value=given.tokens_per_second_per_gpu / given.slower,
            unit="times the cost of a token",
            formula="tokensPerSecondPerGPU ÷ withoutTokensPerSecondPerGPU",
        )
    if cost is None or slower is None:
        return
    yield Line(
        name="costPerMillionTokensWithout",
        value=slower,
        unit="per million tokens",
        formula="perGPUHour ÷ (withoutTokensPerSecondPerGPU × 0.0036)",
        money=True,
    )
    yield Line(
        name="lossPerMillionTokens",
        value=slower - cost,
        unit="per million tokens",
        formula="costPerMillionTokensWithout − costPerMillionTokens",
        money=True,
    )
    if given.tokens_per_month is not None:
        yield Line(
            name="lossPerMonth",
            value=(slower - cost) * given.tokens_per_month / MILLION,
            unit="per month",
            formula="lossPerMillionTokens × tokensPerMonth ÷ 10⁶",
            money=True,
        )
