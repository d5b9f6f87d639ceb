"""Words of the tree to the words that a command gets: quotes, escapes, expansions, splitting."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tree_sitter import Node

from tokenfactory.inspection.shell.arithmetic import calculate
from tokenfactory.inspection.shell.expansions import expand_parameter
from tokenfactory.inspection.shell.fields import BLANKS, Fields
from tokenfactory.inspection.shell.limits import DEEPEST, NOT_SHELL, TOO_DEEP, Untraceable
from tokenfactory.inspection.shell.state import State
from tokenfactory.inspection.variables import UNKNOWN

HOLE = "\uf8ff"
"""Stands in a script's text for a value that Kubernetes puts there and the pod does not say."""

TOKENS_OF_TEXT = frozenset({"{", "}", "[", "]", ",", ":", "=", "==", "=~"})
"""Tokens of the grammar that are plain text as a word, or as a piece of one."""
QUOTED_TYPES = frozenset({"string", "translated_string"})
EXPANSION_TYPES = frozenset(
    {"simple_expansion", "expansion", "command_substitution", "arithmetic_expansion", "process_substitution"}
)
PLAIN_TYPES = frozenset({"word", "number", "variable_name", "test_operator", "extglob_pattern", "regex"})
MOST_OF_A_RANGE = 64

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUOTED_ESCAPE = re.compile(r'\\([$`"\\\n])')
_HEREDOC_ESCAPE = re.compile(r"\\([$`\\\n])")
_ANSI_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ANSI = MappingProxyType({"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"', "?": "?"})
_RANGE = re.compile(r"\{(-?\d{1,6})\.\.(-?\d{1,6})\}")
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Expander:
    """Expands words of one text. `substitute` gives the output of a command substitution, or UNKNOWN."""

    source: bytes
    state: State
    substitute: Callable[[Node], str]

    def words(self, nodes: Sequence[Node]) -> list[str]:
        """The fields of all nodes; nodes without a blank between them are one word, as in the shell."""
        found: list[str] = []
        position = 0
        while position < len(nodes):
            end = position + 1
            while end < len(nodes) and nodes[end].start_byte == nodes[end - 1].end_byte:
                end += 1
            found += self.word(nodes[position:end])
            position = end
        return found

    def word(self, pieces: Sequence[Node]) -> list[str]:
        """The fields of one word that is written as `pieces`."""
        if len(pieces) == 1 and pieces[0].type == "brace_expression":
            return self._range(pieces[0])
        fields = Fields(self.state.budget)
        for piece in pieces:
            self._add(piece, fields, splits=True, depth=0)
        return [UNKNOWN] if self._has_patterns(pieces) else fields.take()

    def text(self, node: Node) -> str:
        """The value of one node without splitting, as in an assignment."""
        fields = Fields(self.state.budget)
        self._add(node, fields, splits=False, depth=0)
        return " ".join(fields.take())

    def raw(self, node: Node) -> str:
        """The node as written."""
        return self.source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def heredoc(self, node: Node, *, literal: bool, tabs: bool) -> str:
        """The text of a here-document. `literal`: its mark is quoted. `tabs`: leading tabs are dropped."""
        if literal:
            text = self.raw(node).replace(HOLE, UNKNOWN)
            return re.sub(r"(?m)^\t+", "", text) if tabs else text
        parts: list[str] = []
        for child, written in self._segments(node, node.start_byte, node.end_byte):
            text = re.sub(r"(?m)^\t+", "", written) if tabs else written
            parts += (_HEREDOC_ESCAPE.sub(_after_escape, text).replace(HOLE, UNKNOWN),)
            if child is not None:
                parts.append(self._inside_quotes(child, 1))
        return self.state.budget.write("".join(parts))

    def _add(self, node: Node, fields: Fields, *, splits: bool, depth: int) -> None:
        self.state.budget.step()
        if depth > DEEPEST:
            raise Untraceable(TOO_DEEP)
        kind = node.type
        if kind in PLAIN_TYPES and not node.child_count:
            fields.add(self._unescaped(node))
        elif kind == "raw_string":
            fields.add(self.raw(node)[1:-1].replace(HOLE, UNKNOWN))
        elif kind in QUOTED_TYPES:
            self._add_quoted(node, fields, depth)
        elif kind == "ansi_c_string":
            fields.add(_ansi(self.raw(node)[2:-1]))
        elif kind in ("concatenation", "command_name"):
            self._add_children(node, fields, splits=splits, depth=depth)
        elif kind in EXPANSION_TYPES:
            self._add_expansion(node, fields, splits=splits, depth=depth)
        elif kind == "brace_expression":
            fields.add(UNKNOWN)
        elif kind == "$" and not self._touches_next(node):
            fields.add("$")
        elif not node.is_named and not node.child_count and kind in TOKENS_OF_TEXT:
            fields.add(kind)
        else:
            raise Untraceable(NOT_SHELL)

    def _add_children(self, node: Node, fields: Fields, *, splits: bool, depth: int) -> None:
        end = node.start_byte
        for child in node.children:
            if self.source[end : child.start_byte].replace(b"\\\n", b""):
                raise Untraceable(NOT_SHELL)
            self._add(child, fields, splits=splits, depth=depth + 1)
            end = child.end_byte

    def _add_quoted(self, node: Node, fields: Fields, depth: int) -> None:
        """Between the quotes, text is taken from the source: the tree leaves out blanks."""
        start = node.start_byte + (2 if node.type == "translated_string" else 1)
        if node.type == "translated_string":
            raise Untraceable(NOT_SHELL)
        empty = True
        for child, text in self._segments(node, start, node.end_byte - 1):
            if text:
                fields.add(_QUOTED_ESCAPE.sub(_after_escape, text).replace(HOLE, UNKNOWN))
                empty = False
            if child is not None:
                empty = False
                items = self._spread(child, depth + 1)
                if items is None or "*" in self.raw(child):
                    fields.add(self._inside_quotes(child, depth + 1))
                else:
                    fields.spread(items)
        if empty:
            fields.add("")

    def _segments(self, node: Node, start: int, end: int) -> list[tuple[Node | None, str]]:
        """Literal text and the expansion after it, in order."""
        found: list[tuple[Node | None, str]] = []
        for child in node.children:
            if child.type in EXPANSION_TYPES:
                text = self.source[start : child.start_byte].decode("utf-8", "replace")
                found.append((child, text))
                start = child.end_byte
        found.append((None, self.source[start:end].decode("utf-8", "replace")))
        return found

    def _add_expansion(self, node: Node, fields: Fields, *, splits: bool, depth: int) -> None:
        items = self._spread(node, depth)
        if items is None:
            text = self._joined(node, depth)
            if splits and self._holds_quotes(node) and (not text or any(blank in text for blank in BLANKS)):
                fields.add(self._quoted_default(node, text))
                return
            items = (text,)
        if not splits:
            fields.add(" ".join(items))
            return
        for position, item in enumerate(items):
            if position:
                fields.split(" ")
            fields.split(item)

    def _spread(self, node: Node, depth: int) -> tuple[str, ...] | None:
        """The elements, for `$@` and `${A[@]}`; None for what has one value."""
        if node.type not in ("simple_expansion", "expansion"):
            return None
        written = self.raw(node)
        if written in ("$@", "${@}", "$*", "${*}"):
            return self.state.positional
        found = re.fullmatch(r"\$\{([A-Za-z_]\w*)\[[@*]\]\}", written, re.ASCII)
        if found is None:
            return None
        return self.state.elements(found.group(1))

    def _joined(self, node: Node, depth: int) -> str:
        """The one value of an expansion."""
        if depth > DEEPEST:
            raise Untraceable(TOO_DEEP)
        items = self._spread(node, depth)
        if items is not None:
            return self.state.budget.write(" ".join(items))
        if node.type == "command_substitution":
            return self.state.budget.write(self.substitute(node))
        if node.type == "arithmetic_expansion":
            return calculate(self.raw(node)[3:-2], self.state)
        if node.type == "process_substitution":
            return UNKNOWN
        return expand_parameter(node, self.raw, self.state, lambda inner: self._default(inner, depth + 1))

    def _inside_quotes(self, node: Node, depth: int) -> str:
        """Between double quotes, single quotes in a default are text: that is not followed."""
        text = self._joined(node, depth)
        return (
            UNKNOWN
            if self._holds_quotes(node) and node.type == "expansion" and "'" in self.raw(node)
            else text
        )

    def _holds_quotes(self, node: Node) -> bool:
        """Whether a parameter expansion has quotes of its own."""
        return node.type == "expansion" and not {'"', "'"}.isdisjoint(self.raw(node))

    def _quoted_default(self, node: Node, text: str) -> str:
        """`${X:-"a b"}` outside of quotes is one word when the default is used; mixtures are not followed."""
        parts = [child for child in node.children if child.is_named]
        plain = (
            len(parts) == 2 and parts[0].type == "variable_name" and parts[1].type in ("string", "raw_string")
        )
        used = (
            plain and not self.state.scalar(self.raw(parts[0])) and any(c.type == ":-" for c in node.children)
        )
        return text if used else UNKNOWN

    def _default(self, node: Node, depth: int) -> str:
        """The word after `:-`, where blanks belong to the value."""
        fields = Fields(self.state.budget)
        self._add(node, fields, splits=False, depth=depth)
        return " ".join(fields.take())

    def _unescaped(self, node: Node) -> str:
        text = self.raw(node)
        if text.startswith("~"):
            return UNKNOWN
        if "\\" in text:
            text = _ESCAPE.sub(_after_escape, text)
        return text.replace(HOLE, UNKNOWN)

    def _touches_next(self, node: Node) -> bool:
        after = self.source[node.end_byte : node.end_byte + 1]
        return bool(after) and after not in b" \t\n;&|)\"'"

    def _has_patterns(self, pieces: Sequence[Node]) -> bool:
        """Whether the shell may make other words of it: file name patterns and sets in braces."""
        plain = "".join(self._unquoted(piece, 0) for piece in pieces)
        return (
            "*" in plain
            or "?" in plain
            or any("," in inner or ".." in inner for inner in _BRACES.findall(plain))
        )

    def _unquoted(self, node: Node, depth: int) -> str:
        """The text outside of quotes and expansions, which are replaced by a letter."""
        if node.type in PLAIN_TYPES:
            return _ESCAPE.sub("_", self.raw(node))
        if node.type in ("concatenation", "command_name", "brace_expression") and depth < DEEPEST:
            return "".join(self._unquoted(child, depth + 1) for child in node.children)
        return node.type if not node.is_named else "_"

    def _range(self, node: Node) -> list[str]:
        found = _RANGE.fullmatch(self.raw(node))
        if found is None:
            return [UNKNOWN]
        first, last = int(found.group(1)), int(found.group(2))
        step = 1 if first <= last else -1
        if abs(first - last) > MOST_OF_A_RANGE:
            return [UNKNOWN]
        return [str(number) for number in range(first, last + step, step)]


def _after_escape(found: re.Match[str]) -> str:
    return "" if found.group(1) == "\n" else found.group(1)


def _ansi(text: str) -> str:
    """`$'…'`: the escapes that people use; UNKNOWN when there is another one."""
    if any(item not in _ANSI for item in _ANSI_ESCAPE.findall(text)):
        return UNKNOWN
    return _ANSI_ESCAPE.sub(lambda found: _ANSI[found.group(1)], text).replace(HOLE, UNKNOWN)
