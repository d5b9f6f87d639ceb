"""`tokenfactory project` reproduces the printed figures of docs/cost-model.md §6, and names their units."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from tokenfactory.cli.main import COMMANDS, build
from tokenfactory.costing.curves import CURVES
from tokenfactory.costing.scenarios import SCENARIOS

TEN_BILLION = ("--tokens-per-month", "10000000000")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(build(COMMANDS), ["project", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def documents(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*arguments, "-o", "json"))
    return found


def figures(*arguments: str) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in documents(*arguments)[0]["figures"]}


def at(price: str, rate: str) -> tuple[str, ...]:
    return "--per-gpu-hour", price, "--tokens-per-second-per-gpu", rate


@pytest.mark.parametrize(
    ("arguments", "figure", "printed", "digits"),
    [
        (at("1.41", "93.3"), "costPerMillionTokens", "4.20", "0.01"),
        (at("1.41", "90"), "costPerMillionTokens", "4.35", "0.01"),
        (at("2.652", "6000"), "costPerMillionTokens", "0.123", "0.001"),
        (at("1.41", "90"), "misreadCostPerMillionTokens", "15667", "1"),
        (("--cost-per-million-tokens", "4.20", *TEN_BILLION), "costPerMonth", "42000", "1"),
        (("--cost-per-million-tokens", "0.12", *TEN_BILLION), "costPerMonth", "1200", "1"),
        (
            ("--megawatts", "10", "--tokens-per-second-per-megawatt", "2800000"),
            "tokensPerSecondAtBudget",
            "28000000",
            "1",
        ),
        (
            ("--megawatts", "10", "--tokens-per-second-per-megawatt", "2.8e6"),
            "tokensPerHourAtBudget",
            "100800000000",
            "1",
        ),
        (
            (*at("1.41", "93.3"), "--kilowatts-per-gpu", "1.73"),
            "tokensPerSecondPerMegawatt",
            "53900",
            "100",
        ),
        (("--gpu", "GB300", "--tokens-per-second-per-gpu", "6000"), "costPerMillionTokens", "0.123", "0.001"),
    ],
)
def test_the_printed_figures_are_reproduced(
    arguments: tuple[str, ...], figure: str, printed: str, digits: str
) -> None:
    value = Decimal(figures(*arguments)[figure]["value"])
    assert abs(value - Decimal(printed)) < Decimal(digits)


def test_every_figure_names_its_unit_its_formula_and_its_section() -> None:
    found = figures(
        *at("1.41", "93.3"),
        *TEN_BILLION,
        *("--kilowatts-per-gpu", "1.73", "--megawatts", "10"),
        *("--without-tokens-per-second-per-gpu", "40"),
    )
    assert len(found) == 17
    for row in found.values():
        assert row["unit"]
        assert row["formula"]
        assert row["source"] in ("docs/cost-model.md §6", "docs/cost-model.md §8")
    assert found["costPerMillionTokens"]["unit"] == "USD per million tokens"
    assert "WRONG by 3,600 times" in found["misreadCostPerMillionTokens"]["formula"]


def test_a_table_shows_whole_large_numbers_and_four_digits_of_small_ones() -> None:
    text = run(*at("1.41", "90"))
    assert "4.352" in text
    assert "15,667" in text


def test_losing_an_optimization_costs_the_same_gpu_hour_over_fewer_tokens() -> None:
    found = figures(*at("2.652", "6000"), "--without-tokens-per-second-per-gpu", "2000", *TEN_BILLION)
    assert Decimal(found["timesTheCostWithout"]["value"]) == 3
    before = Decimal(found["costPerMillionTokens"]["value"])
    assert Decimal(found["lossPerMillionTokens"]["value"]) == pytest.approx(2 * before)
    assert Decimal(found["lossPerMonth"]["value"]) == pytest.approx(2 * before * 10_000)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.name)
def test_a_vendors_headline_is_dated_sourced_and_met(scenario: Any) -> None:
    document = documents("--scenario", scenario.name)[0]
    assert scenario.as_of in document["notes"][0]
    assert "never a reference" in document["notes"][1]
    cost = next(row for row in document["figures"] if row["name"] == "costPerMillionTokens")
    assert Decimal(cost["value"]) == pytest.approx(scenario.printed_cost_per_million, rel=Decimal("0.04"))


def test_a_vendors_headline_is_no_reference_curve() -> None:
    assert not {item.name for item in SCENARIOS} & {curve.name for curve in CURVES}


def test_what_is_given_wins_over_a_scenario() -> None:
    found = figures("--scenario", "nvidia-hgx-h200", "--per-gpu-hour", "2.82")
    assert Decimal(found["costPerMillionTokens"]["value"]).quantize(Decimal("0.0001")) == Decimal("8.7037")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give --per-gpu-hour and"),
        (("--per-gpu-hour", "0"), "not above 0"),
        (("--per-gpu-hour", "nan"), "not above 0"),
        (("--per-gpu-hour", "free"), "no number"),
        (("--scenario", "marketing"), "unknown"),
        (("--gpu", "A100"), "built in"),
        (("--gpu", "H200", "--currency", "EUR"), "USD"),
    ],
)
def test_what_nothing_follows_from_is_refused_with_the_fix(arguments: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(build(COMMANDS), ["project", *arguments])
    assert done.exit_code == 2
    assert told in done.output
