"""docs/accuracy.md: what a run found, in words and one table."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from tests.engine.comparison import Row, Verdict
from tests.engine.story import CLIENTS, INTERVAL_SECONDS, WINDOW_SECONDS, Record

HEAD = Path(__file__).with_name("accuracy.md")


def render(record: Record, verdict: Verdict) -> str:
    """The whole page."""
    tail = verdict.tail
    received = sum(one.total for one in record.received.values())
    requests = sum(one.requests for one in record.received.values())
    broken = sum(one.broken for one in record.received.values())
    lines = [
        HEAD.read_text(encoding="utf-8"),
        "## The last run",
        "",
        f"{time.strftime('%Y-%m-%d', time.gmtime(record.load_from))}, {os.cpu_count()} cores "
        f"({platform.machine()}), Python {platform.python_version()}; {CLIENTS} clients, "
        f"{record.load_to - record.load_from:.0f} s of load, a window of {WINDOW_SECONDS} s, "
        f"a page every {INTERVAL_SECONDS} s.",
        "",
        f"- Clients received {received:,} tokens in {requests:,} answered requests; "
        f"{broken:,} requests broke with the killed server.",
        f"- The killed server's tail: {tail.tokens:,} tokens, in {tail.seconds:.1f} s after its last page.",
        f"- `SpeculativeDecoding` was `{verdict.speculation}` after the rollout.",
        "",
        "| what | operator | truth | error | allowed | |",
        "|---|---|---|---|---|---|",
        *(_row(row) for row in verdict.rows),
        "",
    ]
    return "\n".join(lines)


def _row(row: Row) -> str:
    allowed = "0" if row.allowed is None else f"{row.allowed:.1%}"
    shown = f"{_number(row.seen)} | {_number(row.true)} | {row.error:.3%} | {allowed}"
    return f"| {row.what} | {shown} | {'ok' if row.ok else 'WRONG'} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4f}"
