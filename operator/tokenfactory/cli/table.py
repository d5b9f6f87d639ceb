"""The pools as `kubectl get inferencepools` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

COLUMNS: tuple[tuple[str, str], ...] = (
    ("$/MTOK", "cost.perMillionTokens"),
    ("TOK/S/GPU", "throughput.tokensPerSecondPerGPU"),
    ("GPUS", "gpus.held"),
    ("OPTIMIZED", "optimizationsActive"),
    ("OF-REF", "efficiency.ofReference"),
    ("$/H", "cost.perHour"),
    ("TOK/S", "throughput.tokensPerSecond"),
    ("TOK/S/MW", "energy.provisioned.tokensPerSecondPerMegawatt"),
    ("ENGINE", "serving.engine"),
    ("MODEL", "serving.model"),
    ("COVERAGE", "serving.coverage"),
    ("PRICE-SOURCE", "cost.priceSource"),
)


def render_table(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Table:
    """One row a pool (name, status document). A cell is blank when the value is unknown."""
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("NAME", no_wrap=True)
    for header, _ in COLUMNS:
        table.add_column(header, no_wrap=True)
    table.add_column("DENOMINATOR", no_wrap=True)
    for name, status in rows:
        table.add_row(name, *(_cell(status, path) for _, path in COLUMNS), _denominator(status))
    return table


def _cell(status: Mapping[str, Any], path: str) -> str:
    value: Any = status
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


def _denominator(status: Mapping[str, Any]) -> str:
    rows = status.get("conditions") or ()
    return next((str(row["reason"]) for row in rows if row["type"] == "DenominatorHealthy"), "")
