"""What the API server refuses, the operator refuses too: objects may be older than a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import expected_rejection, list_examples, load_example, sentence
from tokenfactory.api.inferencepool import InferencePoolSpec
from tokenfactory.api.parsing import parse_factory, parse_pool
from tokenfactory.api.tokenfactory import TokenFactorySpec
from tokenfactory.errors import InvalidSpec
from tokenfactory.model import CostBasis, OptimizationName, Policy

SELECTOR = {"matchLabels": {"app": "chat"}}


def parse(body: dict[str, Any]) -> InferencePoolSpec | TokenFactorySpec:
    return parse_pool(body) if body["kind"] == "InferencePool" else parse_factory(body)


def pool(**fields: Any) -> dict[str, Any]:
    return {"spec": {"selector": SELECTOR, **fields}}


def prices(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"prices": list(entries)}}


def points(*users: str) -> dict[str, Any]:
    curve = {
        "name": "r1",
        "gpuProduct": "NVIDIA-GB200",
        "model": "DeepSeek-R1",
        "precision": "FP4",
        "inputLength": 8192,
        "outputLength": 1024,
        "asOf": "2026-02-01",
        "source": "InferenceX",
    }
    rows = [{"tokensPerSecondPerUser": user, "tokensPerSecondPerGPU": "100"} for user in users]
    return {"spec": {"references": [{**curve, "points": rows}]}}


@pytest.mark.parametrize("path", list_examples("valid"), ids=sentence)
def test_the_operator_accepts_the_valid_example(path: Path) -> None:
    parse(load_example(path))


@pytest.mark.parametrize("path", list_examples("invalid"), ids=sentence)
def test_the_operator_rejects_the_invalid_example_and_names_the_same_field(path: Path) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(load_example(path))
    assert caught.value.field in expected_rejection(path)
    assert caught.value.message


def test_there_are_examples_enough() -> None:
    assert len(list_examples("valid")) >= 8
    assert len(list_examples("invalid")) >= 20


@pytest.mark.parametrize("folder", ["valid", "invalid"])
def test_every_example_says_in_a_comment_what_it_shows(folder: str) -> None:
    for path in list_examples(folder):
        comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
        assert comments, path.name
        assert comments[-1].endswith((".", "?")), path.name


ACCEPTED = [
    ("the shortest window", pool(windowSeconds=30)),
    ("the longest window", pool(windowSeconds=3600)),
    ("the lowest collapse fraction", pool(collapse={"fractionOfBaseline": "0.1"})),
    ("the highest collapse fraction", pool(collapse={"fractionOfBaseline": "0.7"})),
    ("the shortest collapse", pool(collapse={"forSeconds": 5})),
    ("the first port", pool(metrics={"port": 1})),
    ("the last port", pool(metrics={"port": 65535})),
    ("a path of 64 characters after the slash", pool(metrics={"path": "/" + "a" * 64})),
    ("a dot in a path", pool(metrics={"path": "/v1.0/metrics"})),
    (
        "an acceptance length of one",
        pool(optimizations=[{"name": "SpeculativeDecoding", "minimumAcceptanceLength": "1"}]),
    ),
    (
        "the highest acceptance length",
        pool(optimizations=[{"name": "MultiTokenPrediction", "minimumAcceptanceLength": "32"}]),
    ),
    ("no optimization at all", pool(optimizations=[])),
    ("the lowest price", pool(price={"perGPUHour": "0.000001"})),
    ("the highest price", pool(price={"perGPUHour": "999999.999999"})),
    ("a null for a field that is left out", pool(price=None)),
    ("one token a month", pool(projection={"tokensPerMonth": 1})),
    ("the most tokens a month", pool(projection={"tokensPerMonth": 10**15})),
    ("128 prices", prices(*[{"match": {}, "perGPUHour": "1"}] * 128)),
    ("two points", points("75", "120")),
    ("64 points", points(*[str(user) for user in range(1, 65)])),
    ("a leap day", prices({"match": {}, "perGPUHour": "1", "asOf": "2028-02-29"})),
    ("a price in words of another script", prices({"match": {}, "perGPUHour": "1", "source": "合同 17"})),
]


@pytest.mark.parametrize("body", [row[1] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_the_edge_inside_a_bound_is_accepted(body: dict[str, Any]) -> None:
    (parse_pool if "selector" in body["spec"] else parse_factory)(body)


REFUSED = [
    ("a window of 29 s", pool(windowSeconds=29), "spec.windowSeconds", "at least 30"),
    ("a window of 3601 s", pool(windowSeconds=3601), "spec.windowSeconds", "at most 3600"),
    ("a window that is a float", pool(windowSeconds=300.5), "spec.windowSeconds", "whole number"),
    ("a window that is true", pool(windowSeconds=True), "spec.windowSeconds", "whole number"),
    (
        "a fraction under 0.1",
        pool(collapse={"fractionOfBaseline": "0.0999"}),
        "spec.collapse.fractionOfBaseline",
        "at least 0.1",
    ),
    (
        "a fraction over 0.7",
        pool(collapse={"fractionOfBaseline": "0.700001"}),
        "spec.collapse.fractionOfBaseline",
        "at most 0.7",
    ),
    ("port 0", pool(metrics={"port": 0}), "spec.metrics.port", "at least 1"),
    ("port 65536", pool(metrics={"port": 65536}), "spec.metrics.port", "at most 65535"),
    (
        "a path of 65 characters after the slash",
        pool(metrics={"path": "/" + "a" * 65}),
        "spec.metrics.path",
        "at most 65 characters",
    ),
    ("a path without a slash", pool(metrics={"path": "metrics"}), "spec.metrics.path", "a path and no URL"),
    (
        "a path with a line end",
        pool(metrics={"path": "/metrics\n"}),
        "spec.metrics.path",
        "a path and no URL",
    ),
    (
        "a price with a line end",
        pool(price={"perGPUHour": "2.65\n"}),
        "spec.price.perGPUHour",
        "decimal number above 0",
    ),
    (
        "a price of seven figures",
        pool(price={"perGPUHour": "1000000"}),
        "spec.price.perGPUHour",
        "decimal number above 0",
    ),
    (
        "a price of seven decimals",
        pool(price={"perGPUHour": "0.0000001"}),
        "spec.price.perGPUHour",
        "at most 6 decimals",
    ),
    (
        "a price in Arabic figures",
        pool(price={"perGPUHour": "٣"}),
        "spec.price.perGPUHour",
        "decimal number above 0",
    ),
    (
        "a price that is empty",
        pool(price={"perGPUHour": ""}),
        "spec.price.perGPUHour",
        "decimal number above 0",
    ),
    (
        "a price that is not a number",
        pool(price={"perGPUHour": "NaN"}),
        "spec.price.perGPUHour",
        "decimal number above 0",
    ),
    (
        "a price that is infinite",
        pool(price={"perGPUHour": "Infinity"}),
        "spec.price.perGPUHour",
        "decimal number above 0",
    ),
    (
        "a price without a figure before the point",
        pool(price={"perGPUHour": ".5"}),
        "spec.price.perGPUHour",
        "decimal number above 0",
    ),
    ("a price that is a list", pool(price=["2.65"]), "spec.price", "must be an object"),
    (
        "an acceptance length of 32.1",
        pool(optimizations=[{"name": "SpeculativeDecoding", "minimumAcceptanceLength": "32.1"}]),
        "spec.optimizations[0].minimumAcceptanceLength",
        "at most 32",
    ),
    (
        "six optimizations",
        pool(optimizations=[{"name": "FP4"}] * 6),
        "spec.optimizations",
        "at most 5 entries",
    ),
    (
        "optimizations that are a map",
        pool(optimizations={"name": "FP4"}),
        "spec.optimizations",
        "must be a list",
    ),
    (
        "33 labels",
        {"spec": {"selector": {"matchLabels": {f"l{n}": "x" for n in range(33)}}}},
        "spec.selector.matchLabels",
        "at most 32 entries",
    ),
    (
        "a label value of 64 characters",
        {"spec": {"selector": {"matchLabels": {"app": "a" * 64}}}},
        "spec.selector.matchLabels.app",
        "at most 63 characters",
    ),
    (
        "values with Exists",
        {"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}},
        "spec.selector.matchExpressions[0]",
        "left out with Exists",
    ),
    ("129 prices", prices(*[{"match": {}, "perGPUHour": "1"}] * 129), "spec.prices", "at most 128 entries"),
    (
        "points at the same interactivity in two spellings",
        points("75", "75.0"),
        "spec.references[0].points",
        "must rise",
    ),
    (
        "65 points",
        points(*[str(user) for user in range(1, 66)]),
        "spec.references[0].points",
        "at most 64 entries",
    ),
    (
        "a day that the calendar lacks",
        prices({"match": {}, "perGPUHour": "1", "asOf": "2027-02-29"}),
        "spec.prices[0].asOf",
        "a date of the calendar",
    ),
    (
        "a source with a control code",
        prices({"match": {}, "perGPUHour": "1", "source": "a\x1b[31m"}),
        "spec.prices[0].source",
        "without control characters",
    ),
    ("a lower case currency", {"spec": {"currency": "usd"}}, "spec.currency", "such as USD"),
    ("a Python name of a field", pool(window_seconds=300), "spec.window_seconds", "not a field"),
    ("a spec that is a list", {"spec": []}, "spec", "must be an object"),
    ("a spec that is not there", {}, "spec", "add it"),
]


@pytest.mark.parametrize(
    ("body", "field", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_the_edge_outside_a_bound_is_refused_by_field_and_fix(
    body: dict[str, Any], field: str, words: str
) -> None:
    factory = isinstance(body.get("spec"), dict) and {"prices", "references", "currency"} & set(body["spec"])
    with pytest.raises(InvalidSpec) as caught:
        (parse_factory if factory else parse_pool)(body)
    assert caught.value.field == field
    assert words in caught.value.message


def test_an_unknown_field_is_named_before_the_errors_that_it_causes() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_pool({"spec": {"selektor": SELECTOR, "windowSeconds": 1}})
    assert caught.value.field == "spec.selektor"
    assert "1 more to correct" in caught.value.message


def test_what_is_left_out_is_none_so_that_a_factory_can_fill_it() -> None:
    spec = parse_pool(pool())
    assert (spec.window_seconds, spec.optimizations, spec.collapse, spec.factory_name) == (None,) * 4
    assert spec.suspend is False


def test_enums_arrive_as_the_values_of_the_model() -> None:
    spec = parse_pool(
        pool(
            objectives={"costBasis": "Output"},
            optimizations=[{"name": "FP4", "policy": "Required"}, {"name": "SpeculativeDecoding"}],
        )
    )
    assert spec.objectives is not None
    assert spec.objectives.cost_basis is CostBasis.OUTPUT
    assert spec.optimizations is not None
    assert [(row.name, row.policy) for row in spec.optimizations] == [
        (OptimizationName.FP4, Policy.REQUIRED),
        (OptimizationName.SPECULATIVE_DECODING, Policy.PREFERRED),
    ]
