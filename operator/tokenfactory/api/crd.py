"""Renders the CustomResourceDefinitions from the models: structural schemas with CEL rules and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from tokenfactory.api.common import GROUP, VERSION
from tokenfactory.api.factorystatus import TokenFactoryStatus
from tokenfactory.api.inferencepool import InferencePoolSpec
from tokenfactory.api.poolstatus import InferencePoolStatus
from tokenfactory.api.tokenfactory import TokenFactorySpec

CATEGORY = "tokenfactory"
KEPT = (
    "type",
    "format",
    "description",
    "default",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`: one scalar. Priority 1 shows with `-o wide` only."""

    name: str
    path: str
    description: str
    kind: str = "string"
    priority: int = 0

    def rendered(self) -> dict[str, Any]:
        column: dict[str, Any] = {
            "name": self.name,
            "type": self.kind,
            "description": self.description,
            "jsonPath": self.path,
        }
        return column | ({"priority": self.priority} if self.priority else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a CustomResourceDefinition says beside its schema."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]


AGE = Column("AGE", ".metadata.creationTimestamp", "Time since the resource was created.", "date")

INFERENCE_POOL = Kind(
    kind="InferencePool",
    plural="inferencepools",
    short_names=("tfpool", "tfpools"),
    scope="Namespaced",
    description="A pool of inference pods: what a million tokens cost here, and why that moved.",
    spec=InferencePoolSpec,
    status=InferencePoolStatus,
    columns=(
        Column("$/MTOK", ".status.cost.perMillionTokens", "Cost of a million tokens, input and output."),
        Column("TOK/S/GPU", ".status.throughput.tokensPerSecondPerGPU", "Tokens a second for each GPU held."),
        Column("GPUS", ".status.gpus.held", "GPUs that the pool's pods hold."),
        Column(
            "OPTIMIZED", ".status.optimizationsActive", "Optimizations that are active, of those that count."
        ),
        Column("OF-REF", ".status.efficiency.ofReference", "Throughput per GPU over the reference curve's."),
        Column(
            "DENOMINATOR",
            '.status.conditions[?(@.type=="DenominatorHealthy")].reason',
            "Verdict on the throughput that the cost is divided by.",
        ),
        AGE,
        Column("$/H", ".status.cost.perHour", "Cost of an hour of the GPUs held.", priority=1),
        Column(
            "TOK/S", ".status.throughput.tokensPerSecond", "Input and output tokens a second.", priority=1
        ),
        Column(
            "TOK/S/MW",
            ".status.energy.provisioned.tokensPerSecondPerMegawatt",
            "Tokens a second for each provisioned megawatt.",
            priority=1,
        ),
        Column("ENGINE", ".status.serving.engine", "Inference engine, behind what runs it.", priority=1),
        Column("MODEL", ".status.serving.model", "Model that is served.", priority=1),
        Column("COVERAGE", ".status.serving.coverage", "Replicas read, of those that should be.", priority=1),
        Column("CURRENCY", ".status.cost.currency", "Currency of the amounts.", priority=1),
        Column("PRICE-SOURCE", ".status.cost.priceSource", "Where the price came from.", priority=1),
        Column("UPDATED", ".status.observationTime", "Time since the numbers were taken.", "date", 1),
    ),
)

TOKEN_FACTORY = Kind(
    kind="TokenFactory",
    plural="tokenfactories",
    short_names=("tfactory", "tfactories"),
    scope="Cluster",
    description="Prices, power, references and defaults of the platform team, and the fleet that uses them.",
    spec=TokenFactorySpec,
    status=TokenFactoryStatus,
    columns=(
        Column("POOLS", ".status.pools", "Pools that use this factory.", "integer"),
        Column("GPUS", ".status.gpus.held", "GPUs that their pods hold."),
        Column("TOK/S", ".status.throughput.tokensPerSecond", "Input and output tokens a second."),
        Column("$/H", ".status.cost.perHour", "Cost of an hour of the GPUs held."),
        Column("$/MTOK", ".status.cost.perMillionTokens", "Cost of a million tokens, input and output."),
        Column(
            "TOK/S/MW",
            ".status.energy.provisioned.tokensPerSecondPerMegawatt",
            "Tokens a second for each provisioned megawatt.",
        ),
        Column(
            "COLLAPSED",
            ".status.verdicts.throughputCollapsed",
            "Pools whose throughput collapsed.",
            "integer",
        ),
        AGE,
    ),
)

KINDS = (INFERENCE_POOL, TOKEN_FACTORY)


def render() -> dict[str, str]:
    """YAML of the CustomResourceDefinitions and of their kustomization, by file name."""
    files = {f"{GROUP}_{kind.plural}.yaml": _yaml(definition(kind)) for kind in KINDS}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(files),
    }
    return files | {"kustomization.yaml": _yaml(kustomization)}


def write(directory: Path) -> tuple[Path, ...]:
    """Writes the rendered files into `directory`, which is made if need be, and returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in render().items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return tuple(paths)


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    singular = kind.kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": singular,
                "shortNames": list(kind.short_names),
                "categories": [CATEGORY],
            },
            "scope": kind.scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.rendered() for column in kind.columns],
                    "schema": {"openAPIV3Schema": _object_schema(kind)},
                }
            ],
        },
    }


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """The model's schema as the API server wants it: no references, unions, titles or free-form objects."""
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _simplified(document, document.get("$defs", {}))


def _object_schema(kind: Kind) -> dict[str, Any]:
    link = "https://kubernetes.io/docs/concepts/overview/working-with-objects/"
    return {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}; see {link}."},
            "kind": {"type": "string", "description": f"{kind.kind}; see {link}."},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec),
            "status": structural(kind.status),
        },
    }


def _simplified(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """`node` with references put in place and only the words that structural schemas know."""
    merged = _resolved(node, definitions)
    result = {word: merged[word] for word in KEPT if word in merged and merged[word] is not None}
    if isinstance(merged.get("items"), Mapping):
        result["items"] = _simplified(merged["items"], definitions)
        result.setdefault("x-kubernetes-list-type", "atomic")
    if isinstance(merged.get("additionalProperties"), Mapping):
        result["additionalProperties"] = _simplified(merged["additionalProperties"], definitions)
    if "properties" in merged:
        properties = merged["properties"].items()
        result["properties"] = {name: _simplified(value, definitions) for name, value in properties}
    if isinstance(result.get("description"), str):
        result["description"] = " ".join(result["description"].split())
    return result


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """One level of `node`: `$ref` looked up, `anyOf` with null reduced; words of `node` itself win."""
    merged = {word: value for word, value in node.items() if word not in ("$ref", "anyOf")}
    for branch in node.get("anyOf", ()):
        if branch.get("type") != "null":
            merged = {**_resolved(branch, definitions), **merged}
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        merged = {**_resolved(target, definitions), **merged}
    return merged


class _Dumper(yaml.SafeDumper):
    """Indents lists under their key, and never writes an anchor."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001
        super().increase_indent(flow, False)


def _yaml(document: Mapping[str, Any]) -> str:
    header = (
        "# Generated by `tokenfactory crd` from operator/tokenfactory/api; edit the models, not this file.\n"
    )
    return header + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
