"""The corpus of labelled pod specs (tests/golden/corpus), and how an answer is scored against it.

A case is either `manifests`, as people apply them, or one container in short: `image`, `command`, `args`,
`env` (null: from a Secret), `labels`, `gpus` (8 unless said), `gpu` (the product), `configmaps` (name to
file to text) and `mounts` (name to folder). `expect` is one line for each engine:

    [wrapper/]engine role :port/metrics | FP4 SpeculativeDecoding KVCacheOffloading MultiTokenPrediction PD

`?` is not judged, `-` is not-declared; without `|` nothing may be declared, but by a follower. Labels
come from the engine catalogue, never from what the code says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.support.documents import ROOT
from tokenfactory.cli.check import inspect_template
from tokenfactory.discovery.manifests import flatten, read_templates
from tokenfactory.discovery.orchestrators import Orchestrators
from tokenfactory.inspection.report import EngineReport

FOLDER = ROOT / "tests/golden/corpus"
SHORT = {"-": "not-declared", "checkpoint": "declared-by-checkpoint", "default": "declared-by-default"}
CLAIMS = frozenset({"declared", "declared-by-checkpoint", "declared-by-default"})
NOT_JUDGED = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is true of one engine."""

    wrapper: str
    engine: str
    role: str
    port: str
    metrics: str
    declarations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    documents: tuple[Mapping[str, Any], ...]
    labels: tuple[Label, ...]
    gpu: str = ""
    weight_only: bool | None = None
    only: tuple[str, ...] = ()
    reason: str = ""


@dataclass(slots=True)
class Score:
    """Every comparison of one run. `wrong` and `false_claims` are sentences."""

    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    facts: Counter[tuple[str, bool]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    false_claims: list[str] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """Share of the declarations that were judged right."""
        return sum(count for (truth, got), count in self.confusion.items() if truth == got) / max(
            1, self.confusion.total()
        )

    def share(self, fact: str) -> float:
        right, wrong = self.facts[fact, True], self.facts[fact, False]
        return right / max(1, right + wrong)

    def matrix(self) -> str:
        """Truth in rows, answers in columns."""
        states = sorted({state for pair in self.confusion for state in pair})
        width = max(map(len, states), default=0)
        head = " " * width + "  " + " ".join(f"{state[:12]:>12}" for state in states)
        lines = [
            f"{truth:<{width}}  " + " ".join(f"{self.confusion[truth, got] or '.':>12}" for got in states)
            for truth in states
        ]
        facts = ", ".join(
            f"{fact} {self.share(fact):.3f}" for fact in sorted({fact for fact, _ in self.facts})
        )
        return "\n".join([head, *lines, f"declarations {self.accuracy:.3f}, {facts}"])


def cases() -> tuple[Case, ...]:
    """All cases, files in order of their names."""
    return tuple(
        _case(body)
        for path in sorted(FOLDER.glob("*.yaml"))
        for body in yaml.safe_load(path.read_text(encoding="utf-8"))
    )


def answers(case: Case) -> tuple[EngineReport, ...]:
    """What the code says, engines in the order of the documents."""
    found: list[EngineReport] = []
    orchestrators = Orchestrators(case.documents)
    for template in read_templates(case.documents):
        found += inspect_template(template, orchestrators, gpu=case.gpu)
    return tuple(report for report in found if not case.only or report.container in case.only)


def score(case: Case, reports: tuple[EngineReport, ...], total: Score) -> None:
    """Adds one case to `total`."""
    matched = len(reports) == len(case.labels)
    total.facts["engines found", matched] += 1
    if not matched:
        seen = [f"{report.engine} {report.role}" for report in reports]
        total.wrong.append(f"{case.name}: {len(case.labels)} engines expected, found {seen}")
    for label, report in zip(case.labels, reports, strict=False):
        for fact, truth, got in _facts(label, report):
            total.facts[fact, truth == got] += 1
            if truth != got:
                total.wrong.append(f"{case.name}: {fact} is {truth}, not {got}")
        _score_declarations(case, label, report, total)
        if case.weight_only is not None:
            total.facts["weight only", case.weight_only == report.weight_only] += 1
            if case.weight_only != report.weight_only:
                total.wrong.append(f"{case.name}: weight only is {case.weight_only}")


def _score_declarations(case: Case, label: Label, report: EngineReport, total: Score) -> None:
    for position, declaration in enumerate(report.declarations):
        got = str(declaration.state)
        truth = label.declarations[position] if label.declarations else NOT_JUDGED
        where = f"{case.name}: {declaration.optimization} is {truth}, not {got}"
        silent = not label.declarations and label.role != "worker"
        if got in CLAIMS and truth not in CLAIMS and (truth != NOT_JUDGED or silent):
            total.false_claims.append(where)
        if truth != NOT_JUDGED:
            total.confusion[truth, got] += 1
            if truth != got:
                total.wrong.append(f"{where} ({declaration.source}: {declaration.explanation})")


def _facts(label: Label, report: EngineReport) -> Iterator[tuple[str, str, str]]:
    port = "-" if report.metrics.port is None else f":{report.metrics.port}"
    for fact, truth, got in (
        ("wrapper", label.wrapper, report.wrapper),
        ("engine", label.engine, str(report.engine)),
        ("role", label.role, str(report.role)),
        ("port", label.port, port),
        ("metrics", label.metrics, str(report.metrics.state)),
    ):
        if truth.lstrip(":") != NOT_JUDGED:
            yield fact, truth, got


def _case(body: Mapping[str, Any]) -> Case:
    expected = body["expect"] if isinstance(body["expect"], list) else [body["expect"]]
    documents = body.get("manifests") or _documents(body)
    return Case(
        name=body["name"],
        documents=tuple(item for document in documents for _, item in flatten(document)),
        labels=tuple(map(_label, expected)),
        gpu=body.get("gpu", ""),
        weight_only=body.get("weight_only"),
        only=tuple(body.get("only", ())),
        reason=body.get("reason", ""),
    )


def _label(line: str) -> Label:
    facts, _, rows = line.partition("|")
    engine, role, metrics = facts.split()
    wrapper, _, kind = engine.rpartition("/")
    port, _, state = metrics.partition("/")
    declarations = tuple(SHORT.get(word, word) for word in rows.split())
    assert len(declarations) in (0, 5), line
    return Label(wrapper=wrapper, engine=kind, role=role, port=port, metrics=state, declarations=declarations)


def _documents(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        for name, data in body.get("configmaps", {}).items()
    ]
    mounts = body.get("mounts", {})
    gpus = body.get("gpus", 8)
    container = {
        "name": body.get("container", "server"),
        "image": body["image"],
        **{key: body[key] for key in ("command", "args") if key in body},
        "env": [_variable(name, value) for name, value in body.get("env", {}).items()],
        "resources": {"limits": {"nvidia.com/gpu": gpus}} if gpus else {},
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "labels": body.get("labels", {})},
        "spec": {
            "containers": [container],
            "volumes": [{"name": name, "configMap": {"name": name}} for name in mounts],
        },
    }
    return [*maps, pod]


def _variable(name: str, value: str | None) -> dict[str, Any]:
    if value is None:
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": "secret", "key": name}}}
    return {"name": name, "value": value}
