"""Kubernetes documents of any kind become the pods that they ask for, with the files these mount."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenfactory.discovery.border import ITEMS, mapping, mappings, text
from tokenfactory.discovery.configmaps import Body, ConfigMaps
from tokenfactory.discovery.controllers import drafts_of
from tokenfactory.discovery.nodes import project_node
from tokenfactory.discovery.pods import project_pod
from tokenfactory.discovery.podspecs import Draft, Path
from tokenfactory.model import Node, Pod
from tokenfactory.model.capabilities import capability_of

USED_OTHERWISE = frozenset(
    {"ConfigMap", "Node", "Secret", "Service", "ServingRuntime", "ClusterServingRuntime"}
)
RUNTIMES = frozenset({"ServingRuntime", "ClusterServingRuntime"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTemplate:
    """One pod that a document asks for.

    `document` is the position of the document, `path` leads to the pod spec in it, `part` names it among
    the pods of the document (`leader`, a service's name; empty for the only one). `files` holds, by
    container, the text of the mounted files that the documents show.
    """

    document: int
    kind: str
    api_version: str
    path: Path
    part: str
    pod: Pod
    files: Mapping[str, Mapping[str, str]]
    gpu_product: str | None = None
    capability_major: int | None = None


def read_templates(documents: Sequence[Body]) -> tuple[PodTemplate, ...]:
    """The pods of all documents, in their order. `List` kinds must be flat already; see `flatten`."""
    maps = ConfigMaps(documents)
    nodes = {node.name: node for node in map(project_node, _of_kind(documents, {"Node"}))}
    runtimes = {text(mapping(body, "metadata").get("name")): body for body in _of_kind(documents, RUNTIMES)}
    served = next(_of_kind(documents, {"InferenceService"}), None) is not None
    found: list[PodTemplate] = []
    for position, body in enumerate(documents):
        if served and body.get("kind") in RUNTIMES:
            continue
        found += [
            _template(draft, body, position=position, maps=maps, nodes=nodes)
            for draft in drafts_of(body, runtimes)
        ]
    return tuple(found)


def passed_over(documents: Sequence[Body], templates: Iterable[PodTemplate]) -> tuple[tuple[str, int], ...]:
    """Kinds without a pod in them, and how many documents of each."""
    read = {template.document for template in templates}
    kinds = (
        str(body.get("kind"))
        for position, body in enumerate(documents)
        if position not in read and body.get("kind") not in USED_OTHERWISE
    )
    return tuple(sorted(Counter(kind if _is_kind(kind) else "unnamed" for kind in kinds).items()))


def flatten(document: Any) -> tuple[tuple[Path, Body], ...]:
    """The objects of a document with their paths in it: a `List` holds many, anything else is one or none.

    Empty when the document is no Kubernetes object.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("kind"), str):
        return ()
    items = document.get("items")
    if not document["kind"].endswith("List") or not isinstance(items, list):
        return (((), document),)
    kind = document["kind"].removesuffix("List")
    return tuple(
        (("items", index), {**({"kind": kind} if kind else {}), **item})
        for index, item in enumerate(items)
        if isinstance(item, Mapping)
    )


def _of_kind(documents: Iterable[Body], kinds: Collection[str]) -> Iterator[Body]:
    return (body for body in documents if body.get("kind") in kinds)


def _is_kind(kind: str) -> bool:
    return kind.isascii() and kind.isalnum() and len(kind) <= 63


def _template(
    draft: Draft, body: Body, *, position: int, maps: ConfigMaps, nodes: Mapping[str, Node]
) -> PodTemplate:
    metadata = mapping(body, "metadata")
    namespace, kind = text(metadata.get("namespace")), text(body.get("kind"))
    containers = [_container(item, draft) for item in mappings(draft.spec.get("containers"))]
    early = [_container(item, draft) for item in mappings(draft.spec.get("initContainers"))]
    pod = project_pod(
        {
            "metadata": {
                "namespace": namespace,
                "name": text(metadata.get("name")) or text(metadata.get("generateName")),
                "labels": dict(draft.labels),
            },
            "spec": {**draft.spec, "containers": containers[:ITEMS], "initContainers": early[:ITEMS]},
            "status": body.get("status") if kind == "Pod" else {},
        }
    )
    pod = maps.configure(pod)
    product, capability = _gpu(draft.spec, nodes.get(pod.node_name))
    return PodTemplate(
        document=position,
        kind=kind,
        api_version=text(body.get("apiVersion")),
        path=draft.path,
        part=text(draft.part),
        pod=pod,
        files={item.name: dict(item.files) for item in pod.containers},
        gpu_product=product,
        capability_major=capability,
    )


def _container(item: Body, draft: Draft) -> dict[str, Any]:
    """With the controller's variables, which the written ones outrank."""
    names = {each.get("name") for each in mappings(item.get("env"))}
    added = [
        {"name": name, "valueFrom": {}} if value is None else {"name": name, "value": value}
        for name, value in draft.env
        if name not in names
    ]
    return {**item, "env": [*added, *mappings(item.get("env"))]}


def _gpu(spec: Body, node: Node | None) -> tuple[str | None, int | None]:
    """Product and compute capability by the pod's node, else by what its node selector asks for."""
    known = node or project_node({"metadata": {"labels": _wanted(spec)}})
    capability = known.capability_major
    return known.gpu_product, capability if capability is not None else capability_of(known.gpu_product)


def _wanted(spec: Body) -> dict[str, Any]:
    """Node labels that the pod requires with one value each; of several terms, only the only one counts."""
    wanted = dict(mapping(spec, "nodeSelector"))
    required = mapping(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = list(mappings(required.get("nodeSelectorTerms")))
    for rule in mappings(terms[0].get("matchExpressions")) if len(terms) == 1 else ():
        values = rule.get("values")
        if rule.get("operator") == "In" and isinstance(values, list) and len(values) == 1:
            wanted.setdefault(str(rule.get("key")), values[0])
    return wanted
