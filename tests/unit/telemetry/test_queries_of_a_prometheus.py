"""What a Prometheus is asked: nothing but what the templates say, whatever names there are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.telemetry.queries import SLICES, quote, select_pages

LITERAL = r'"(?:[^"\\]|\\.)*"'
MATCHER = rf"([a-zA-Z_][a-zA-Z0-9_]*)(=~|!=|=)({LITERAL})"
SELECTOR = re.compile(rf"\{{({MATCHER}(?:,{MATCHER})*)\}}\[[0-9]+s\]")
EVIL = ('x"} or vector(1) #', "x\\", "x\n", 'x",pod="y', "", ".*", "x" * 64, "Serving", "sérving")


def ask(**changes: Any) -> str:
    given_values: dict[str, Any] = {
        "namespace": "serving",
        "namespace_label": "namespace",
        "pod_label": "pod",
        "part": "",
        "seconds": 38,
    }
    return select_pages(("vllm:a_total", "vllm:b"), **{**given_values, **changes})


def matchers(query: str) -> list[tuple[str, str]]:
    """The label and operator of each matcher, by a tokenizer of its own."""
    assert SELECTOR.fullmatch(query), query
    return [(label, sign) for label, sign, _ in re.findall(MATCHER, query)]


def test_a_query_names_the_metrics_and_forces_the_namespace() -> None:
    assert ask() == '{__name__=~"up|vllm:a_total|vllm:b",namespace="serving",pod!=""}[38s]'


@pytest.mark.parametrize("part", [part for parts in SLICES for part in parts if part])
def test_a_slice_adds_a_matcher_of_the_address_and_keeps_the_others(part: str) -> None:
    assert matchers(ask(part=part)) == [
        ("__name__", "=~"),
        ("namespace", "="),
        ("pod", "!="),
        ("instance", "=~"),
    ]


@pytest.mark.parametrize("text", EVIL, ids=lambda text: repr(text[:10]))
@pytest.mark.parametrize("field", ["namespace", "namespace_label", "pod_label"])
def test_a_name_that_no_api_server_would_let_through_is_not_asked_for(field: str, text: str) -> None:
    if field != "namespace" and text == "Serving":
        pytest.skip("a fine name of a label")
    if field != "namespace" and text == "x" * 64:
        text += "x"
    with pytest.raises(ValueError, match="not the name"):
        ask(**{field: text})


@pytest.mark.parametrize("name", ["", "a b", 'a"', "a|b", "a.b", "a{", "é"])
def test_a_name_that_is_no_metric_is_not_asked_for(name: str) -> None:
    with pytest.raises(ValueError, match="metric"):
        select_pages(("fine", name), namespace="a", namespace_label="n", pod_label="p", part="", seconds=1)


@given(st.text(max_size=40))
def test_a_quoted_text_is_one_literal_that_means_the_text(text: str) -> None:
    literal = quote(text)
    assert re.fullmatch(LITERAL, literal, re.DOTALL)
    assert "\n" not in literal
    meant = re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], literal[1:-1])
    assert meant == text


@given(st.text(max_size=20))
def test_whatever_a_namespace_is_called_the_matchers_are_the_same(namespace: str) -> None:
    try:
        query = ask(namespace=namespace)
    except ValueError:
        return
    assert matchers(query) == [("__name__", "=~"), ("namespace", "="), ("pod", "!=")]


@pytest.mark.parametrize(
    "instance",
    ["10.0.0.17:8000", "[fd00::1a]:8000", "[fd00::10:7]:80", "node-3", "pod-abc"],
)
@pytest.mark.parametrize("parts", SLICES[1:], ids=["sixths", "letters"])
def test_every_address_is_in_exactly_one_slice(instance: str, parts: tuple[str, ...]) -> None:
    assert sum(re.fullmatch(part, instance) is not None for part in parts) == 1
