"""`NAME=value`, arrays, `export`, `declare` and `unset`."""

from __future__ import annotations

import re

from tree_sitter import Node

from tokenfactory.inspection.shell.state import State, Value
from tokenfactory.inspection.shell.words import Expander
from tokenfactory.inspection.variables import UNKNOWN

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ELEMENT = re.compile(r"\[[^\]]*\]=")
PLAIN_OPTIONS = frozenset("-xargI")


def assign(node: Node, expander: Expander) -> str:
    """One `variable_assignment`; its name."""
    target, value = node.children[0], _value(node, expander)
    name = expander.raw(target)
    if target.type == "subscript":
        name = name.partition("[")[0]
        value = (UNKNOWN,)
    elif any(child.type == "+=" for child in node.children):
        value = _appended(expander.state, name, value)
    expander.state.assign(name, value)
    return name


def prefixes(node: Node, expander: Expander) -> dict[str, str]:
    """The assignments in front of a command's name, which its environment gets."""
    found: dict[str, str] = {}
    for child in node.children:
        if child.type == "variable_assignment":
            value = _value(child, expander)
            found[expander.raw(child.children[0])] = value if isinstance(value, str) else UNKNOWN
    return found


def declare(node: Node, expander: Expander) -> None:
    """`export`, `declare`, `local`, `readonly` and `typeset`. Other options make values unknown."""
    keyword = node.children[0].type
    options = "".join(word for word in map(expander.raw, node.children[1:]) if word.startswith("-"))
    exports = keyword == "export" or "x" in options
    names = []
    for child in node.children[1:]:
        if child.type == "variable_assignment":
            names.append(assign(child, expander))
        elif child.type != "comment" and not expander.raw(child).startswith("-"):
            for word in expander.words([child]):
                names += _declared(word, expander.state)
    state = expander.state
    for name in names:
        if not PLAIN_OPTIONS.issuperset(options) and options != "-n":
            state.assign(name, (UNKNOWN,))
        if exports:
            state.exported.add(name)
    if options == "-n":
        state.exported.difference_update(names)


def unset(node: Node, expander: Expander) -> None:
    """`unset NAME…`; of one that only the image may set, nothing is known either way."""
    words = [child for child in node.children[1:] if child.type != "comment"]
    expander.state.unset(word for word in expander.words(words) if not word.startswith("-"))


def _declared(word: str, state: State) -> list[str]:
    found = _ASSIGNMENT.fullmatch(word)
    if found:
        state.assign(found.group(1), found.group(2))
        return [found.group(1)]
    return [word] if _NAME.fullmatch(word) else []


def _value(node: Node, expander: Expander) -> Value:
    value = node.child_by_field_name("value")
    if value is None:
        return ""
    if value.type != "array":
        return expander.text(value)
    items = [child for child in value.children if child.type not in ("(", ")", "comment")]
    if any(_ELEMENT.match(expander.raw(item)) for item in items):
        return (UNKNOWN,)
    return tuple(expander.words(items))


def _appended(state: State, name: str, value: Value) -> Value:
    old = state.look_up(name)
    if isinstance(value, tuple):
        before = () if old is None else (old if isinstance(old, tuple) else (old,))
        return (*before, *value)
    if isinstance(old, tuple):
        return (old[0] + value, *old[1:]) if old else (value,)
    return (old or "") + value
