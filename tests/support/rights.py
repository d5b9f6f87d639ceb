"""What a user of the API server did, from its audit log, and what RBAC rules let it do: the same values."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tokenfactory.sandbox.audit import AuditEvent

_NUMBER = re.compile(r"-\d+$")


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource (`pods`, `pods/status`) of one API group (empty: the core group).

    `namespace` is empty for a right, or a request, that spans the cluster. `name` is empty unless a rule
    limits the right to objects of that name.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def covers(self, request: Right) -> bool:
        """Whether this right allows the request, whose `name` is that of the object asked for."""
        return (
            (self.verb, self.group, self.resource) == (request.verb, request.group, request.resource)
            and self.namespace in ("", request.namespace)
            and self.name in ("", request.name)
        )


def rights_used(events: Iterable[AuditEvent], user: str) -> frozenset[Right]:
    """Every resource request of `user`, refused ones included. Discovery and health are no resources."""
    return frozenset(
        Right(
            event.verb,
            event.group,
            f"{event.resource}/{event.subresource}" if event.subresource else event.resource,
            event.namespace,
            event.name,
        )
        for event in events
        if event.user == user and event.resource
    )


def rights_granted(documents: Iterable[Mapping[str, Any]], account: tuple[str, str]) -> frozenset[Right]:
    """What the bindings among `documents` give to the ServiceAccount (namespace, name).

    Raises KeyError for a binding to a role that is not among them.
    """
    bodies = tuple(documents)
    roles = {_key(body): body["rules"] for body in bodies if body["kind"] in ("Role", "ClusterRole")}
    granted: set[Right] = set()
    for body in bodies:
        subjects = [(subject.get("namespace"), subject["name"]) for subject in body.get("subjects", ())]
        if account not in subjects:
            continue
        namespace = body["metadata"].get("namespace", "")
        kind, name = body["roleRef"]["kind"], body["roleRef"]["name"]
        for rule in roles[kind, namespace if kind == "Role" else "", name]:
            granted |= _expanded(rule, namespace)
    return frozenset(granted)


def missing(granted: Iterable[Right], used: Iterable[Right]) -> tuple[Right, ...]:
    """Requests that no right covers."""
    rights = tuple(granted)
    return tuple(sorted(one for one in used if not any(right.covers(one) for right in rights)))


def unused(granted: Iterable[Right], used: Iterable[Right]) -> tuple[Right, ...]:
    """Rights that cover no request. Numbered names (`memory-0`, `memory-1` …) are one right together."""
    requests, rights = tuple(used), tuple(granted)
    idle = [right for right in rights if not any(right.covers(one) for one in requests)]
    families = {_family(right) for right in rights if right not in idle and _NUMBER.search(right.name)}
    return tuple(sorted(right for right in idle if _family(right) not in families))


def _family(right: Right) -> Right:
    return replace(right, name=_NUMBER.sub("-N", right.name))


def _key(role: Mapping[str, Any]) -> tuple[str, str, str]:
    return role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]


def _expanded(rule: Mapping[str, Any], namespace: str) -> set[Right]:
    combinations = itertools.product(
        rule["verbs"], rule["apiGroups"], rule["resources"], rule.get("resourceNames") or [""]
    )
    return {Right(verb, group, resource, namespace, name) for verb, group, resource, name in combinations}
