from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tokenfactory.inspection.flags import Broken, parse
from tokenfactory.inspection.variables import LARGEST, UNKNOWN, environment, expand


@pytest.mark.parametrize(
    ("words", "value"),
    [
        pytest.param(["--kv-cache-dtype", "fp8"], "fp8", id="two words"),
        pytest.param(["--kv-cache-dtype=fp8"], "fp8", id="equals sign"),
        pytest.param(["--kv_cache_dtype", "fp8"], "fp8", id="underscores"),
        pytest.param(["--kv_cache-dtype=a=b"], "a=b", id="only the first equals sign splits"),
        pytest.param(["--kv-cache-dtype", "a", "--kv-cache-dtype", "b"], "b", id="the last one counts"),
        pytest.param(["--kv-cache-dtype", "-1"], "-1", id="a negative number is a value"),
        pytest.param(["--kv-cache-dtype", "--x"], "", id="the next flag is not its value"),
        pytest.param(["--kv-cache-dtype"], "", id="nothing follows"),
        pytest.param(["kv-cache-dtype", "fp8"], None, id="words without dashes are no flag"),
        pytest.param(["--KV-cache-dtype", "fp8"], None, id="names are case-sensitive"),
    ],
)
def test_values_of_flags(words: list[str], value: str | None) -> None:
    assert parse(words).text("kv-cache-dtype") == value


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (["--enable-prefix-caching"], True),
        (["--no-enable-prefix-caching"], False),
        (["--no_enable_prefix_caching"], False),
        (["--disable-prefix-caching"], False),
        (["--no-enable-prefix-caching", "--enable-prefix-caching"], True),
        (["--enable-prefix-caching=false"], False),
        ([], None),
    ],
)
def test_switches_and_how_they_are_taken_back(words: list[str], state: bool | None) -> None:
    assert parse(words).switch("enable-prefix-caching") is state


@pytest.mark.parametrize("words", [["-q", "mxfp4"], ["-q=mxfp4"], ["--quantization", "mxfp4"]])
def test_short_names_are_names(words: list[str]) -> None:
    assert parse(words).text("quantization") == "mxfp4"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["--c", '{"a-b": 1}'], {"a_b": 1}, id="dashes in keys"),
        pytest.param(["--c.method", "mtp"], {"method": "mtp"}, id="a dotted key"),
        pytest.param(["--c.n", "3"], {"n": 3}, id="a dotted number"),
        pytest.param(["--c.a.b-c=4"], {"a": {"b_c": 4}}, id="nested dotted keys"),
        pytest.param(["--c", '{"m": 1}', "--c.n", "2"], {"m": 1, "n": 2}, id="JSON and dotted together"),
        pytest.param(["--c.x+", "1", "--c.x+", "2"], {"x": [1, 2]}, id="appending"),
        pytest.param(["--c", "null"], None, id="null is not given"),
        pytest.param(["--c", "{}"], {}, id="empty"),
        pytest.param(["--d", "{}"], None, id="another flag"),
        pytest.param(["--c", "{"], Broken(), id="no JSON"),
        pytest.param(["--c", "[1]"], Broken(), id="no object"),
        pytest.param(["--c", "[" * 60_000], Broken(), id="nested beyond reason"),
        pytest.param(["--c", '{"a": 1}', "--c.a.b", "1"], Broken(), id="a key below a number"),
        pytest.param(["--c." + "a." * 20 + "b", "1"], Broken(), id="dotted beyond reason"),
        pytest.param(["--c", UNKNOWN], Broken(unknown=True), id="unknown"),
        pytest.param(["--c.a", f"x{UNKNOWN}"], Broken(unknown=True), id="unknown below"),
        pytest.param([f"--c.{UNKNOWN}", "1"], Broken(unknown=True), id="an unknown key"),
    ],
)
def test_objects(words: list[str], expected: Mapping[str, Any] | Broken | None) -> None:
    assert parse(words).mapping("c") == expected


@pytest.mark.parametrize(
    ("words", "stray"),
    [
        pytest.param([UNKNOWN], True, id="alone it may be any flag"),
        pytest.param(["--trust-remote-code", UNKNOWN], True, id="after a switch"),
        pytest.param(["--something-new", UNKNOWN], True, id="after a flag that may be a switch"),
        pytest.param(["--api-key", UNKNOWN], False, id="the value of a flag that takes one"),
        pytest.param([f"--something-new={UNKNOWN}"], False, id="behind an equals sign"),
        pytest.param([f"--{UNKNOWN}"], True, id="as the flag's name"),
    ],
)
def test_an_unknown_word_is_any_flag_unless_it_must_be_a_value(words: list[str], stray: bool) -> None:
    assert parse(["model", *words]).stray_unknown is stray


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "a"),
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$(B)", UNKNOWN),
        ("$$(A)", "$(A)"),
        ("$A ${A}", "$A ${A}"),
        ("$(A", "$(A"),
        ("$", "$"),
    ],
)
def test_variables_expand_as_kubernetes_expands_them(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_variables_see_those_before_them() -> None:
    assert environment([("A", "1"), ("B", "$(A)2"), ("C", "$(D)"), ("D", "4")]) == {
        "A": "1",
        "B": "12",
        "D": "4",
    }


def test_expansion_that_feeds_on_itself_stops() -> None:
    doubling = [("V0", "x" * 1024)] + [(f"V{n}", f"$(V{n - 1})" * 2) for n in range(1, 40)]
    known = environment(doubling)
    assert sum(map(len, known.values())) <= LARGEST
    assert expand("$(V0)" * 300, known) == UNKNOWN
