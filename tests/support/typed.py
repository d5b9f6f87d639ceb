"""kubectl's output as a golden text: what moves is masked, numbers may differ by a hundredth."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import zip_longest

MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uid>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<address>"),
    (re.compile(r"(?<![\w/.-])(?:\d+d)?(?:\d+h)?(?:\d+m)?\d+[dhms](?![\w/.-])"), "<age>"),
    (re.compile(r"(?<=Resource Version:)(\s+)\d+"), r"\1<version>"),
    (re.compile(r"(?<=Window Seconds:)(\s+)\d+"), r"\1<seconds>"),
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
TOLERANCE = 0.01


def mask(text: str) -> str:
    """The text without times, ages, UIDs, addresses, and how full the window was."""
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


def tidy_table(text: str) -> str:
    """A table as kubectl prints it, masked and aligned again."""
    rows = [[mask(cell) for cell in row] for row in cells(text)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def cells(table: str) -> list[list[str]]:
    """Rows of cells, by where the names of the header begin: a blank cell is an empty text."""
    lines = table.splitlines()
    starts = [found.start() for found in re.finditer(r"\S+(?: \S+)*", lines[0])]
    ends = [*starts[1:], None]
    return [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in lines]


def table_differences(seen: str, golden: str) -> list[str]:
    """Where two tables differ, cell by cell."""
    nothing: list[str] = []
    pairs = zip_longest(cells(seen), cells(golden), fillvalue=nothing)
    return [
        f"row {number}: {one!r}, golden {other!r}"
        for number, (one, other) in enumerate(pairs)
        if len(one) != len(other) or not all(map(same, one, other))
    ]


def text_differences(seen: str, golden: str) -> list[str]:
    """Where two texts differ, line by line: the indentation and each word count."""
    pairs = zip_longest(seen.splitlines(), golden.splitlines(), fillvalue="")
    return [
        f"line {number}: {one!r}, golden {other!r}"
        for number, (one, other) in enumerate(pairs, start=1)
        if not _same_lines(one, other)
    ]


def _same_lines(one: str, other: str) -> bool:
    left, right = one.split(), other.split()
    return _indent(one) == _indent(other) and len(left) == len(right) and _all_same(left, right)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _all_same(left: Iterable[str], right: Iterable[str]) -> bool:
    return all(map(same, left, right))


def same(one: str, other: str) -> bool:
    """Equal, or two numbers that are a hundredth apart at most."""
    if not (NUMBER.fullmatch(one) and NUMBER.fullmatch(other)):
        return one == other
    return abs(float(one) - float(other)) <= TOLERANCE * abs(float(other))
