"""The comparison that the RBAC test stands on: a missing right and an unused one are each seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.rights import Right, missing, rights_granted, rights_used, unused
from tokenfactory.sandbox.audit import AuditEvent

ME = "system:serviceaccount:home:me"
LIST_PODS = AuditEvent(
    user=ME,
    verb="list",
    group="",
    resource="pods",
    subresource="",
    namespace="",
    name="",
    code=200,
    path="/api/v1/pods",
    received="2026-11-01T00:00:00Z",
)


def document(kind: str, name: str, namespace: str = "", **rest: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, **rest}


def rule(groups: str, resources: str, verbs: str, names: str = "") -> dict[str, Any]:
    return {
        "apiGroups": groups.split(","),
        "resources": resources.split(","),
        "verbs": verbs.split(","),
        **({"resourceNames": names.split(",")} if names else {}),
    }


def bound(kind: str, name: str, namespace: str = "", subject: str = "me") -> dict[str, Any]:
    return document(
        "RoleBinding" if namespace else "ClusterRoleBinding",
        "b",
        namespace,
        roleRef={"kind": kind, "name": name},
        subjects=[{"kind": "ServiceAccount", "name": subject, "namespace": "home"}],
    )


def test_requests_of_others_and_of_no_resource_are_not_counted() -> None:
    events = (
        LIST_PODS,
        replace(LIST_PODS, user="somebody", verb="watch"),
        replace(LIST_PODS, resource="", path="/version", verb="get"),
    )
    assert rights_used(events, ME) == {Right("list", "", "pods")}


def test_a_refused_request_counts_as_used() -> None:
    assert rights_used([replace(LIST_PODS, code=403)], ME) == {Right("list", "", "pods")}


def test_a_subresource_is_another_resource() -> None:
    event = replace(LIST_PODS, verb="patch", subresource="status", namespace="n", name="a")
    assert rights_used([event], ME) == {Right("patch", "", "pods/status", "n", "a")}


def test_a_rule_is_the_product_of_its_lists() -> None:
    documents = [
        document("ClusterRole", "r", rules=[rule(",apps", "pods,nodes", "list,watch")]),
        bound("ClusterRole", "r"),
    ]
    assert rights_granted(documents, ("home", "me")) == {
        Right(verb, group, resource)
        for verb in ("list", "watch")
        for group in ("", "apps")
        for resource in ("pods", "nodes")
    }


def test_a_role_holds_in_its_namespace_and_for_its_names_only() -> None:
    documents = [
        document("Role", "r", "home", rules=[rule("x", "leases", "get", "a,b")]),
        bound("Role", "r", "home"),
    ]
    assert rights_granted(documents, ("home", "me")) == {
        Right("get", "x", "leases", "home", "a"),
        Right("get", "x", "leases", "home", "b"),
    }


def test_roles_of_others_and_roles_without_a_binding_grant_nothing() -> None:
    documents = [
        document("ClusterRole", "r", rules=[rule("", "secrets", "get")]),
        document("ClusterRole", "loose", rules=[rule("", "secrets", "get")]),
        bound("ClusterRole", "r", subject="you"),
    ]
    assert rights_granted(documents, ("home", "me")) == frozenset()


@pytest.mark.parametrize(
    ("right", "request_", "covered"),
    [
        (Right("get", "g", "r"), Right("get", "g", "r", "n", "a"), True),
        (Right("get", "g", "r", "n"), Right("get", "g", "r", "n", "a"), True),
        (Right("get", "g", "r", "n"), Right("get", "g", "r", "other", "a"), False),
        (Right("get", "g", "r", "n"), Right("get", "g", "r"), False),
        (Right("get", "g", "r", "n", "a"), Right("get", "g", "r", "n", "a"), True),
        (Right("get", "g", "r", "n", "a"), Right("get", "g", "r", "n", "b"), False),
        (Right("get", "g", "r"), Right("list", "g", "r"), False),
        (Right("get", "g", "r"), Right("get", "h", "r"), False),
        (Right("get", "g", "r"), Right("get", "g", "r/status"), False),
    ],
    ids=[
        "cluster-wide covers a namespace",
        "its namespace",
        "not another namespace",
        "not the whole cluster",
        "its name",
        "not another name",
        "not another verb",
        "not another group",
        "not a subresource",
    ],
)
def test_a_right_covers(right: Right, request_: Right, covered: bool) -> None:
    assert right.covers(request_) is covered


def test_missing_and_unused_name_what_is_wrong() -> None:
    granted = {Right("list", "", "pods"), Right("watch", "", "pods")}
    used = {Right("list", "", "pods"), Right("get", "", "secrets", "n", "s")}
    assert missing(granted, used) == (Right("get", "", "secrets", "n", "s"),)
    assert unused(granted, used) == (Right("watch", "", "pods"),)


def test_numbered_names_are_used_or_unused_together() -> None:
    numbered = [Right("get", "", "configmaps", "system", f"memory-{number}") for number in range(3)]
    other = Right("get", "", "configmaps", "system", "settings")
    assert unused([*numbered, other], [numbered[1]]) == (other,)
    assert unused(numbered, []) == tuple(numbered)
