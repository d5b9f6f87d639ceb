"""A table of kubectl's made to fit a narrow terminal: smaller gaps first, then columns that say least."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

GAP = "  "
LEFT_OUT = ("AGE", "OF-REF", "NAMESPACE")
"""In this order, and OF-REF only where it is empty."""


def fit(table: str, width: int) -> str:
    """The table as it is when it fits, else the widest that does; the narrowest when none does."""
    if max(map(len, table.splitlines()), default=0) <= width:
        return table
    rows = tuple(_rows(table))
    drawn = [_draw(rows, LEFT_OUT[:count]) for count in range(len(LEFT_OUT) + 1)]
    return next((text for text in drawn if max(map(len, text.splitlines())) <= width), drawn[-1])


def _rows(table: str) -> Iterator[tuple[str, ...]]:
    """The cells of each line: columns begin where the words of the header do."""
    header, *_ = lines = table.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", header)]
    for line in lines:
        yield tuple(line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True))


def _draw(rows: Sequence[tuple[str, ...]], left_out: Sequence[str]) -> str:
    columns = [
        column
        for column in zip(*rows, strict=True)
        if column[0] not in left_out or (column[0] == "OF-REF" and any(column[1:]))
    ]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        GAP.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    )
