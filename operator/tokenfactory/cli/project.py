"""`tokenfactory project`: what-if, with the formula and the unit of every figure."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tokenfactory.costing.projection import Assumptions, Line, project
from tokenfactory.costing.scenarios import SCENARIOS, find_scenario
from tokenfactory.costing.skus import REFERENCE_AS_OF, REFERENCE_SOURCE, find_sku
from tokenfactory.units import decimal_of, significant

LINE_WIDTH = 200
WHOLE_FROM = 100
LARGEST = Decimal("1e30")
USD = "USD"
NAMES = {
    "per_gpu_hour": "perGPUHour",
    "tokens_per_second_per_gpu": "tokensPerSecondPerGPU",
    "cost_per_million": "costPerMillionTokens",
    "tokens_per_month": "tokensPerMonth",
    "kilowatts_per_gpu": "kilowattsPerGPU",
    "tokens_per_second_per_megawatt": "tokensPerSecondPerMegawatt",
    "megawatts": "megawatts",
    "slower": "withoutTokensPerSecondPerGPU",
}


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One set of assumptions and where each of them came from."""

    title: str
    given: Assumptions
    notes: tuple[str, ...] = ()


def _positive(text: str) -> Decimal:
    """A plain number above 0. Raises BadParameter."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is no number") from None
    if not value.is_finite() or not 0 < value < LARGEST:
        raise typer.BadParameter(f"{text!r} is not above 0")
    return value


def _number(name: str, meaning: str) -> Any:
    return typer.Option(name, help=meaning, parser=_positive, metavar="NUMBER")


def project_command(
    *,
    per_gpu_hour: Annotated[Decimal | None, _number("--per-gpu-hour", "price of a GPU-hour")] = None,
    rate: Annotated[
        Decimal | None,
        _number("--tokens-per-second-per-gpu", "input and output tokens a second, over all GPUs held"),
    ] = None,
    without: Annotated[
        Decimal | None,
        _number(
            "--without-tokens-per-second-per-gpu", "the same when an optimization is lost: what that costs"
        ),
    ] = None,
    cost_per_million: Annotated[
        Decimal | None, _number("--cost-per-million-tokens", "instead of price and throughput")
    ] = None,
    tokens_per_month: Annotated[Decimal | None, _number("--tokens-per-month", "forecast of tokens")] = None,
    kilowatts: Annotated[
        Decimal | None, _number("--kilowatts-per-gpu", "all-in provisioned power of a GPU")
    ] = None,
    per_megawatt: Annotated[
        Decimal | None,
        _number("--tokens-per-second-per-megawatt", "instead of throughput and power of a GPU"),
    ] = None,
    megawatts: Annotated[Decimal | None, _number("--megawatts", "power budget")] = None,
    gpu: Annotated[
        str, typer.Option("--gpu", help="GPU model: fills its dated reference price and power, such as H200")
    ] = "",
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            help=f"a printed headline row, repeatable: {', '.join(item.name for item in SCENARIOS)}",
        ),
    ] = None,
    currency: Annotated[
        str, typer.Option("--currency", help="of the prices given; built-in ones are USD", metavar="CODE")
    ] = USD,
    output: Annotated[Output, typer.Option("-o", "--output", help="text or json")] = Output.TEXT,
) -> None:
    """What a million tokens costs, and what a power budget carries, at assumed numbers.

    Exit code 2: nothing follows from what was given.
    """
    told = Assumptions(
        per_gpu_hour=per_gpu_hour,
        tokens_per_second_per_gpu=rate,
        cost_per_million=cost_per_million,
        tokens_per_month=tokens_per_month,
        kilowatts_per_gpu=kilowatts,
        tokens_per_second_per_megawatt=per_megawatt,
        megawatts=megawatts,
        slower=without,
    )
    if currency != USD and (scenario or gpu):
        raise typer.BadParameter("built-in prices are in USD", param_hint="--currency")
    cases = [_scenario(name, told) for name in scenario or ()] or [_plain(told, gpu)]
    results = [(case, project(case.given)) for case in cases]
    if not all(lines for _, lines in results):
        print(
            "tokenfactory project: give --per-gpu-hour and --tokens-per-second-per-gpu, "
            "or --megawatts and --tokens-per-second-per-megawatt, or a --scenario",
            file=sys.stderr,
        )
        raise typer.Exit(2)
    _show(results, output, currency)


def _show(results: list[tuple[Case, tuple[Line, ...]]], output: Output, currency: str) -> None:
    if output is Output.JSON:
        found = [_document(case, lines, currency) for case, lines in results]
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = Console(width=LINE_WIDTH, highlight=False, markup=False)
    for case, lines in results:
        console.print(case.title)
        for note in case.notes:
            console.print(f"  {note}")
        console.print(_table(lines, currency))


def _scenario(name: str, told: Assumptions) -> Case:
    found = find_scenario(name)
    if found is None:
        known = ", ".join(item.name for item in SCENARIOS)
        raise typer.BadParameter(f"unknown; one of {known}", param_hint="--scenario")
    filled = _fill(
        told,
        per_gpu_hour=found.per_gpu_hour,
        tokens_per_second_per_gpu=found.tokens_per_second_per_gpu,
        kilowatts_per_gpu=found.kilowatts_per_gpu,
    )
    notes = (
        f"{found.source}, {found.as_of}: ${found.per_gpu_hour} per GPU-hour, "
        f"{found.tokens_per_second_per_gpu} tokens/s/GPU, printed as ${found.printed_cost_per_million}",
        "A headline without interactivity: good for arithmetic, never a reference for a pool.",
    )
    return Case(title=f"{found.name}: {found.title}", given=filled, notes=notes)


def _plain(told: Assumptions, gpu: str) -> Case:
    if not gpu:
        return Case(title="At the numbers given", given=told)
    sku = find_sku(gpu)
    if sku is None or sku.kilowatts is None:
        raise typer.BadParameter("no reference price or power is built in for it", param_hint="--gpu")
    filled = _fill(told, per_gpu_hour=sku.usd_per_hour, kilowatts_per_gpu=decimal_of(sku.kilowatts))
    note = f"{sku.name}: {REFERENCE_SOURCE}, {REFERENCE_AS_OF}"
    if sku.placeholder:
        note += "; its price is a placeholder in that source"
    return Case(title="At the numbers given", given=filled, notes=(note,))


def _fill(told: Assumptions, **found: Decimal | None) -> Assumptions:
    """What was told wins."""
    return replace(told, **{name: value for name, value in found.items() if getattr(told, name) is None})


def _table(lines: tuple[Line, ...], currency: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="", padding=(0, 2, 0, 0))
    table.add_column("FIGURE", no_wrap=True)
    table.add_column("VALUE", no_wrap=True, justify="right")
    table.add_column("UNIT", no_wrap=True)
    table.add_column("FORMULA")
    for line in lines:
        table.add_row(line.name, shown(line.value), _unit(line, currency), line.formula)
    return table


def shown(value: Decimal) -> str:
    """For a person: whole and grouped from 100 on, else four significant digits.

    >>> shown(Decimal("15666.67")), shown(Decimal("4.19792"))
    ('15,667', '4.198')
    """
    return f"{value:,.0f}" if value >= WHOLE_FROM else significant(value)


def _unit(line: Line, currency: str) -> str:
    return f"{currency} {line.unit}" if line.money else line.unit


def _document(case: Case, lines: tuple[Line, ...], currency: str) -> dict[str, Any]:
    return {
        "title": case.title,
        "notes": list(case.notes),
        "given": {
            name: format(value, "f")
            for field, name in NAMES.items()
            if (value := getattr(case.given, field)) is not None
        },
        "figures": [
            {
                "name": line.name,
                "value": format(line.value, "f"),
                "unit": _unit(line, currency),
                "formula": line.formula,
                "source": f"docs/cost-model.md {line.section}",
            }
            for line in lines
        ],
    }
