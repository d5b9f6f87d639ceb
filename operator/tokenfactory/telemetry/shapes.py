"""What a page looks like without its values, remembered: the next page of that shape costs a fraction.

An engine's pages differ from scrape to scrape in nothing but numbers, and those of a fleet repeat. A page
that differs in any wanted line, in a way that matters or not, is read in full by the scanner.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from math import isnan
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]
Row = tuple[str, Labels]
_HEAD = rb"(?![a-zA-Z0-9_:])(?:\{[^}]*+\} | )?"
_CAPACITY = 4096
_LOOSE_CAPACITY = 2048


class Shape(NamedTuple):
    """What the wanted samples of a page are, in short: pages of one shape have the same, in the same order.

    `digest` tells shapes apart by all names and labels (those of loose samples left out), so that these need
    not be kept; `names` and `types` are the wanted ones that are there, `width` is the number of samples.
    """

    digest: bytes
    names: frozenset[str]
    types: frozenset[bytes]
    width: int


def shape_of(rows: tuple[Row, ...], types: frozenset[bytes]) -> Shape:
    """The shape of a page with these samples and declared types."""
    whole = repr((rows, sorted(types))).encode("utf-8", "surrogatepass")
    return Shape(_digest(whole), frozenset(name for name, _ in rows), types, len(rows))


class Columns(NamedTuple):
    """A page's shape and its values, one for each sample; `loose` has the labels of its loose samples."""

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

    def cut(self, found: Sequence[tuple[bytes, ...]]) -> Cut | None:
        """The lines that matter, cut before their values; None for a page that is not for remembering."""
        if not found:
            return None
        heads, loose, texts, tails = zip(*found, strict=True)
        if any(tails):
            return None
        try:
            values = list(map(float, filter(None, texts)))
        except ValueError:
            return None
        rigid, others = b"\n".join(heads), b"\n".join(filter(None, loose))
        return Cut(_digest(rigid), _digest(others), values) if values else None

    def recall(self, cut: Cut) -> Columns | None:
        """The page's columns, when a page of its shape was learned."""
        shape, loose = self._shapes.get(cut.digest), self._loose.get(cut.loose)
        if shape is None or loose is None or shape.width != len(cut.values):
            return None
        return Columns(shape, cut.values, loose)

    def learn(self, cut: Cut, columns: Columns) -> Columns:
        """Remembers a page that was read in full, if cutting it gave the very same values; gives it back."""
        if not _same(cut.values, columns.values):
            return columns
        if len(self._shapes) >= _CAPACITY:
            self._shapes.clear()
        if len(self._loose) >= _LOOSE_CAPACITY:
            self._loose.clear()
        shape = self._shapes[cut.digest] = self._share(columns.shape)
        self._loose[cut.loose] = columns.loose
        return columns._replace(shape=shape)

    def _share(self, shape: Shape) -> Shape:
        """The shape with the sets of one that was kept before: those of two models differ in labels only."""
        last = next(reversed(self._shapes.values()), shape)
        return shape._replace(
            names=last.names if last.names == shape.names else shape.names,
            types=last.types if last.types == shape.types else shape.types,
        )


def _digest(text: bytes) -> bytes:
    return sha256(text).digest()[:16]


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
