"""The pools as `kubectl get inferencepools` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

Columns = tuple[tuple[str, str], ...]

DEFAULT: Columns = (
    ("$/MTOK", "cost.perMillionTokens"),
    ("TOK/S/GPU", "throughput.tokensPerSecondPerGPU"),
    ("GPUS", "gpus.held"),
    ("OPTIMIZED", "optimizationsActive"),
    ("OF-REF", "efficiency.ofReference"),
)
WIDE: Columns = (
    ("$/H", "cost.perHour"),
    ("TOK/S", "throughput.tokensPerSecond"),
    ("TOK/S/MW", "energy.provisioned.tokensPerSecondPerMegawatt"),
    ("ENGINE", "serving.engine"),
    ("MODEL", "serving.model"),
    ("COVERAGE", "serving.coverage"),
    ("CURRENCY", "cost.currency"),
    ("PRICE-SOURCE", "cost.priceSource"),
)


def render_table(rows: Iterable[tuple[str, Mapping[str, Any]]], *, wide: Columns = ()) -> Table:
    """One row a pool (name, status document). A cell is blank when the value is unknown."""
    table = Table(box=None, pad_edge=False, header_style="", padding=(0, 2, 0, 0))
    table.add_column("NAME", no_wrap=True)
    for header in (*(name for name, _ in DEFAULT), "DENOMINATOR", *(name for name, _ in wide)):
        table.add_column(header, no_wrap=True)
    for name, status in rows:
        table.add_row(
            name,
            *(_cell(status, path) for _, path in DEFAULT),
            _denominator(status),
            *(_cell(status, path) for _, path in wide),
        )
    return table


def _cell(status: Mapping[str, Any], path: str) -> str:
    value: Any = status
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


def _denominator(status: Mapping[str, Any]) -> str:
    rows = status.get("conditions") or ()
    return next((str(row["reason"]) for row in rows if row["type"] == "DenominatorHealthy"), "")
