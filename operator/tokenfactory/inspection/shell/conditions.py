"""`[ … ]`, `[[ … ]]` and `test …`: true, false, or None for what the pod does not decide."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tree_sitter import Node

from tokenfactory.inspection.shell.limits import DEEPEST, TOO_DEEP, Untraceable
from tokenfactory.inspection.shell.state import State
from tokenfactory.inspection.shell.words import Expander
from tokenfactory.inspection.variables import UNKNOWN

EXPRESSIONS = frozenset(
    {"unary_expression", "binary_expression", "ternary_expression", "postfix_expression"}
    | {"parenthesized_expression"}
)
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_PATTERN = re.compile(r"[*?\[\\]|[@+!]\(")
Truth = bool | None
_ORDERS = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge"})


def decide(node: Node, expander: Expander, *, depth: int = 0) -> bool | None:
    """The truth of a `test_command` or of an expression in one."""
    if depth > DEEPEST:
        raise Untraceable(TOO_DEEP)
    parts = [child for child in node.children if child.type not in ("[", "]", "[[", "]]", "(", ")")]
    if node.type in ("test_command", "parenthesized_expression"):
        return decide(parts[0], expander, depth=depth + 1) if len(parts) == 1 else None
    if node.type == "unary_expression" and len(parts) == 2:
        operator = expander.raw(parts[0])
        if operator == "!":
            return _negated(decide(parts[1], expander, depth=depth + 1))
        if parts[1].type in EXPRESSIONS:
            return None
        return _one(operator, expander.text(parts[1]), expander.state)
    if node.type == "binary_expression" and len(parts) == 3:
        operator = expander.raw(parts[1])
        if operator in ("&&", "-a", "||", "-o"):
            sides = [decide(part, expander, depth=depth + 1) for part in (parts[0], parts[2])]
            return _both(sides, stops_at=operator in ("||", "-o"))
        return _compare(expander, parts[0], operator, parts[2])
    if node.type in EXPRESSIONS:
        return None
    return _one("-n", expander.text(node), expander.state)


def decide_words(words: Sequence[str], state: State) -> bool | None:
    """The truth of `test` with these words: the forms of one, two and three of them."""
    if words[:1] == ["!"]:
        return _negated(decide_words(words[1:], state)) if len(words) > 1 else True
    if not words:
        return False
    if len(words) == 1:
        return _one("-n", words[0], state)
    if len(words) == 2:
        return _one(words[0], words[1], state)
    if len(words) == 3:
        return _two(words[0], words[1], words[2])
    return None


def _compare(expander: Expander, left: Node, operator: str, right: Node) -> bool | None:
    if left.type == "unary_expression" and left.children[0].type == "!" and left.child_count == 2:
        return _negated(_compare(expander, left.children[1], operator, right))
    if left.type in EXPRESSIONS or right.type in EXPRESSIONS:
        return None
    if operator == "=~" or (
        _PATTERN.search(expander.raw(right)) and right.type in ("extglob_pattern", "regex")
    ):
        expander.text(left)
        return None
    return _two(expander.text(left), operator, expander.text(right))


def _one(operator: str, text: str, state: State) -> bool | None:
    if operator in ("-n", "-z"):
        if UNKNOWN in text and not text.replace(UNKNOWN, ""):
            return None
        return bool(text) is (operator == "-n")
    if operator in ("-f", "-e", "-r", "-s") and state.read_file(text):
        return True
    return None


def _two(left: str, operator: str, right: str) -> bool | None:
    if UNKNOWN in left or UNKNOWN in right:
        return None
    if operator in ("=", "=="):
        return left == right
    if operator == "!=":
        return left != right
    if operator in _ORDERS and _NUMBER.fullmatch(left) and _NUMBER.fullmatch(right):
        one, two = int(left), int(right)
        return {
            "-eq": one == two,
            "-ne": one != two,
            "-lt": one < two,
            "-le": one <= two,
            "-gt": one > two,
            "-ge": one >= two,
        }[operator]
    return None


def _negated(truth: Truth) -> bool | None:
    return None if truth is None else not truth


def _both(sides: Sequence[bool | None], *, stops_at: bool) -> bool | None:
    """And (stops at False) or or (stops at True), with what is not decided."""
    if stops_at in sides:
        return stops_at
    return None if None in sides else not stops_at
