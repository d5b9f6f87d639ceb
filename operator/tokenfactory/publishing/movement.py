"""Whether a status says something else than the published one: conditions, and numbers that moved by 2 %."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

MOVED_SHARE = Decimal("0.02")
SMALLEST_SHARE_MOVE = Decimal("0.005")
SMALLEST_WINDOW_MOVE = Decimal(2)
STILL_FILLING = Decimal("1.25")
NOT_COMPARED = frozenset({"conditions", "observationTime", "observedGeneration"})
WINDOW = "windowSeconds"
PROSE = frozenset({"message", "evidence", "observed", "declared"})
IDENTITY = ("pool", "name", "cause")
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def verdicts(document: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition, by type."""
    rows = document.get("conditions")
    return {
        str(row.get("type")): (str(row.get("status")), str(row.get("reason")))
        for row in (rows if isinstance(rows, list | tuple) else ())
        if isinstance(row, Mapping)
    }


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a displayed value appeared, vanished or moved by at least 2 % of the published one.

    Times are not values, and of conditions only what one that is not True advises: it would mislead whoever
    acts on it. Prose counts by its words, and by the numbers in it.
    Shares (0 to 1) must also move by half a point and the window by two seconds: rounding is no news.
    Nor is a window that goes on filling: it counts as full one scrape interval, a fifth of it, earlier.
    """
    old, new = dict(leaves(before)), dict(leaves(after))
    if _advice(before) != _advice(after):
        return True
    return old.keys() != new.keys() or any(_differs(path, old[path], new[path]) for path in old)


def _advice(document: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """The words of each condition that is not True, without the numbers in them."""
    rows = document.get("conditions")
    return frozenset(
        (str(row.get("type")), NUMBER.sub("0", str(row.get("message"))))
        for row in (rows if isinstance(rows, list | tuple) else ())
        if isinstance(row, Mapping) and row.get("status") != "True"
    )


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every displayed value with its path. Rows of a list go by what they are about, not by their order."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if path or name not in NOT_COMPARED:
                yield from leaves(item, (*path, str(name)))
    elif isinstance(value, list | tuple):
        yield from _rows(value, path)
    elif value is not None:
        yield path, str(value)


def _rows(rows: Sequence[Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    seen: dict[str, int] = {}
    for row in sorted(rows, key=_identity):
        identity = _identity(row)
        seen[identity] = seen.get(identity, 0) + 1
        yield from leaves(row, (*path, f"{identity}#{seen[identity]}"))


def _identity(row: Any) -> str:
    if not isinstance(row, Mapping):
        return str(row)
    words = [str(row[name]) for name in IDENTITY if name in row]
    return " ".join([*words, NUMBER.sub("0", str(row.get("message", "")))])


def _differs(path: tuple[str, ...], old: str, new: str) -> bool:
    if old == new:
        return False
    if DECIMAL.fullmatch(old) and DECIMAL.fullmatch(new):
        if path[-1] == WINDOW and Decimal(old) <= Decimal(new) <= Decimal(old) * STILL_FILLING:
            return False
        return _far(Decimal(old), Decimal(new), least=_least(path[-1]))
    if path[-1] not in PROSE or NUMBER.sub("0", old) != NUMBER.sub("0", new):
        return True
    pairs = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
    return any(_far(Decimal(was), Decimal(now), least=Decimal(0)) for was, now in pairs)


def _least(name: str) -> Decimal:
    if name == WINDOW:
        return SMALLEST_WINDOW_MOVE
    return SMALLEST_SHARE_MOVE if name.endswith("Share") or name == "coverage" else Decimal(0)


def _far(old: Decimal, new: Decimal, *, least: Decimal) -> bool:
    change = abs(new - old)
    return change > 0 and change >= max(least, abs(old) * MOVED_SHARE)
