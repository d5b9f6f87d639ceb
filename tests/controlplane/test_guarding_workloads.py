"""The workload guard on a real API server: kubectl apply shows the warning, or is refused."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.guarding import NAME, Guarding, try_to_apply
from tests.support.scenes import small_plan
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.fleet import NAMESPACE
from tokenfactory.sandbox.scene import MANIFESTS, Scene

pytestmark = pytest.mark.controlplane

PLAN = small_plan("guarded")
MTP = '--speculative-config={"method":"mtp","num_speculative_tokens":1}'
REQUIRED = {"spec": {"optimizations": [{"name": "MultiTokenPrediction", "policy": "Required"}]}}
KINDS_OF_OTHERS = MANIFESTS.parent / "tests" / "support" / "crds" / "guarded_kinds.yaml"
YOUNG = ("crd/leaderworkersets.leaderworkerset.x-k8s.io", "crd/rollouts.argoproj.io")


@pytest.fixture(scope="module")
def guarding(tmp_path_factory: pytest.TempPathFactory) -> Guarding:
    return Guarding(tmp_path_factory.mktemp("guard"))


@pytest.fixture(scope="module")
def scene(assets: Assets, guarding: Guarding) -> Iterator[Scene]:
    """LeaderWorkerSet and Argo's Rollout are installed when the operator runs already."""
    with Scene(assets, (PLAN,)) as running:
        patch = json.dumps(REQUIRED)
        running.kubectl("patch", "tfpool", PLAN.name, "-n", NAMESPACE, "--type=merge", "-p", patch)
        running.start_operator(**guarding.environment)
        running.kubectl("apply", "-f", str(KINDS_OF_OTHERS))
        running.kubectl("wait", "--for=condition=Established", *YOUNG)
        guarding.install(running)
        yield running


def guard(scene: Scene, mode: str) -> None:
    """Sets spec.guard, and waits until the operator has heard of it: a probe says what is said then."""
    scene.kubectl("patch", "tfactory", "default", "--type=merge", "-p", json.dumps({"spec": {"guard": mode}}))
    expected = {"Off": (0, ""), "Warn": (0, "Warning"), "Deny": (1, "denied")}[mode]

    def heard() -> bool:
        done = try_to_apply(scene, deployment("probe"), "--dry-run=server")
        return (done.returncode, expected[1] in done.stderr) == (expected[0], True)

    scene.wait_for(f"guard {mode} is in force", heard, seconds=30)


def template(*args: str, app: str = PLAN.name) -> dict[str, Any]:
    container = {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["--model=org/model", *args]}
    spec = {"automountServiceAccountToken": False, "containers": [container]}
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def workload(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def deployment(name: str, *args: str, replicas: int = 0, app: str = PLAN.name) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": app}}}
    return workload("apps/v1", "Deployment", name, {**spec, "template": template(*args, app=app)})


def stateful_set(name: str, *args: str, replicas: int = 0) -> dict[str, Any]:
    spec = {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"app": PLAN.name}}}
    return workload("apps/v1", "StatefulSet", name, {**spec, "template": template(*args)})


def leader_worker_set(name: str, *args: str, replicas: int = 0) -> dict[str, Any]:
    group = {"size": 2, "leaderTemplate": template(*args), "workerTemplate": template(*args, "--headless")}
    spec = {"replicas": replicas, "leaderWorkerTemplate": group}
    return workload("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", name, spec)


def rollout(name: str, *args: str, replicas: int = 0) -> dict[str, Any]:
    body = deployment(name, *args, replicas=replicas)
    return body | {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}


def pod(name: str, *args: str) -> dict[str, Any]:
    body = workload("v1", "Pod", name, template(*args)["spec"])
    body["metadata"]["labels"] = {"app": PLAN.name}
    return body


KINDS = pytest.mark.parametrize(
    "make",
    [
        pytest.param(deployment, id="a Deployment"),
        pytest.param(stateful_set, id="a StatefulSet"),
        pytest.param(leader_worker_set, id="a LeaderWorkerSet whose kind is younger than the operator"),
        pytest.param(rollout, id="an Argo Rollout, as young"),
        pytest.param(pod, id="a Pod"),
    ],
)
SCALED = pytest.mark.parametrize("make", [deployment, stateful_set, leader_worker_set, rollout])


@KINDS
def test_off_by_default_nothing_is_said(scene: Scene, make: Any) -> None:
    done = try_to_apply(scene, make("quiet"))
    assert (done.returncode, done.stderr) == (0, "")


@KINDS
def test_warn_shows_the_flag_to_add_and_applies(scene: Scene, make: Any) -> None:
    guard(scene, "Warn")
    done = try_to_apply(scene, make("warned"))
    assert done.returncode == 0
    assert 'Warning: InferencePool "guarded" requires MultiTokenPrediction' in done.stderr
    assert "--speculative-config" in done.stderr


@KINDS
def test_deny_refuses_and_names_the_flag(scene: Scene, make: Any) -> None:
    guard(scene, "Deny")
    done = try_to_apply(scene, make("refused"))
    assert done.returncode == 1
    assert "denied the request" in done.stderr
    assert "--speculative-config" in done.stderr


@KINDS
def test_under_deny_what_is_declared_passes(scene: Scene, make: Any) -> None:
    guard(scene, "Deny")
    done = try_to_apply(scene, make("declared", MTP))
    assert (done.returncode, done.stderr) == (0, "")


def test_under_deny_what_is_not_selected_passes(scene: Scene) -> None:
    guard(scene, "Deny")
    done = try_to_apply(scene, deployment("elsewhere", app="nobody-selects-this"))
    assert (done.returncode, done.stderr) == (0, "")


@SCALED
def test_under_deny_a_workload_from_before_is_scaled_restarted_and_deleted(scene: Scene, make: Any) -> None:
    guard(scene, "Deny")
    body = make("quiet")
    what = f"{body['kind']}.{body['apiVersion'].partition('/')[0]}/quiet"
    patch = json.dumps({"spec": {"replicas": 3}})
    scene.kubectl("patch", what, "-n", NAMESPACE, "--type=merge", "-p", patch)
    scene.kubectl("annotate", what, "-n", NAMESPACE, "example.org/touched=yes")
    if body["apiVersion"] == "apps/v1":
        scene.kubectl("scale", what, "-n", NAMESPACE, "--replicas=2")
        scene.kubectl("rollout", "restart", what, "-n", NAMESPACE)
    assert try_to_apply(scene, make("quiet", "--max-model-len=4096", replicas=3)).returncode == 1
    scene.kubectl("delete", what, "-n", NAMESPACE, "--wait=false")


def test_a_renewed_certificate_is_served_without_a_restart(scene: Scene, guarding: Guarding) -> None:
    guard(scene, "Deny")
    before = served_certificate(guarding.port)
    guarding.issue()
    scene.wait_for("the new one is served", lambda: served_certificate(guarding.port) not in ("", before))
    scene.wait_for("it refuses", lambda: is_refused(scene))


def test_a_certificate_that_can_not_be_read_ends_no_operator(scene: Scene, guarding: Guarding) -> None:
    (guarding.folder / "tls.crt").write_text("half of one")
    scene.wait_for("it is away", lambda: served_certificate(guarding.port) == "")
    assert try_to_apply(scene, deployment("passes")).returncode == 0
    guarding.issue()
    scene.wait_for("it is back", lambda: is_refused(scene))


def test_a_standby_rules_like_the_leader(
    scene: Scene, guarding: Guarding, tmp_path_factory: pytest.TempPathFactory
) -> None:
    guard(scene, "Deny")
    other = Guarding(tmp_path_factory.mktemp("standby"))
    standby = scene.start_operator(**other.environment)
    assert "tokenfactory_leader 0.0" in standby.get("/metrics")[1]
    other.install(scene)
    scene.wait_for("it refuses", lambda: is_refused(scene))
    standby.stop()
    guarding.install(scene)


@pytest.mark.parametrize("silent", [False, True], ids=["nothing listens", "it never answers"])
def test_a_guard_that_is_away_holds_up_nobody(scene: Scene, guarding: Guarding, silent: bool) -> None:
    """Also not somebody whose workload it would refuse: as shipped it is passed over after five seconds."""
    guarding.install(scene)
    guard(scene, "Deny")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1] if silent else 1
        where = [
            {"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": f"https://127.0.0.1:{port}"}
        ]
        scene.kubectl("patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p", json.dumps(where))
        body = deployment("silent" if silent else "away")
        scene.wait_for("it passes", lambda: try_to_apply(scene, body).returncode == 0, seconds=30)


def is_refused(scene: Scene) -> bool:
    return try_to_apply(scene, deployment("probe"), "--dry-run=server").returncode == 1


def served_certificate(port: int) -> str:
    """What the guard shows; empty while nobody answers."""
    try:
        return ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
    except OSError:
        return ""
