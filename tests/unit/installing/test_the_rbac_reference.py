"""docs/reference/rbac.md lists the rules that are shipped, each with a reason."""

from __future__ import annotations

import re

import yaml

from tests.support.installed import MANIFESTS, ROOT
from tests.support.rights import Right, rights_granted

PAGE = ROOT / "docs" / "reference" / "rbac.md"
RULES = MANIFESTS / "operator" / "rbac.yaml"


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"\s\|\s", line)] for line in lines[2:]]


def expand(name: str) -> list[str]:
    """`memory-0 to -2` is three names."""
    found = re.fullmatch(r"(.*)-(\d+) to -(\d+)", name)
    if found is None:
        return [name]
    return [f"{found[1]}-{number}" for number in range(int(found[2]), int(found[3]) + 1)]


def test_the_operators_table_is_what_is_granted_and_every_row_has_a_reason() -> None:
    documented = set()
    for scope, group, resource, verbs, reason in rows("The operator's ServiceAccount"):
        assert len(reason) > 10
        plain, _, name = resource.partition(" named ")
        for verb in verbs.split(", "):
            namespace = "" if scope == "cluster" else scope
            for each in expand(name):
                documented.add(Right(verb, group.replace("(core)", ""), plain, namespace, each))
    granted = rights_granted(
        yaml.safe_load_all(RULES.read_text()), ("tokenfactory-system", "tokenfactory-operator")
    )
    assert documented == granted


def test_the_table_of_people_is_what_is_aggregated() -> None:
    documented = {}
    for role, group, resource, verbs, aggregated in rows("People"):
        documented[role] = ([group], [resource], verbs.split(", "), aggregated.split(", "))
    shipped = {}
    for body in yaml.safe_load_all(RULES.read_text()):
        prefix = "rbac.authorization.k8s.io/aggregate-to-"
        targets = [
            label.removeprefix(prefix) for label in body["metadata"]["labels"] if label.startswith(prefix)
        ]
        if targets:
            (rule,) = body["rules"]
            key = body["metadata"]["name"]
            shipped[key] = (rule["apiGroups"], rule["resources"], rule["verbs"], targets)
    assert documented == shipped
