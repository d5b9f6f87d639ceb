"""Text and numbers as they may stand in a Kubernetes object: bounded, printable, never a float."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tokenfactory.measure import Known, Measure
from tokenfactory.units import significant

LONGEST_NUMBER = 32
ELLIPSIS = "…"


def clean(text: str, *, limit: int) -> str:
    """`text` on one line, without control or format characters, at most `limit` bytes of UTF-8."""
    start = text[: 4 * limit]
    printable = start if start.isprintable() else "".join(map(_shown, start))
    joined = " ".join(printable.split())
    if len(joined.encode()) <= limit:
        return joined
    kept = joined.encode()[: limit - len(ELLIPSIS.encode())].decode(errors="ignore")
    return kept.rstrip() + ELLIPSIS


def _shown(character: str) -> str:
    return " " if unicodedata.category(character)[0] == "C" else character


def number(measure: Measure[Any] | Decimal | float | None) -> str | None:
    """A decimal string of 4 significant digits (docs/cost-model.md §14); None for what is not known.

    Also None for what can't be a real figure: not finite, negative, or longer than a status number may be.
    """
    value = measure.value if isinstance(measure, Known) else measure
    if not isinstance(value, int | float | Decimal) or not math.isfinite(value) or value < 0:
        return None
    shown = significant(value)
    return shown if len(shown) <= LONGEST_NUMBER else None


def plain(value: Decimal | float) -> str:
    """A number without rounding and without an exponent."""
    return format(value if isinstance(value, Decimal) else Decimal(repr(float(value))), "f")


def count(measure: Measure[Any] | float | None) -> int | None:
    """A whole number, None for what is not known."""
    value = measure.value if isinstance(measure, Known) else measure
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return round(value)


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` without the ones that are unknown or empty: what is unknown is absent."""
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [])}


def timestamp(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC, in whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: object) -> float | None:
    """The Unix seconds of an RFC 3339 timestamp of ours, None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
