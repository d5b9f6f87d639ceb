"""From script text to the tree of tree-sitter-bash, within a counted budget.

Malformed input is super-linear in the parser. All of that time goes through its lexer, which asks for the
text in pieces of four bytes here, so that counting what it asks for bounds the work: ordinary scripts ask
less than once per byte. The parser's own progress callback is not used: on CPython 3.11 the binding of
0.25 crashes in it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import tree_sitter_bash
from tree_sitter import Language, Node, Parser, Point

from tokenfactory.inspection.shell.limits import (
    CONTROL,
    DEEPEST,
    ENDLESS,
    LONGEST_SCRIPT,
    NOT_SHELL,
    TOO_DEEP,
    TOO_LONG,
    Untraceable,
)

LANGUAGE: Final = Language(tree_sitter_bash.language())
PIECE = 4
READS_PER_BYTE = 2
READS_BESIDES = 4096
MOST_MARKS = MappingProxyType(
    {"`": 64, "<": 192, ">": 384, "|": 384, "&": 384, "!": 192, "^": 192, "$": 1024, "(": 512, ")": 512}
    | {"[": 512, "]": 512, "{": 1024, "}": 1024, ";": 1024, "#": 1024}
    | {"case": 256, "for": 2048, "function": 512}
)
"""Nested or unmatched marks cost the square of their number, some without asking for text."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BLANK = re.compile(rb"(?:[ \t\n]|\\\n)*")
_ENDS_AT_A_BLANK = frozenset({"variable_assignment", "variable_assignments", "array"})
_TESTS = frozenset({"test_command", "binary_expression", "unary_expression"})
_FREE_TEXT = frozenset({"string", "translated_string", "heredoc_body", "expansion", "regex", "raw_string"})


class Reader:
    """The parser's source; says `spent` when more was asked for than the budget allows."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.reads = 0
        self.most = READS_BESIDES + READS_PER_BYTE * len(source)

    @property
    def spent(self) -> bool:
        """Whether the budget is used up: the tree is worth nothing then."""
        return self.reads > self.most

    def __call__(self, offset: int, _: Point) -> bytes:
        """The next few bytes; the end of the text once the budget is spent."""
        self.reads += 1
        return b"" if self.spent else self.source[offset : offset + PIECE]


def parse_script(script: str) -> tuple[Node, bytes]:
    """The root of the tree and the bytes that it points into. Raises Untraceable."""
    if len(script) > LONGEST_SCRIPT:
        raise Untraceable(TOO_LONG)
    source = script.encode("utf-8", "replace")
    if len(source) > LONGEST_SCRIPT:
        raise Untraceable(TOO_LONG)
    if _CONTROL.search(script):
        raise Untraceable(CONTROL)
    if any(script.count(mark) > most for mark, most in MOST_MARKS.items()):
        raise Untraceable(ENDLESS)
    reader = Reader(source)
    root = Parser(LANGUAGE).parse(reader).root_node
    if reader.spent:
        raise Untraceable(ENDLESS)
    if root.has_error:
        raise Untraceable(NOT_SHELL)
    _check_nothing_is_lost(root, source)
    return root, source


def _check_nothing_is_lost(root: Node, source: bytes) -> None:
    """The grammar skips or cuts text in a few odd places; a word may be lost or changed there.

    A lone `-` before a here-document is lost without harm: it stands for the input, which is read anyway.
    """
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST:
            raise Untraceable(TOO_DEEP)
        if node.type in _FREE_TEXT or not node.child_count:
            continue
        children = node.children
        for left, right in pairwise(children):
            gap = source[left.end_byte : right.start_byte]
            cut = (
                not gap
                and right.is_named
                and (left.type in _ENDS_AT_A_BLANK or (left.is_named and node.type in _TESTS))
            )
            lost = node.type == "redirected_statement" and gap.strip() == b"-"
            if cut or not (lost or _BLANK.fullmatch(gap)):
                raise Untraceable(NOT_SHELL)
        waiting.extend((child, depth + 1) for child in children)
