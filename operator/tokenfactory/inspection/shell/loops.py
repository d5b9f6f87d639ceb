"""Loops and `case`: round by round where the words are known, otherwise what they assign is unknown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial

from tree_sitter import Node

from tokenfactory.inspection.shell.limits import NOT_SHELL, Untraceable
from tokenfactory.inspection.shell.run import Leave, Run, Status, branch
from tokenfactory.inspection.shell.state import State
from tokenfactory.inspection.shell.words import Expander
from tokenfactory.inspection.variables import UNKNOWN

ENDLESS = frozenset({b"true", b":", b"while true", b"while :"})
SHIFTS = re.compile(rb"\bshift\b")
READS = re.compile(rb"\b(?:read|mapfile|readarray|getopts|source|eval|\.)\s")
NAMED = frozenset({"variable_assignment", "postfix_expression", "for_statement"})
LEAVES_FALLING_THROUGH = frozenset({";&", ";;&"})


def forget_assigned(node: Node, run: Run, state: State) -> None:
    """Everything that is assigned anywhere below the node may have any value."""
    written = run.source[node.start_byte : node.end_byte]
    if READS.search(written):
        state.forget_all()
    if SHIFTS.search(written):
        state.positional = (UNKNOWN,)
    waiting = [node]
    while waiting:
        child = waiting.pop()
        run.budget.step()
        if child.type in ("variable_name", "word") and child.parent is not None:
            _forget(child, run, state)
        waiting.extend(child.children)


def follow_while(node: Node, run: Run, state: State) -> Status:
    """Any number of rounds: one is followed, in which nothing that the loop assigns is known."""
    body = node.child_by_field_name("body")
    if body is None:
        raise Untraceable(NOT_SHELL)
    conditions = [] if node.type == "c_style_for_statement" else node.children_by_field_name("condition")
    forget_assigned(node, run, state)
    endless = b"".join(run.source[item.start_byte : item.end_byte] for item in conditions).strip(b"; \n")
    inner = replace(run, exits=[])
    for condition in conditions:
        if condition.is_named:
            run.follow(condition, inner, state)
    if endless in ENDLESS:
        with suppress(Leave):
            run.follow(body, inner, state)
    else:
        branch(inner, state, [lambda at_run, at: _round(body, at_run, at), lambda _, __: None])
    inner.settle(state)
    forget_assigned(node, run, state)
    return Status.UNDECIDED


def follow_for(node: Node, expander: Expander, run: Run, state: State) -> Status:
    """Round by round when all words are known."""
    name, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
    if name is None or body is None or node.children[0].type != "for":
        raise Untraceable(NOT_SHELL)
    variable = expander.raw(name)
    values = expander.words(node.children_by_field_name("value"))
    if not any(child.type == "in" for child in node.children):
        values = list(state.positional)
    if any(UNKNOWN in value for value in values):
        return _unknown_rounds(node, variable, body, run, state)
    inner = replace(run, exits=[])
    for value in values:
        state.assign(variable, value)
        try:
            run.follow(body, inner, state)
        except Leave as left:
            if not left.again:
                break
    inner.settle(state)
    return Status.LIKELY


def follow_case(node: Node, expander: Expander, run: Run, state: State, follow_all: FollowAll) -> Status:
    """The first item that matches; all of them as alternatives where that is not decided."""
    value_node = node.child_by_field_name("value")
    value = UNKNOWN if value_node is None else expander.text(value_node)
    items = [child for child in node.children if child.type == "case_item"]
    if any(child.type in LEAVES_FALLING_THROUGH for item in items for child in item.children):
        raise Untraceable(NOT_SHELL)
    options: list[Callable[[Run, State], object]] = []
    for item in items:
        matched = _matches(item, value, expander)
        if matched is False:
            continue
        body = _body(item)
        if matched and not options:
            return follow_all(body, run, state)
        options.append(partial(_alternative, body, follow_all))
        if matched:
            break
    else:
        options.append(lambda _, __: None)
    branch(run, state, options)
    return Status.UNDECIDED


FollowAll = Callable[[Sequence[Node], Run, State], Status]


def _unknown_rounds(node: Node, variable: str, body: Node, run: Run, state: State) -> Status:
    forget_assigned(node, run, state)
    state.assign(variable, UNKNOWN)
    inner = replace(run, exits=[])
    branch(inner, state, [lambda at_run, at: _round(body, at_run, at), lambda _, __: None])
    inner.settle(state)
    forget_assigned(node, run, state)
    return Status.UNDECIDED


def _round(body: Node, run: Run, state: State) -> None:
    try:
        run.follow(body, run, state)
    except Leave:
        return


def _forget(child: Node, run: Run, state: State) -> None:
    parent = child.parent
    if parent is None or parent.type in ("command", "concatenation"):
        return
    if child.type == "word" and parent.type not in NAMED | {"binary_expression", "unary_expression"}:
        return
    if child.type == "variable_name" and parent.type in ("simple_expansion", "expansion", "unset_command"):
        return
    name = run.source[child.start_byte : child.end_byte].decode("utf-8", "replace")
    state.assign(name, (UNKNOWN,) if isinstance(state.look_up(name), tuple) else UNKNOWN)


def _alternative(body: Sequence[Node], follow_all: FollowAll, run: Run, state: State) -> Status:
    return follow_all(body, run, state)


def _body(item: Node) -> list[Node]:
    end = next((position for position, child in enumerate(item.children) if child.type == ")"), 0)
    return list(item.children[end + 1 :])


def _matches(item: Node, value: str, expander: Expander) -> bool | None:
    """Whether a pattern of the item matches; only `*` matches what is not known."""
    answers: list[bool | None] = []
    for pattern in item.children_by_field_name("value"):
        written = expander.raw(pattern)
        if written == "*":
            return True
        if UNKNOWN in value or any(mark in written for mark in "[]()\\$`"):
            answers.append(None)
        elif "*" in written or "?" in written:
            answers.append(None if set("'\"") & set(written) else fnmatchcase(value, written))
        else:
            answers.append(expander.text(pattern) == value)
    if True in answers:
        return True
    return None if None in answers or not answers else False
