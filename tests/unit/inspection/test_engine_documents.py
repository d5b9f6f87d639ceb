"""Configuration files are read within limits, and what is not known in them stays unknown."""

from __future__ import annotations

import pytest

from tokenfactory.inspection.engines.documents import (
    Unreadable,
    as_words,
    find_file,
    is_unknown,
    merge,
    parse_document,
    with_config,
)
from tokenfactory.inspection.variables import UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: &x [1]\nb: *x", id="an alias"),
        pytest.param("a: [" * 100, id="a hundred levels"),
        pytest.param("a: [" + "1," * 5000 + "1]", id="too many parts"),
        pytest.param("a: " + "x" * 65536, id="too long"),
        pytest.param("!!python/object/apply:os.system ['x']", id="a tag that runs code"),
        pytest.param("a: 1\n---\nb: 2", id="two documents"),
        pytest.param("just text", id="no object"),
        pytest.param("a: 9999-99-99", id="a date that is none"),
        pytest.param(f"a: 1\n{UNKNOWN}: 2", id="a key that is not known"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_can_not_be_read_says_so(text: str) -> None:
    assert isinstance(parse_document(text), Unreadable)


def test_an_unknown_value_stays_one_and_its_neighbours_are_known() -> None:
    found = parse_document(f"a: {UNKNOWN}\nb: 2")
    assert not isinstance(found, Unreadable)
    assert is_unknown(found["a"])
    assert found["b"] == 2


def test_an_unknown_value_in_a_list_becomes_an_unknown_word() -> None:
    found = parse_document(f"speculative-config: {{method: {UNKNOWN}}}")
    assert not isinstance(found, Unreadable)
    assert UNKNOWN in next(iter(as_words(found)))


def test_the_higher_document_wins_key_by_key() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}}) == {"a": {"b": 9, "c": 2}, "d": 3}


@pytest.mark.parametrize("path", ["/c/x.yaml", "/c/./x.yaml", "/c/d/../x.yaml"])
def test_a_path_is_found_however_it_is_written(path: str) -> None:
    assert find_file({"/c/x.yaml": "t"}, path) == "t"


def test_the_file_s_words_come_before_those_of_the_command_line() -> None:
    words, why = with_config(("m", "--config", "/c", "--a", "2"), {"/c": "a: 1\nfast: true\nslow: false"})
    assert (words, why) == (("m", "--a=1", "--fast", "--a", "2"), "")
