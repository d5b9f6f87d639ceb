"""`$NAME` and `${NAME…}`: the value, or UNKNOWN for what this reading does not follow."""

from __future__ import annotations

from collections.abc import Callable

from tree_sitter import Node

from tokenfactory.inspection.shell.state import State
from tokenfactory.inspection.variables import UNKNOWN

DEFAULTS = frozenset({":-", "-", ":=", "="})
ALTERNATIVES = frozenset({":+", "+"})
DEMANDS = frozenset({":?", "?"})
CASES = frozenset({"^^", ",,"})
AFFIXES = frozenset({"#", "##", "%", "%%"})
PATTERN = frozenset("*?[]\\$'\"")


def expand_parameter(
    node: Node, raw: Callable[[Node], str], state: State, evaluate: Callable[[Node], str]
) -> str:
    """The value of a `simple_expansion` or `expansion` node; `evaluate` gives the word after an operator."""
    parts = [child for child in node.children if child.type not in ("$", "${", "}")]
    if not parts or parts[0].type not in ("variable_name", "special_variable_name", "subscript"):
        return _length(parts, raw, state)
    value = _value(parts[0], raw, state)
    if len(parts) == 1:
        return UNKNOWN if value is None else value
    operator = raw(parts[1])
    if operator in DEFAULTS | ALTERNATIVES | DEMANDS:
        text = "".join(evaluate(part) for part in parts[2:]) if operator not in DEMANDS else ""
        return _conditional(operator, value, text, assign=lambda: state.assign(raw(parts[0]), text))
    if value is None or UNKNOWN in value:
        return UNKNOWN
    if operator in CASES and len(parts) == 2 and value.isascii():
        return value.upper() if operator == "^^" else value.lower()
    if operator in AFFIXES and len(parts) == 3:
        return _stripped(value, operator, raw(parts[2]))
    return UNKNOWN


def _value(node: Node, raw: Callable[[Node], str], state: State) -> str | None:
    name = raw(node)
    if node.type == "subscript":
        name, _, index = name.removesuffix("]").partition("[")
        elements = state.elements(name)
        known = index.isdigit() and len(index) < 4 and UNKNOWN not in elements
        return elements[int(index)] if known and int(index) < len(elements) else UNKNOWN
    if name == "#":
        return UNKNOWN if UNKNOWN in state.positional else str(len(state.positional))
    if name.isdigit():
        return _positional(int(name), state) if len(name) < 4 else UNKNOWN
    return state.scalar(name) if node.type == "variable_name" else UNKNOWN


def _positional(number: int, state: State) -> str | None:
    if not number:
        return state.name
    before = state.positional[:number]
    if UNKNOWN in before[:-1] or (UNKNOWN in before and len(before) < number):
        return UNKNOWN
    return before[-1] if len(before) == number else None


def _conditional(operator: str, value: str | None, text: str, *, assign: Callable[[], None]) -> str:
    """`:-` and its relatives; undecided where an unknown value may be empty."""
    counts_empty = operator.startswith(":")
    missing = value is None or (counts_empty and value == "")
    maybe_missing = value is not None and counts_empty and value != "" and not value.replace(UNKNOWN, "")
    if operator in DEMANDS:
        return UNKNOWN if value is None else value
    if operator in ALTERNATIVES:
        return UNKNOWN if maybe_missing else ("" if missing else text)
    if maybe_missing:
        return UNKNOWN
    if missing and operator.endswith("="):
        assign()
    return text if missing or value is None else value


def _length(parts: list[Node], raw: Callable[[Node], str], state: State) -> str:
    """`${#A[@]}`, `${#A}` and `$#`; everything else that begins with a mark is not followed."""
    if not parts or raw(parts[0]) != "#":
        return UNKNOWN
    if len(parts) == 1:
        return UNKNOWN if UNKNOWN in state.positional else str(len(state.positional))
    name = raw(parts[1])
    if name.endswith(("[@]", "[*]")):
        elements = state.elements(name[:-3])
        return UNKNOWN if UNKNOWN in elements else str(len(elements))
    value = _value(parts[1], raw, state)
    return (
        UNKNOWN
        if value is None or not value.isascii() or UNKNOWN in value or len(parts) > 2
        else str(len(value))
    )


def _stripped(value: str, operator: str, pattern: str) -> str:
    """A literal prefix or suffix removed; `##*/` and `%/*` as well, which people write for file names."""
    if operator == "##" and pattern == "*/":
        return value.rsplit("/", 1)[-1]
    if operator == "%" and pattern == "/*":
        return value.rsplit("/", 1)[0]
    if not PATTERN.isdisjoint(pattern):
        return UNKNOWN
    return value.removeprefix(pattern) if operator[0] == "#" else value.removesuffix(pattern)
