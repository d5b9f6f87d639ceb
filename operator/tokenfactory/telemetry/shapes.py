"""What a page looks like without its values, remembered: the next page of that shape costs a fraction.

An engine's pages differ from scrape to scrape in nothing but numbers, and those of a fleet repeat. A page
that differs in any wanted line, in a way that matters or not, is read in full by the scanner.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from math import isnan
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]
Row = tuple[str, Labels]
_HEAD = rb"(?![a-zA-Z0-9_:])(?:\{[^\n#}]*+\} | )?"
_CAPACITY = 100_000
_LOOSE_CAPACITY = 2048


class Shape:
    """The wanted samples of a page in its order, and which of the asked types it declares.

    Equal when their contents are; the hash is taken once. The labels of a loose sample are left out.
    """

    __slots__ = ("_hash", "names", "rows", "types")

    def __init__(self, rows: tuple[Row, ...], types: frozenset[bytes]) -> None:
        self.rows = rows
        self.types = types
        self.names = frozenset(name for name, _ in rows)
        self._hash = hash((rows, types))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Shape) and self.types == other.types and self.rows == other.rows


class Columns(NamedTuple):
    """A page's shape and its values, one for each row; `loose` has the labels of its loose samples."""

    shape: Shape
    values: Sequence[float]
    loose: tuple[Labels, ...]


class Cut(NamedTuple):
    """Digests of the wanted lines of a page, of those that hold still and of the others, and the values."""

    digest: bytes
    loose: bytes
    values: Sequence[float]


class Memory:
    """Shapes seen, of pages with these samples and types; bounded. `loose` samples change their labels.

    It tells pages apart by all wanted lines up to their values, as they stand. A wanted line that begins
    with a blank or has anything after its value makes a page one that is not remembered. `pattern` finds
    the lines that matter; what it finds goes to `cut`.
    """

    __slots__ = ("_held", "_loose", "_shapes", "pattern")

    def __init__(self, names: frozenset[bytes], *, loose: frozenset[bytes], types: frozenset[bytes]) -> None:
        rigid = [one_of(names - loose) + _HEAD, rb"[ \t][^\n]*"]
        if types:
            rigid.append(rb"# TYPE " + one_of(types) + rb" [^\n]*")
        self.pattern = re.compile(
            rb"\n(?:(%b)|(%b))([-+.0-9a-zA-Z]*+)([^\n]*)"
            % (b"|".join(rigid), one_of(loose) + _HEAD if loose else rb"(?!)")
        )
        self._shapes: dict[bytes, Shape] = {}
        self._loose: dict[bytes, tuple[Labels, ...]] = {}
        self._held = 0

    def cut(self, found: Sequence[tuple[bytes, ...]]) -> Cut | None:
        """The lines that matter, cut before their values; None for a page that is not for remembering."""
        if not found:
            return None
        heads, loose, texts, tails = zip(*found, strict=True)
        if any(tails):
            return None
        try:
            values = [float(text) for text in texts if text]
        except ValueError:
            return None
        return Cut(_digest(heads), _digest(filter(None, loose)), values) if values else None

    def recall(self, cut: Cut) -> Columns | None:
        """The page's columns, when a page of its shape was learned."""
        shape, loose = self._shapes.get(cut.digest), self._loose.get(cut.loose)
        if shape is None or loose is None or len(shape.rows) != len(cut.values):
            return None
        return Columns(shape, cut.values, loose)

    def learn(self, cut: Cut, columns: Columns) -> None:
        """Remembers a page that was read in full, if cutting it gave the very same values."""
        if not _same(cut.values, columns.values):
            return
        size = len(columns.shape.rows) + 1
        if self._held + size > _CAPACITY:
            self._shapes.clear()
            self._held = 0
        if len(self._loose) >= _LOOSE_CAPACITY:
            self._loose.clear()
        self._held += size if cut.digest not in self._shapes else 0
        self._shapes[cut.digest] = columns.shape
        self._loose[cut.loose] = columns.loose


def _digest(lines: Iterable[bytes]) -> bytes:
    return blake2b(b"\n".join(lines), digest_size=16).digest()


def _same(some: Sequence[float], others: Sequence[float]) -> bool:
    return len(some) == len(others) and all(
        a == b or (isnan(a) and isnan(b)) for a, b in zip(some, others, strict=True)
    )


def one_of(names: Iterable[bytes]) -> bytes:
    """A pattern for these names that looks at every letter once."""
    by_letter: dict[bytes, list[bytes]] = {}
    names = tuple(names)
    for name in names:
        if name:
            by_letter.setdefault(name[:1], []).append(name[1:])
    if not by_letter:
        return b""
    choices = [re.escape(letter) + one_of(rest) for letter, rest in sorted(by_letter.items())]
    if b"" in names:
        return b"(?:" + b"|".join(choices) + b")?"
    return choices[0] if len(choices) == 1 else b"(?:" + b"|".join(choices) + b")"
