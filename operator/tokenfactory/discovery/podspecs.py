"""Where the pod specs are in a document of any kind: a rule for all, not a list of kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from tokenfactory.discovery.border import ITEMS, mapping, mappings

Body: TypeAlias = Mapping[str, Any]
Path: TypeAlias = tuple[str | int, ...]

DEEPEST = 16
MOST_NODES = 20_000
PASSED_OVER = frozenset({"metadata", "status"})
PARTS = MappingProxyType({"leaderTemplate": "leader", "workerTemplate": "worker", "headGroupSpec": "head"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A pod spec as written, and its place: `path` leads to it inside its document."""

    path: Path
    spec: Body
    part: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    env: tuple[tuple[str, str | None], ...] = ()
    """Variables that the controller sets in each container, unless written; None: a value not known."""


def find_drafts(document: Body) -> Iterator[Draft]:
    """Every mapping with a list of `containers`, whatever the kind. Bounded; never raises."""
    budget = [MOST_NODES]
    yield from _walk(document, (), _labels(document), "", budget)


def _walk(node: Any, path: Path, labels: Body, part: str, budget: list[int]) -> Iterator[Draft]:
    budget[0] -= 1
    if budget[0] < 0 or len(path) > DEEPEST:
        return
    if isinstance(node, Mapping):
        if _is_pod_spec(node):
            yield Draft(path=path, spec=node, part=part, labels=labels)
            return
        own = _labels(node) or (labels if path[-1:] == ("spec",) or not path else {})
        for key, value in node.items():
            if isinstance(key, str) and key not in PASSED_OVER and isinstance(value, Mapping | list):
                yield from _walk(value, (*path, key), own, PARTS.get(key, part), budget)
    elif isinstance(node, list):
        for index, item in enumerate(node[:ITEMS]):
            if isinstance(item, Mapping):
                yield from _walk(item, (*path, index), {}, _name(item) or part, budget)


def _is_pod_spec(node: Body) -> bool:
    containers = node.get("containers")
    return isinstance(containers, list) and any(
        not {"name", "image", "command", "args"}.isdisjoint(item) for item in mappings(containers)
    )


def _labels(node: Body) -> Body:
    found = mapping(node, "metadata", "labels")
    return found if found else mapping(node, "labels")


def _name(item: Body) -> str:
    for key in ("name", "groupName"):
        if isinstance(item.get(key), str):
            return str(item[key])
    return ""
