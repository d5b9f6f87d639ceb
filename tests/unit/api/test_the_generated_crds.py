"""The committed CRDs are what the models render, and they hold the promises of the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.examples import CRDS, list_examples, load_example, sentence
from tests.support.statuses import full_factory_status, full_pool_status
from tokenfactory.api import crd
from tokenfactory.api.factorystatus import TokenFactoryStatus
from tokenfactory.api.poolstatus import InferencePoolStatus

KINDS = {kind.kind: kind for kind in crd.KINDS}
LARGEST_CRD = 200 * 1024


def schema_of(kind: str) -> dict[str, Any]:
    version = crd.definition(KINDS[kind])["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    assert isinstance(schema, dict)
    return schema


def walk(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def ours(kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Every node below spec and status."""
    return [(path, node) for path, node in walk(schema_of(kind)) if path.startswith(("spec", "status"))]


NODES = [pytest.param(kind, path, node, id=f"{kind} {path}") for kind in KINDS for path, node in ours(kind)]


def paths_of(value: Any, path: str = "") -> Iterator[str]:
    """The schema paths that a document uses."""
    yield path
    if isinstance(value, dict):
        closed = path.endswith("matchLabels")
        for name, child in value.items():
            yield from paths_of(child, f"{path}{{}}" if closed else f"{path}.{name}".lstrip("."))
    if isinstance(value, list):
        for child in value:
            yield from paths_of(child, f"{path}[]")


@pytest.mark.parametrize("name", sorted(crd.render()))
def test_the_committed_file_is_what_the_models_render(name: str) -> None:
    committed = (CRDS / name).read_text(encoding="utf-8")
    assert committed == crd.render()[name], "run `tokenfactory crd` and commit the result"


def test_no_other_manifest_lies_beside_the_generated_ones() -> None:
    assert {path.name for path in CRDS.glob("*.yaml")} == set(crd.render())


@pytest.mark.parametrize("name", sorted(crd.render()))
def test_a_rendered_file_stays_small_enough_to_be_applied_and_to_be_read(name: str) -> None:
    assert len(crd.render()[name].encode()) < LARGEST_CRD


def test_writing_puts_the_same_files_into_a_new_folder(tmp_path: Path) -> None:
    written = crd.write(tmp_path / "new")
    assert {path.name: path.read_text(encoding="utf-8") for path in written} == crd.render()


def test_the_kustomization_names_both_definitions() -> None:
    resources = yaml.safe_load(crd.render()["kustomization.yaml"])["resources"]
    assert resources == ["tokenfactory.dev_inferencepools.yaml", "tokenfactory.dev_tokenfactories.yaml"]


@pytest.mark.parametrize(("kind", "path", "node"), NODES)
def test_everything_is_bounded(kind: str, path: str, node: Mapping[str, Any]) -> None:
    bounds = {"string": ("maxLength", "enum"), "array": ("maxItems",)}
    wanted = ("maxProperties",) if "additionalProperties" in node else bounds.get(node["type"], ())
    timestamp = node.get("format") == "date-time"
    assert not wanted or timestamp or any(word in node for word in wanted), "an unbounded value"
    if node["type"] == "integer":
        assert "minimum" in node
    if node["type"] == "object":
        assert ("properties" in node) != ("additionalProperties" in node), "a free-form object"
    assert node["type"] != "number", "no floats: decimals are strings with a pattern"
    if node["type"] == "array":
        assert node["x-kubernetes-list-type"] in ("atomic", "map", "set")


@pytest.mark.parametrize(
    ("kind", "path", "node"), [row for row in NODES if not str(row.values[1]).endswith(("[]", "{}"))]
)
def test_every_field_is_described_in_a_sentence(kind: str, path: str, node: Mapping[str, Any]) -> None:
    description = node.get("description", "")
    assert description.endswith("."), description
    assert len(description) > 10


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_rule_has_a_message_that_says_what_must_hold(kind: str) -> None:
    rules = [rule for _, node in ours(kind) for rule in node.get("x-kubernetes-validations", ())]
    assert rules
    for rule in rules:
        assert any(word in rule["message"] for word in ("must", "only fits", "needs")), rule["message"]


@pytest.mark.parametrize(
    "path",
    [
        "spec.windowSeconds",
        "spec.optimizations",
        "spec.collapse",
        "spec.collapse.fractionOfBaseline",
        "spec.collapse.forSeconds",
        "spec.factoryName",
    ],
)
def test_a_pool_field_that_a_factory_can_default_has_no_default_of_the_api_server(path: str) -> None:
    assert "default" not in dict(ours("InferencePool"))[path]


@pytest.mark.parametrize(
    ("kind", "plural", "short_names", "scope"),
    [
        ("InferencePool", "inferencepools", ["tfpool", "tfpools"], "Namespaced"),
        ("TokenFactory", "tokenfactories", ["tfactory", "tfactories"], "Cluster"),
    ],
)
def test_names_are_those_that_people_type(kind: str, plural: str, short_names: list[str], scope: str) -> None:
    spec = crd.definition(KINDS[kind])["spec"]
    assert spec["group"] == "tokenfactory.dev"
    assert spec["scope"] == scope
    assert spec["names"]["plural"] == plural
    assert spec["names"]["shortNames"] == short_names
    assert spec["names"]["categories"] == ["tokenfactory"]
    assert spec["versions"][0]["subresources"] == {"status": {}}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_column_reads_one_scalar_of_the_status(kind: str) -> None:
    nodes = dict(ours(kind))
    for column in KINDS[kind].columns:
        if column.path.startswith((".metadata", ".status.conditions[?")):
            continue
        node = nodes[column.path.lstrip(".")]
        assert node["type"] in ("string", "integer"), column.name
        assert (column.kind == "integer") == (node["type"] == "integer"), column.name


@pytest.mark.parametrize(
    ("kind", "example"), [("InferencePool", "pool-everything"), ("TokenFactory", "factory-everything")]
)
def test_the_example_of_everything_leaves_no_field_out(kind: str, example: str) -> None:
    (path,) = (path for path in list_examples("valid") if path.stem == example)
    spec = {path for path, _ in ours(kind) if path.startswith("spec")}
    missing = spec - set(paths_of(load_example(path)["spec"], "spec"))
    alternative = {"spec.poolRef", "spec.poolRef.name"} if kind == "InferencePool" else set()
    assert missing == alternative


@pytest.mark.parametrize(
    ("kind", "document", "model"),
    [
        ("InferencePool", full_pool_status(), InferencePoolStatus),
        ("TokenFactory", full_factory_status(), TokenFactoryStatus),
    ],
)
def test_a_whole_status_passes_the_schema_and_the_model_and_comes_back_unchanged(
    kind: str, document: dict[str, Any], model: type[InferencePoolStatus] | type[TokenFactoryStatus]
) -> None:
    jsonschema.validate(document, schema_of(kind)["properties"]["status"])
    parsed = model.model_validate(document)
    assert parsed.model_dump(mode="json", by_alias=True, exclude_none=True) == document
    used = set(paths_of(document, "status"))
    assert {path for path, _ in ours(kind) if path.startswith("status")} == used


@pytest.mark.parametrize("path", list_examples("valid"), ids=sentence)
def test_a_valid_example_passes_the_structural_schema(path: Path) -> None:
    body = load_example(path)
    jsonschema.validate(body, schema_of(body["kind"]))
