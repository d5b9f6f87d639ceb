"""`tokenfactory check`: what manifests ask of the engines, before they are applied."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tokenfactory.cli.documents import Document, read_documents
from tokenfactory.cli.requirements import judge
from tokenfactory.discovery.manifests import PodTemplate, flatten, passed_over, read_templates
from tokenfactory.discovery.orchestrators import Orchestrators
from tokenfactory.discovery.podspecs import Body
from tokenfactory.discovery.podspecs import Path as Steps
from tokenfactory.errors import UnreadableInput
from tokenfactory.inspection.report import EngineReport, inspect_pod
from tokenfactory.model import EngineKind, OptimizationName, Role
from tokenfactory.model.capabilities import capability_of
from tokenfactory.publishing.checkreport import (
    HEADERS,
    CheckedEngine,
    CheckReport,
    Metrics,
    Place,
    Row,
    evidence_lines,
    render_document,
    table_rows,
)
from tokenfactory.publishing.sarif import render_sarif

MAIN = "main"
NAMES = MappingProxyType({str(name).lower(): name for name in OptimizationName})


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def check(
    filenames: Annotated[
        list[Path],
        typer.Option("-f", "--filename", help="YAML or JSON: a file, a folder, or - for standard input"),
    ],
    require: Annotated[
        list[str] | None,
        typer.Option("--require", help="optimizations that have to be declared, separated by commas"),
    ] = None,
    gpu: Annotated[
        str, typer.Option("--gpu", help="GPU product that the pods will run on, e.g. NVIDIA-GB300")
    ] = "",
    output: Annotated[Output, typer.Option("-o", "--output", help="text, json or sarif")] = Output.TEXT,
) -> None:
    """Say how manifests declare the five optimizations, with the evidence and the fix.

    Exit code 1: a requirement is not met. Exit code 2: the input can't be read.
    """
    try:
        required = _required(require or ())
        report, notices = examine(tuple(read_documents(filenames)), required=required, gpu=gpu)
    except UnreadableInput as error:
        print(f"tokenfactory check: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    for notice in notices:
        print(f"tokenfactory check: {notice}", file=sys.stderr)
    _show(report, output)
    if not report.met:
        raise typer.Exit(1)


def examine(
    documents: Sequence[Document], *, required: Sequence[OptimizationName] = (), gpu: str = ""
) -> tuple[CheckReport, tuple[str, ...]]:
    """The report on the documents, and what is to be said on stderr.

    `gpu` is a product as node labels name it; it outranks what the manifests say. Raises UnreadableInput
    for an unknown product and for a named input without a Kubernetes object.
    """
    if gpu and capability_of(gpu) is None:
        raise UnreadableInput(
            "--gpu: a product that is not known; name it as in the label nvidia.com/gpu.product"
        )
    found = [(document, steps, body) for document in documents for steps, body in flatten(document.value)]
    flat = [(document, steps) for document, steps, _ in found]
    bodies = [body for _, _, body in found]
    strays = [document for document in documents if not flatten(document.value)]
    chosen = next((document for document in strays if document.chosen and not _is_list(document)), None)
    if chosen is not None:
        raise UnreadableInput(f"{chosen.source}:{chosen.line_of(())}: no Kubernetes object (no kind)")
    if not flat and not any(map(_is_list, documents)):
        raise UnreadableInput("no Kubernetes object in the input")
    templates = read_templates(bodies)
    orchestrators = Orchestrators(bodies)
    engines = tuple(
        _checked(report, template, _place(template, report.container, *flat[template.document]), gpu)
        for template in templates
        for report in inspect_template(template, orchestrators, gpu=gpu)
    )
    met, verdicts = judge(engines, required)
    notices = _notices(bodies, templates, strays)
    if templates and not engines:
        notices = (*notices, "no engine in the pods of the input")
    return CheckReport(engines=_judged(engines, met), verdicts=verdicts), notices


def inspect_template(
    template: PodTemplate, orchestrators: Orchestrators, *, gpu: str = ""
) -> tuple[EngineReport, ...]:
    """The engines of one pod; a role that no one else says is the one in which an orchestrator calls it."""
    capability = capability_of(gpu) if gpu else template.capability_major
    found = inspect_pod(template.pod, files=template.files, capability_major=capability)
    return tuple(_orchestrated(report, template, orchestrators) for report in found)


def _orchestrated(report: EngineReport, template: PodTemplate, orchestrators: Orchestrators) -> EngineReport:
    if report.engine is not EngineKind.TENSORRT_LLM or report.role is not Role.AGGREGATED:
        return report
    role = orchestrators.role_of(template.pod, report.metrics.port)
    return replace(report, role=role) if role else report


def _is_list(document: Document) -> bool:
    return isinstance(document.value, dict) and str(document.value.get("kind", "")).endswith("List")


def _required(written: Iterable[str]) -> tuple[OptimizationName, ...]:
    """The names, each once. Raises UnreadableInput that lists the five for any other word."""
    words = [word.strip() for text in written for word in text.split(",") if word.strip()]
    if any(word.lower() not in NAMES for word in words):
        raise UnreadableInput(f"--require takes {', '.join(OptimizationName)}")
    return tuple(dict.fromkeys(NAMES[word.lower()] for word in words))


def _place(template: PodTemplate, container: str, document: Document, steps: Steps) -> Place:
    names = [each.name for each in template.pod.containers if not each.sidecar]
    below: Steps = ("containers", names.index(container)) if container in names else ()
    if template.path[-1:] == ("extraPodSpec",) and container == MAIN:
        below = ("mainContainer",)
    position = document.line_of((*steps, *template.path, *below))
    return Place(
        source=document.source,
        document=template.document,
        line=position,
        api_version=template.api_version,
        kind=template.kind,
        namespace=template.pod.namespace,
        name=template.pod.name,
        part=template.part,
    )


def _checked(found: EngineReport, template: PodTemplate, place: Place, gpu: str) -> CheckedEngine:
    metrics = found.metrics
    return CheckedEngine(
        place=place,
        container=found.container,
        engine=found.engine,
        wrapper=found.wrapper,
        role=found.role,
        model=found.model,
        gpus=found.gpus,
        gpu_product=gpu or _known(template.gpu_product),
        metrics=Metrics(port=metrics.port, path=metrics.path, state=str(metrics.state), fix=metrics.fix),
        rows=tuple(
            Row(declaration=declaration, fix=found.fixes.get(declaration.optimization, ""))
            for declaration in found.declarations
        ),
        weight_only=found.weight_only,
        note=found.note,
    )


def _known(product: str | None) -> str:
    """A product of which the compute capability is known: any other word of a node selector stays inside."""
    return product if product and capability_of(product) is not None else ""


def _judged(
    engines: tuple[CheckedEngine, ...], met: dict[tuple[int, OptimizationName], bool]
) -> tuple[CheckedEngine, ...]:
    return tuple(
        replace(
            engine,
            rows=tuple(
                replace(row, met=met.get((position, row.declaration.optimization))) for row in engine.rows
            ),
        )
        for position, engine in enumerate(engines)
    )


def _notices(
    bodies: Sequence[Body], templates: Sequence[PodTemplate], strays: Sequence[Document]
) -> tuple[str, ...]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in passed_over(bodies, templates))
    notices = [f"passed over, no pods in them: {kinds}"] if kinds else []
    notices += [f"passed over, no Kubernetes object: {source}" for source in _sources(strays)]
    if not templates:
        notices.append("no pod template in the input")
    return tuple(notices)


def _sources(documents: Iterable[Document]) -> list[str]:
    return list(dict.fromkeys(document.source for document in documents))


def _show(report: CheckReport, output: Output) -> None:
    match output:
        case Output.JSON:
            print(json.dumps(render_document(report), indent=2))
        case Output.SARIF:
            print(json.dumps(render_sarif(report, version=version("tokenfactory-operator")), indent=2))
        case Output.TEXT:
            if report.engines:
                Console(width=240, highlight=False, markup=False).print(_table(report))
                print()
            for line in evidence_lines(report):
                print(line)


def _table(report: CheckReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    for header in HEADERS:
        table.add_column(header, no_wrap=True)
    for row in table_rows(report):
        table.add_row(*row)
    return table
