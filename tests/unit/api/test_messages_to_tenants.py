"""Messages never repeat what somebody wrote, whatever it was, and nothing but InvalidSpec is raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.api.parsing import parse_factory, parse_pool
from tokenfactory.errors import InvalidSpec

SECRET = "hunter2-canary"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=90), children, max_size=4)
    ),
    max_leaves=20,
)
POOL_FIELDS = st.sampled_from(
    [
        "selector",
        "poolRef",
        "optimizations",
        "objectives",
        "price",
        "metrics",
        "collapse",
        "windowSeconds",
        "suspend",
    ]
)
FACTORY_FIELDS = st.sampled_from(
    ["currency", "prices", "ownership", "priceOrder", "power", "references", "telemetry", "defaults"]
)


def rejection(body: dict[str, Any]) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as caught:
        parse_pool(body)
    return caught.value


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"windowSecond": 60},
            "spec.windowSecond: is not a field of this resource: did you mean windowSeconds?",
        ),
        (
            {"price": {"perGpuHour": "3"}},
            "spec.price.perGpuHour: is not a field of this resource: did you mean perGPUHour?",
        ),
        (
            {"optimizations": [{"name": "FP4", "polcy": "Required"}]},
            "spec.optimizations[0].polcy: is not a field of this resource: did you mean policy?",
        ),
        ({"token": "x"}, "spec.token: is not a field of this resource: remove it or correct its name"),
    ],
)
def test_a_misspelt_field_gets_the_name_that_was_meant(spec: dict[str, Any], message: str) -> None:
    selector = {"selector": {"matchLabels": {"app": "a"}}}
    assert str(rejection({"spec": selector | spec})).startswith(message)


@pytest.mark.parametrize(
    "spec",
    [
        {"selector": {"matchLabels": {"app": f"--api-key={SECRET}"}}},
        {"selector": {"matchLabels": {"app": "a"}}, "price": {"perGPUHour": SECRET}},
        {"selector": {"matchLabels": {"app": "a"}}, "metrics": {"path": f"http://user:{SECRET}@host/"}},
        {"selector": {"matchLabels": {"app": "a"}}, "optimizations": [{"name": SECRET}]},
        {"selector": {"matchLabels": {"app": "a"}}, "factoryName": SECRET.upper()},
        {"selector": SECRET},
        {"selector": {"matchLabels": {"app": "a"}}, "windowSeconds": SECRET},
        {"selector": {"matchLabels": {"app": "a"}}, "token": SECRET},
    ],
)
def test_a_secret_in_a_value_is_not_repeated(spec: dict[str, Any]) -> None:
    error = rejection({"spec": spec})
    assert SECRET.lower() not in f"{error} {error.field} {error.message} {error.__cause__}".lower()


def test_a_field_name_is_shortened() -> None:
    error = rejection({"spec": {"selector": {"matchLabels": {"app": "a"}}, "x" * 5000: 1}})
    assert error.field == f"spec.{'x' * 61}..."


def test_a_field_name_of_64_characters_is_shown_whole() -> None:
    assert rejection({"spec": {"y" * 64: 1}}).field == f"spec.{'y' * 64}"


def test_a_field_name_is_made_printable() -> None:
    assert rejection({"spec": {"a\x1b[31m\nb\u202e": 1}}).field == "spec.a?[31m?b?"


def test_a_document_nested_without_end_is_refused_like_any_other() -> None:
    deep: dict[str, Any] = {}
    for _ in range(20_000):
        deep = {"matchLabels": deep}
    assert rejection({"spec": {"selector": deep}}).field.startswith("spec.selector")


def refused(parse: Callable[[Mapping[str, Any]], object], spec: dict[str, Any]) -> InvalidSpec | None:
    """The refusal, None when the spec is parsed. Anything else that is raised fails the test."""
    try:
        parse({"spec": spec})
    except InvalidSpec as error:
        return error
    return None


def is_short_and_printable(error: InvalidSpec | None) -> bool:
    return error is None or (
        len(error.field) <= 256
        and len(error.message) <= 512
        and str(error).isascii()
        and str(error).isprintable()
    )


@given(st.dictionaries(POOL_FIELDS | st.text(max_size=90), JSON, max_size=5))
def test_whatever_a_pool_holds_it_is_parsed_or_refused_with_a_short_printable_message(
    spec: dict[str, Any],
) -> None:
    assert is_short_and_printable(refused(parse_pool, spec))


@given(st.dictionaries(FACTORY_FIELDS | st.text(max_size=90), JSON, max_size=5))
def test_whatever_a_factory_holds_it_is_parsed_or_refused_with_a_short_printable_message(
    spec: dict[str, Any],
) -> None:
    assert is_short_and_printable(refused(parse_factory, spec))
