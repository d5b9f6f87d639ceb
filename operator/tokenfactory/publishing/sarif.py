"""A check's findings as SARIF 2.1.0, for code review and code scanning."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from tokenfactory.model import DeclarationState, OptimizationName
from tokenfactory.publishing.checkreport import LONGEST, SERVING, CheckedEngine, CheckReport, Place, Row
from tokenfactory.publishing.text import clean

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
METRICS = "MetricsOff"
RULES = MappingProxyType(
    {
        OptimizationName.FP4: "Weights are stored and multiplied in four-bit floats.",
        OptimizationName.SPECULATIVE_DECODING: "Several tokens are drafted and verified in one step.",
        OptimizationName.KV_CACHE_OFFLOADING: "KV cache that leaves the GPU is kept for reuse.",
        OptimizationName.MULTI_TOKEN_PREDICTION: "The model's own heads draft the tokens.",
        OptimizationName.DISAGGREGATED_SERVING: "Prefill and decode run on GPUs of their own.",
        METRICS: "The engine's metrics can prove what it was told.",
    }
)
_ORDER = tuple(str(rule) for rule in RULES)
WARNINGS = frozenset({DeclarationState.INVALID, DeclarationState.SIMULATED})
FULFILLED = frozenset(
    {DeclarationState.DECLARED, DeclarationState.BY_CHECKPOINT, DeclarationState.BY_DEFAULT}
)


def render_sarif(report: CheckReport, *, version: str) -> dict[str, Any]:
    """One run. Unmet requirements are errors; what can't work or is simulated, and metrics that are off,
    are warnings; the rest of what serving engines do not declare are notes.
    """
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "tokenfactory check",
                        "semanticVersion": version,
                        "rules": [
                            {"id": str(rule), "name": str(rule), "shortDescription": {"text": text}}
                            for rule, text in RULES.items()
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": list(_results(report)),
            }
        ],
    }


def _results(report: CheckReport) -> Iterator[dict[str, Any]]:
    told: set[str] = set()
    for engine in report.engines:
        for row in engine.rows if engine.role in SERVING else ():
            if row.met is False:
                told.add(row.declaration.optimization)
            if row.met is False or row.declaration.state not in FULFILLED:
                yield _finding(engine, row)
        if engine.metrics.fix:
            text = f"{_subject(engine)}: metrics {engine.metrics.state}. Fix: {engine.metrics.fix}"
            yield _result(METRICS, "warning", text, engine.place)
    for verdict in report.verdicts:
        if not verdict.met and verdict.name not in told:
            yield _result(verdict.name, "error", f"{verdict.name} is required: {verdict.reason}", None)


def _finding(engine: CheckedEngine, row: Row) -> dict[str, Any]:
    said = row.declaration
    required = " and required" if row.met is False else ""
    by = f" by {said.source}" if said.source else ""
    why = f": {said.explanation}" if said.explanation else ""
    fix = f". Fix: {row.fix}" if row.fix else ""
    text = f"{_subject(engine)}: {said.optimization} is {said.state}{required}{by}{why}{fix}"
    level = "error" if row.met is False else ("warning" if said.state in WARNINGS else "note")
    return _result(said.optimization, level, text, engine.place)


def _subject(engine: CheckedEngine) -> str:
    return f"{engine.place.workload}, container {engine.container or 'unnamed'}"


def _result(rule: str, level: str, text: str, place: Place | None) -> dict[str, Any]:
    result = {
        "ruleId": str(rule),
        "ruleIndex": _ORDER.index(str(rule)),
        "level": level,
        "message": {"text": clean(text, limit=3 * LONGEST)},
    }
    if place is not None:
        result["locations"] = [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(place.source)},
                    "region": {"startLine": max(1, place.line)},
                }
            }
        ]
    return result
