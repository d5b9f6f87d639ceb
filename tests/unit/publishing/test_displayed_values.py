"""What counts as a displayed value that moved by 2 %."""

from __future__ import annotations

from typing import Any

import pytest

from tokenfactory.publishing.movement import moved


def cost(text: str) -> dict[str, Any]:
    return {"cost": {"perMillionTokens": text}}


def row(**fields: str) -> dict[str, Any]:
    return {"optimizations": [{"name": "FP4", "state": "Active", **fields}]}


def finding(cause: str, message: str = "m", hourly: str = "1") -> dict[str, Any]:
    return {"cause": cause, "message": message, "costPerHour": hourly}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(cost("1"), cost("1.0199"), False, id="1.99 % is below"),
        pytest.param(cost("1"), cost("1.02"), True, id="2 % exactly is a move"),
        pytest.param(cost("1"), cost("0.98"), True, id="downwards too"),
        pytest.param(cost("0"), cost("0.001"), True, id="anything is a move from nothing"),
        pytest.param({}, cost("1"), True, id="a value that appears"),
        pytest.param(cost("1"), {}, True, id="a value that vanishes"),
        pytest.param(
            {"gpus": {"busyShare": "0.001"}},
            {"gpus": {"busyShare": "0.005"}},
            False,
            id="a small share's noise",
        ),
        pytest.param(
            {"gpus": {"busyShare": "0.5"}}, {"gpus": {"busyShare": "0.51"}}, True, id="a share's 2 %"
        ),
        pytest.param({"windowSeconds": 30}, {"windowSeconds": 29}, False, id="a window's rounding"),
        pytest.param({"windowSeconds": 300}, {"windowSeconds": 240}, True, id="a shorter window"),
        pytest.param({"windowSeconds": 24}, {"windowSeconds": 30}, False, id="a window that goes on filling"),
        pytest.param({"windowSeconds": 24}, {"windowSeconds": 31}, True, id="a longer window"),
        pytest.param({"serving": {"coverage": "7/8"}}, {"serving": {"coverage": "8/8"}}, True, id="coverage"),
        pytest.param({"serving": {"replicas": 100}}, {"serving": {"replicas": 101}}, False, id="one of 100"),
        pytest.param({"serving": {"model": "a"}}, {"serving": {"model": "b"}}, True, id="a name"),
        pytest.param(
            {"serving": {"engineVersion": "0.100"}},
            {"serving": {"engineVersion": "0.100.1"}},
            True,
            id="a version",
        ),
        pytest.param(
            row(evidence="length 1.900"), row(evidence="length 1.910"), False, id="a number in prose below"
        ),
        pytest.param(
            row(evidence="length 1.9"), row(evidence="length 1.2"), True, id="a number in prose above"
        ),
        pytest.param(row(evidence="length"), row(evidence="no length"), True, id="other words"),
        pytest.param({"observationTime": "a"}, {"observationTime": "b"}, False, id="the time is no value"),
        pytest.param(
            {"conditions": [{"status": "True", "message": "a"}]},
            {"conditions": [{"status": "True", "message": "b"}]},
            False,
            id="nor is a message",
        ),
        pytest.param(
            {"conditions": [{"status": "False", "message": "3 of 4: do this"}]},
            {"conditions": [{"status": "False", "message": "3 of 4: do that"}]},
            True,
            id="but other advice is",
        ),
        pytest.param(
            {"conditions": [{"status": "False", "message": "3 of 4: do this"}]},
            {"conditions": [{"status": "False", "message": "2 of 4: do this"}]},
            False,
            id="and not with another number",
        ),
    ],
)
def test_a_value_moved(before: dict[str, Any], after: dict[str, Any], expected: bool) -> None:
    assert moved(before, after) is expected


def test_findings_that_change_places_are_no_news() -> None:
    first = {"findings": [finding("A", hourly="1.01"), finding("B", hourly="1")]}
    second = {"findings": [finding("B", hourly="1.005"), finding("A", hourly="1")]}
    assert not moved(first, second)


def test_another_finding_of_the_same_cause_is_news() -> None:
    assert moved({"findings": [finding("A")]}, {"findings": [finding("A"), finding("A")]})
