"""The three lines of the README on an API server with nothing on it, and Pod Security as it really judges."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.installed import MANIFESTS, kustomize, read_objects
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.controlplane import ControlPlane

pytestmark = pytest.mark.controlplane
CRDS = ("crd/inferencepools.tokenfactory.dev", "crd/tokenfactories.tokenfactory.dev")
THREE_LINES = (
    ("apply", "-k", str(MANIFESTS)),
    ("wait", "--for=condition=Established", *CRDS),
    ("apply", "-k", str(MANIFESTS / "samples")),
)
NAMESPACE = "tokenfactory-system"


@pytest.fixture(scope="module")
def answers(assets: Assets) -> Iterator[tuple[ControlPlane, list[str]]]:
    """A control plane of this module's own with the three lines run on it, and the error text of each."""
    with ControlPlane(assets) as cluster:
        errors = []
        for line in THREE_LINES:
            answer = cluster.kubectl(*line)
            errors.append("" if answer.returncode == 0 else answer.stderr or "no exit 0, no word")
        yield cluster, errors


@pytest.fixture(scope="module")
def cluster(answers: tuple[ControlPlane, list[str]]) -> ControlPlane:
    return answers[0]


def operator_pod() -> dict[str, Any]:
    """The Pod that the Deployment's controller would create."""
    deployment = read_objects(kustomize(MANIFESTS))["Deployment", "tokenfactory-operator"]
    template = copy.deepcopy(deployment["spec"]["template"])
    template["metadata"] = {**template["metadata"], "name": "from-the-template", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", **template}


def create(cluster: ControlPlane, pod: dict[str, Any]) -> tuple[int, str]:
    answer = cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod))
    return answer.returncode, answer.stderr


def test_each_of_the_three_lines_exits_with_0(answers: tuple[ControlPlane, list[str]]) -> None:
    assert answers[1] == ["", "", ""]


def test_a_second_run_of_the_three_lines_changes_nothing(cluster: ControlPlane) -> None:
    for line in (THREE_LINES[0], THREE_LINES[2]):
        answer = cluster.kubectl(*line)
        assert answer.returncode == 0, answer.stderr
        assert {text.rsplit(" ", 1)[1] for text in answer.stdout.splitlines()} == {"unchanged"}


def test_the_samples_are_there_to_be_seen(cluster: ControlPlane) -> None:
    listed = cluster.kubectl("get", "inferencepools,tokenfactories", "--all-namespaces", "-o", "name")
    assert listed.stdout.split() == [
        "inferencepool.tokenfactory.dev/my-model",
        "tokenfactory.tokenfactory.dev/default",
    ]


def test_no_object_is_sent_with_a_field_that_the_api_server_does_not_know(cluster: ControlPlane) -> None:
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", input=kustomize(MANIFESTS)
    )
    assert answer.returncode == 0, answer.stderr
    assert "Warning" not in answer.stderr


def test_the_namespace_that_enforces_restricted_pod_security_admits_the_operators_pod(
    cluster: ControlPlane,
) -> None:
    labels = cluster.kubectl("get", "namespace", NAMESPACE, "-o", "jsonpath={.metadata.labels}").stdout
    assert json.loads(labels)["pod-security.kubernetes.io/enforce"] == "restricted"
    code, error = create(cluster, operator_pod())
    assert code == 0, error
    assert "Warning" not in error


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("spec", "securityContext", "runAsNonRoot"), False, "runAsNonRoot"),
        (("spec", "securityContext", "runAsUser"), 0, "runAsUser=0"),
        (("spec", "securityContext", "seccompProfile"), None, "seccompProfile"),
        (("spec", "hostNetwork"), True, "host namespaces"),
        (("spec", "containers", 0, "securityContext", "allowPrivilegeEscalation"), True, "allowPrivilege"),
        (("spec", "containers", 0, "securityContext", "capabilities"), None, "capabilities"),
    ],
    ids=[
        "without runAsNonRoot",
        "as root",
        "without seccomp",
        "on the host network",
        "free to gain privileges",
        "with its capabilities",
    ],
)
def test_the_same_namespace_refuses_the_operators_pod(
    cluster: ControlPlane, path: tuple[str | int, ...], value: object, complaint: str
) -> None:
    pod = operator_pod()
    place: Any = pod
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    code, error = create(cluster, pod)
    assert code != 0
    assert "violates PodSecurity" in error
    assert complaint in error


def test_the_root_file_system_is_read_only_and_only_secrets_are_mounted() -> None:
    spec = operator_pod()["spec"]
    assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in spec["containers"])
    assert {next(iter(volume.keys() - {"name"})) for volume in spec["volumes"]} == {"secret"}


def test_the_service_and_the_deployment_find_the_pods_and_the_port() -> None:
    objects = read_objects(kustomize(MANIFESTS))
    labels = operator_pod()["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in operator_pod()["spec"]["containers"][0]["ports"]}
    service = objects["Service", "tokenfactory-operator"]["spec"]
    assert service["selector"].items() <= labels.items()
    assert [port["targetPort"] for port in service["ports"]] == ["metrics"]
    assert ports == {"metrics": 8080}
    deployment = objects["Deployment", "tokenfactory-operator"]["spec"]
    assert deployment["replicas"] == 2
    assert deployment["selector"]["matchLabels"] == labels


def test_every_object_of_a_namespace_is_in_the_operators_own() -> None:
    namespaces = {
        body["metadata"]["namespace"]
        for body in read_objects(kustomize(MANIFESTS)).values()
        if "namespace" in body["metadata"]
    }
    assert namespaces == {NAMESPACE}
