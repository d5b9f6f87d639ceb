"""What `tokenfactory check` found, as values, as JSON (docs/reference/check-json.md) and as text rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tokenfactory.model import Declaration, DeclarationState, EngineKind, OptimizationName, Role
from tokenfactory.publishing.text import clean

SCHEMA_VERSION = "tokenfactory.dev/check/v1"
LONGEST = 400
SERVING = frozenset({Role.AGGREGATED, Role.PREFILL, Role.DECODE})
"""Roles that are asked for optimizations: routers and followers are not."""

_MODEL = re.compile(r"[A-Za-z0-9][\w.-]{0,127}(/[\w.-]{1,128}){0,8}|(/[\w.-]{1,128}){1,9}/?", re.ASCII)
_CREDENTIAL = re.compile(
    r"(^|[^A-Za-z0-9])(hf_|sk-|nvapi-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|eyJ|AKIA|ASIA|ya29\.|AIza)"
    r"|[A-Za-z0-9]{32,}|[0-9a-f]{24,}"
)
_PRODUCT = re.compile(r"[A-Za-z0-9]+([ .-][A-Za-z0-9]+){0,7}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a pod was written: the input, the document in it (from 0), the line (from 1) and the object."""

    source: str
    document: int
    line: int
    api_version: str
    kind: str
    namespace: str
    name: str
    part: str = ""

    @property
    def workload(self) -> str:
        """`Kind/name`, with the part where a document asks for several pods."""
        return f"{self.kind}/{self.name}" + (f" ({self.part})" if self.part else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One optimization of one engine. `met` is None when it is not required of this engine."""

    declaration: Declaration
    fix: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    port: int | None
    path: str
    state: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedEngine:
    """One engine of one container. `gpus` are limits by resource name. `note`: why it was set aside."""

    place: Place
    container: str
    engine: EngineKind
    wrapper: str
    role: Role
    model: str
    gpus: tuple[tuple[str, float], ...]
    metrics: Metrics
    rows: tuple[Row, ...]
    gpu_product: str = ""
    weight_only: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether what was required holds for everything given, and why not."""

    name: OptimizationName
    met: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    engines: tuple[CheckedEngine, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def met(self) -> bool:
        return all(verdict.met for verdict in self.verdicts)


def model_shown(model: str) -> str:
    """The model's name or path, empty when it could be anything else: a URL, a credential, a long text.

    >>> model_shown("nvidia/DeepSeek-R1-FP4"), model_shown("https://user:word@host/model")
    ('nvidia/DeepSeek-R1-FP4', '')
    """
    return model if _MODEL.fullmatch(model) and not _CREDENTIAL.search(model) else ""


def product_shown(product: str) -> str:
    """The product's name, empty when it could be anything else."""
    return product if _PRODUCT.fullmatch(product) and not _CREDENTIAL.search(product) else ""


def render_document(report: CheckReport) -> dict[str, Any]:
    """The JSON document. Every key is always there; what is not known is null."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "met": report.met,
        "requirements": [
            {"name": str(item.name), "met": item.met, "reason": item.reason or None}
            for item in report.verdicts
        ],
        "engines": [_engine(engine) for engine in report.engines],
    }


def _engine(engine: CheckedEngine) -> dict[str, Any]:
    place = engine.place
    return {
        "document": {
            "source": place.source,
            "index": place.document,
            "line": place.line,
            "apiVersion": place.api_version or None,
            "kind": place.kind,
            "namespace": place.namespace or None,
            "name": place.name or None,
        },
        "podTemplate": place.part or None,
        "container": engine.container or None,
        "engine": str(engine.engine),
        "wrapper": engine.wrapper or None,
        "role": str(engine.role),
        "model": model_shown(engine.model) or None,
        "gpus": _gpus(engine.gpus),
        "gpuProduct": product_shown(engine.gpu_product) or None,
        "weightOnly": engine.weight_only,
        "metrics": {
            "port": engine.metrics.port,
            "path": engine.metrics.path or None,
            "state": engine.metrics.state,
            "fix": _said(engine.metrics.fix),
        },
        "note": _said(engine.note),
        "optimizations": [_row(row) for row in engine.rows],
    }


def _gpus(gpus: tuple[tuple[str, float], ...]) -> dict[str, Any] | None:
    """One resource and its count; slices of several sizes are named together, their counts added."""
    if not gpus:
        return None
    return {"resource": ",".join(name for name, _ in gpus), "count": round(sum(count for _, count in gpus))}


def _row(row: Row) -> dict[str, Any]:
    declaration = row.declaration
    return {
        "name": str(declaration.optimization),
        "declaration": str(declaration.state),
        "method": declaration.method or None,
        "source": _said(declaration.source),
        "explanation": _said(declaration.explanation),
        "fix": _said(row.fix),
        "required": None if row.met is None else ("met" if row.met else "unmet"),
    }


def _said(text: str) -> str | None:
    return clean(text, limit=LONGEST) or None


SHORT = MappingProxyType(
    {
        DeclarationState.DECLARED: "yes",
        DeclarationState.BY_CHECKPOINT: "checkpoint",
        DeclarationState.BY_DEFAULT: "default",
        DeclarationState.OPAQUE: "opaque",
        DeclarationState.OFF: "off",
        DeclarationState.INVALID: "INVALID",
        DeclarationState.SIMULATED: "SIMULATED",
        DeclarationState.NOT_DECLARED: "-",
    }
)
HEADERS = (
    "WORKLOAD",
    "CONTAINER",
    "ENGINE",
    "ROLE",
    "GPUS",
    "METRICS",
    "FP4",
    "SPEC",
    "OFFLOAD",
    "MTP",
    "PD",
)


def table_rows(report: CheckReport) -> Iterator[tuple[str, ...]]:
    """One line for each engine, as wide as HEADERS; a requirement that is not met carries a `!`."""
    for engine in report.engines:
        wrapped = f"{engine.wrapper}/{engine.engine}" if engine.wrapper else str(engine.engine)
        gpus = _gpus(engine.gpus)
        port = f":{engine.metrics.port} " if engine.metrics.port else ""
        cells = {
            row.declaration.optimization: SHORT[row.declaration.state] + ("!" if row.met is False else "")
            for row in engine.rows
        }
        yield (
            engine.place.workload,
            engine.container,
            wrapped,
            str(engine.role),
            str(gpus["count"]) if gpus else "",
            f"{port}{engine.metrics.state}",
            *(cells.get(name, "") for name in OptimizationName),
        )


def evidence_lines(report: CheckReport) -> Iterator[str]:
    """For each engine its place, then each optimization with the flag that said so, and the fix."""
    for engine in report.engines:
        place = engine.place
        yield f"{place.source}:{place.line} {place.workload} · {engine.container}"
        facts = (engine.note, model_shown(engine.model) and f"model {model_shown(engine.model)}")
        yield from (f"  {clean(fact, limit=LONGEST)}" for fact in facts if fact)
        for row in engine.rows if engine.role in SERVING else ():
            yield from _evidence(row)
        if engine.metrics.fix:
            yield f"  metrics {engine.metrics.state}: {clean(engine.metrics.fix, limit=LONGEST)}"
        yield ""
    yield from _verdict_lines(report.verdicts)


def _evidence(row: Row) -> Iterator[str]:
    said = row.declaration
    by = f" by {clean(said.source, limit=LONGEST)}" if said.source else ""
    why = f": {clean(said.explanation, limit=LONGEST)}" if said.explanation else ""
    yield f"  {said.optimization:<21} {said.state}{by}{why}"
    if row.fix:
        yield f"  {'':<21} fix: {clean(row.fix, limit=LONGEST)}"


def _verdict_lines(verdicts: Iterable[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        yield f"{verdict.name}: required, " + ("met" if verdict.met else f"NOT MET: {verdict.reason}")
