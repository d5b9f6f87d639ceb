"""The chart as Helm renders it: the manifests' objects, every setting, no misspelt value."""

from __future__ import annotations

import copy
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hack.sync_chart import TEMPLATES, render, rendered

from tests.chart.conftest import CHART, Helm
from tests.support.installed import MANIFESTS, ROOT, Objects, kustomize, read_objects
from tokenfactory.runtime.settings import Settings

DEPLOYMENT = ("Deployment", "tokenfactory-operator")
HELMS_LABELS = {
    "app.kubernetes.io/instance": "tokenfactory",
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/version": "0.1.0",
    "helm.sh/chart": "tokenfactory-0.1.0",
}


def without_helms_own(objects: Objects) -> Objects:
    """The objects without the labels that Helm adds to each, and without what only Helm reads on CRDs."""
    plain = copy.deepcopy(objects)
    for (kind, _), body in plain.items():
        labels = body["metadata"]["labels"]
        for name, value in HELMS_LABELS.items():
            assert labels.pop(name) == value
        if kind == "CustomResourceDefinition":
            assert body["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
            assert labels.pop("app.kubernetes.io/name") == "tokenfactory-operator"
            del body["metadata"]["labels"]
    return plain


def operator_container(objects: Objects) -> dict[str, Any]:
    pod = objects[DEPLOYMENT]["spec"]["template"]["spec"]
    return dict(pod["containers"][0])


def test_with_default_values_the_objects_are_those_of_the_manifests_but_for_the_namespace(helm: Helm) -> None:
    manifests = read_objects(kustomize(MANIFESTS))
    del manifests["Namespace", "tokenfactory-system"]
    assert without_helms_own(read_objects(helm.template())) == manifests


def test_asked_for_the_namespace_the_objects_are_those_of_the_manifests(helm: Helm) -> None:
    chart = without_helms_own(read_objects(helm.template("--set", "namespace.create=true")))
    assert chart == read_objects(kustomize(MANIFESTS))


def test_the_release_namespace_is_the_only_one_that_is_named(helm: Helm) -> None:
    text = helm.template(
        "--set", "namespace.create=true", "--set", "crds.enabled=false", namespace="elsewhere"
    )
    assert "tokenfactory-system" not in text
    assert (
        read_objects(text)["RoleBinding", "tokenfactory-operator"]["subjects"][0]["namespace"] == "elsewhere"
    )


def test_the_crd_templates_are_those_that_make_crds_writes() -> None:
    held = {path.name: path.read_text(encoding="utf-8") for path in TEMPLATES.iterdir()}
    assert held == rendered()
    assert len(held) == 2


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("kind: X\nmetadata:\n  name: a\nspec:\n  x: '{{ b }}'\n", id="a helm action"),
        pytest.param("kind: X\nmetadata:\n  name: a\n  labels: {}\nspec:\n  x: 1\n", id="labels of its own"),
        pytest.param("kind: X\nmetadata:\n  name: a\n", id="no spec"),
    ],
)
def test_a_crd_that_can_not_be_a_template_as_it_is_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the CRD"):
        render(text)


def test_crds_are_left_out_when_they_come_from_elsewhere(helm: Helm) -> None:
    kinds = {kind for kind, _ in read_objects(helm.template("--set", "crds.enabled=false"))}
    assert "CustomResourceDefinition" not in kinds
    assert "Deployment" in kinds


def test_crds_go_with_the_release_when_they_are_not_to_be_kept(helm: Helm) -> None:
    crds = [
        body
        for (kind, _), body in read_objects(helm.template("--set", "crds.keep=false")).items()
        if kind == "CustomResourceDefinition"
    ]
    assert len(crds) == 2
    assert all("annotations" not in body["metadata"] for body in crds)


def test_every_setting_of_the_values_reaches_the_operator(
    helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {
        "logFormat": "json",
        "logLevel": "WARNING",
        "deniedNetworks": ["10.96.0.0/12", "fd00::/8"],
        "podSelector": 'app in (vllm, "exporter"),team!=x',
        "pageSize": 1000,
        "concurrentCycles": 32,
        "maxPoolsPerNamespace": 2000000,
    }
    assert set(chosen) == set(yaml.safe_load((CHART / "values.yaml").read_text())["settings"])
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"settings": chosen}))
    container = operator_container(read_objects(helm.template("--values", str(values))))
    for variable in container["env"]:
        if "value" in variable:
            monkeypatch.setenv(variable["name"], variable["value"])
    settings = Settings()
    assert settings.log_format == "json"
    assert settings.log_level == "WARNING"
    assert settings.denied_networks == ("10.96.0.0/12", "fd00::/8")
    assert settings.pod_selector == chosen["podSelector"]
    assert (settings.page_size, settings.concurrent_cycles) == (1000, 32)
    assert settings.max_pools_per_namespace == 2000000


def test_the_environment_of_the_manifests_is_made_of_settings_that_exist() -> None:
    container = operator_container(read_objects(kustomize(MANIFESTS)))
    fields = {f"TOKENFACTORY_{name.upper()}" for name in Settings.model_fields}
    names = {variable["name"] for variable in container["env"]}
    assert names
    assert names <= fields


@pytest.mark.parametrize(
    ("values", "image"),
    [
        (["image.repository=r.example:5000/a/b"], "r.example:5000/a/b:0.1.0"),
        (["image.tag=0.1.1-rc.1"], "tokenfactory-operator:0.1.1-rc.1"),
        (
            ["image.tag=ignored", f"image.digest=sha256:{'ab' * 32}"],
            f"tokenfactory-operator@sha256:{'ab' * 32}",
        ),
    ],
    ids=["from another registry", "of another version", "by digest, whatever the tag"],
)
def test_the_image_can_come(helm: Helm, values: list[str], image: str) -> None:
    arguments = [word for value in values for word in ("--set-string", value)]
    assert operator_container(read_objects(helm.template(*arguments)))["image"] == image


def test_scheduling_and_resources_are_passed_on_as_they_are(helm: Helm, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    given: dict[str, Any] = {
        "imagePullSecrets": [{"name": "mine"}],
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    }
    resources = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi", "cpu": "2"}}
    values.write_text(
        json.dumps(
            {
                **given,
                "replicas": 3,
                "resources": {
                    "limits": {"cpu": "2", "memory": "1Gi"},
                    "requests": {"cpu": "1", "memory": None},
                },
            }
        )
    )
    objects = read_objects(helm.template("--values", str(values)))
    deployment = objects[DEPLOYMENT]["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["replicas"] == 3
    assert {name: pod[name] for name in given} == given
    assert operator_container(objects)["resources"] == resources


def test_credentials_of_any_name_are_mounted_where_the_operator_looks_for_them(
    helm: Helm, tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"credentials": [{"name": "thanos", "secretName": "thanos-reader"}]}))
    objects = read_objects(helm.template("--values", str(values)))
    (mount,) = operator_container(objects)["volumeMounts"]
    (volume,) = objects[DEPLOYMENT]["spec"]["template"]["spec"]["volumes"]
    assert mount["mountPath"] == f"{Settings().credentials_directory}/thanos"
    assert mount["readOnly"] is True
    assert mount["name"] == volume["name"]
    assert volume["secret"] == {"secretName": "thanos-reader", "optional": True, "defaultMode": 0o444}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("replica=3", "replica"),
        ("image.repo=x", "repo"),
        ("settings.windowSeconds=30", "windowSeconds"),
        ("settings.loopback=sandbox", "loopback"),
        ("settings.logFormat=xml", "logFormat"),
        ("settings.deniedNetworks={cluster.local}", "deniedNetworks"),
        ("crds.enable=false", "enable"),
        ("crds.keep=nope", "keep"),
        ("replicas=two", "replicas"),
        ("image.repository=", "repository"),
        ("image.repository=operator:1.0", "repository"),
        ("image.digest=latest", "digest"),
        ("resources.limit.memory=1Gi", "limit"),
        ("credentials[0].name=../etc,credentials[0].secretName=x", "credentials"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(helm: Helm, value: str, named: str) -> None:
    answer = helm.run("template", "tokenfactory", str(CHART), "--set", value)
    assert answer.returncode != 0
    assert "values don't meet the specifications of the schema" in answer.stderr
    assert named in answer.stderr


def test_helm_lint_is_strict_and_content(helm: Helm) -> None:
    helm.succeed("lint", "--strict", str(CHART))


def test_version_numbers_agree_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    image = operator_container(read_objects(kustomize(MANIFESTS)))["image"]
    assert chart["version"] == chart["appVersion"] == project["version"]
    assert image == f"tokenfactory-operator:{project['version']}"


def component_objects(name: str, folder: Path) -> Objects:
    """What a component of manifests/ adds to an overlay."""
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "components": [os.path.relpath(MANIFESTS / "components" / name, folder.resolve())],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(overlay))
    return read_objects(kustomize(folder))


def test_the_network_policy_is_that_of_the_manifests_component(helm: Helm, tmp_path: Path) -> None:
    component = component_objects("network-policy", tmp_path)
    chart = read_objects(helm.template("--set", "networkPolicy.enabled=true"))
    assert without_helms_own({key: chart[key] for key in component}) == component
    elsewhere = helm.template(
        "--set", "networkPolicy.enabled=true", "--set", "networkPolicy.monitoringNamespace=observability"
    )
    assert "kubernetes.io/metadata.name: observability" in elsewhere


def test_the_guard_is_that_of_the_manifests_component(helm: Helm, tmp_path: Path) -> None:
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(MANIFESTS, tmp_path.resolve())],
        "components": [os.path.relpath(MANIFESTS / "components" / "guard", tmp_path.resolve())],
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay))
    manifests = read_objects(kustomize(tmp_path))
    text = helm.template("--set", "guard.enabled=true", "--set", "namespace.create=true")
    chart = without_helms_own(read_objects(text))
    for objects in (chart, manifests):
        pod = objects[DEPLOYMENT]["spec"]["template"]["spec"]
        for parts in (pod["volumes"], pod["containers"][0]["volumeMounts"], pod["containers"][0]["ports"]):
            parts.sort(key=lambda part: str(part["name"]))
    assert chart == manifests
    bundle = helm.template("--set", "guard.enabled=true", "--set", "guard.caBundle=Zm9v")
    assert "caBundle: Zm9v" in bundle


def test_monitoring_is_that_of_the_manifests_component_with_the_labels_of_ones_prometheus(
    helm: Helm, tmp_path: Path
) -> None:
    component = component_objects("monitoring", tmp_path)
    text = helm.template("--set", "monitoring.enabled=true", "--set", "monitoring.labels.release=mine")
    chart = {key: body for key, body in read_objects(text).items() if key in component}
    for body in chart.values():
        assert body["metadata"]["labels"].pop("release") == "mine"
    assert without_helms_own(chart) == component
    assert {kind for kind, _ in component} == {"PrometheusRule", "ServiceMonitor"}


def test_alerts_link_to_where_the_runbooks_are_served(helm: Helm) -> None:
    base = "https://wiki.example/runbooks"
    text = helm.template("--set", "monitoring.enabled=true", "--set", f"monitoring.runbooks={base}")
    rule = read_objects(text)["PrometheusRule", "tokenfactory-operator"]
    links = [
        alert["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for alert in group["rules"]
    ]
    assert len(links) == 11
    assert all(link.startswith(f"{base}/TokenFactory") for link in links)
