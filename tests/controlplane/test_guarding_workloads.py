"""The workload guard on a real API server: kubectl apply shows the warning, or is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.support.installed import MANIFESTS
from tests.support.scenes import small_plan
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.fleet import NAMESPACE
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.servers import pick_port

pytestmark = pytest.mark.controlplane

PLAN = small_plan("guarded")
MTP = '--speculative-config={"method":"mtp","num_speculative_tokens":1}'
REQUIRED = {"spec": {"optimizations": [{"name": "MultiTokenPrediction", "policy": "Required"}]}}


@pytest.fixture(scope="module")
def scene(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder, port = tmp_path_factory.mktemp("guard"), pick_port()
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    with Scene(assets, (PLAN,)) as running:
        patch = json.dumps(REQUIRED)
        running.kubectl("patch", "tfpool", PLAN.name, "-n", NAMESPACE, "--type=merge", "-p", patch)
        running.start_operator(TOKENFACTORY_GUARD_DIRECTORY=str(folder), TOKENFACTORY_GUARD_PORT=str(port))
        install(running, authority.cert_pem.bytes(), port)
        yield running


def install(scene: Scene, ca: bytes, port: int) -> None:
    """The shipped webhook, with an address that this API server can reach."""
    body = yaml.safe_load((MANIFESTS / "components" / "guard" / "webhook.yaml").read_text())
    bundle = base64.b64encode(ca).decode()
    body["webhooks"][0]["clientConfig"] = {"url": f"https://127.0.0.1:{port}/guard", "caBundle": bundle}
    assert apply(scene, body).returncode == 0


def apply(scene: Scene, body: dict[str, Any]) -> Any:
    path = Path(scene.plane.folder) / "workload.json"
    path.write_text(json.dumps(body))
    return scene.plane.kubectl("apply", "-f", str(path))


def guard(scene: Scene, mode: str) -> None:
    """Sets spec.guard, and waits until the operator has heard of it: a probe says what is said then."""
    scene.kubectl("patch", "tfactory", "default", "--type=merge", "-p", json.dumps({"spec": {"guard": mode}}))
    expected = {"Off": (0, ""), "Warn": (0, "Warning"), "Deny": (1, "denied")}[mode]

    def heard() -> bool:
        body = deployment(f"probe-{mode.lower()}")
        path = Path(scene.plane.folder) / "probe.json"
        path.write_text(json.dumps(body))
        done = scene.plane.kubectl("create", "--dry-run=server", "-f", str(path))
        return (done.returncode, expected[1] in done.stderr) == (expected[0], True)

    scene.wait_for(f"guard {mode} is in force", heard, seconds=30)


def deployment(name: str, *args: str, replicas: int = 0, app: str = PLAN.name) -> dict[str, Any]:
    container = {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["--model=org/model", *args]}
    labels = {"app": app}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def pod(name: str, *args: str) -> dict[str, Any]:
    template = deployment(name, *args)["spec"]["template"]
    metadata = {"name": name, "namespace": NAMESPACE, **template["metadata"]}
    spec = {**template["spec"], "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_off_by_default_nothing_is_said(scene: Scene) -> None:
    done = apply(scene, deployment("quiet"))
    assert (done.returncode, done.stderr) == (0, "")


def test_warn_shows_the_flag_to_add_and_applies(scene: Scene) -> None:
    guard(scene, "Warn")
    done = apply(scene, deployment("warned"))
    assert done.returncode == 0
    assert 'Warning: InferencePool "guarded" requires MultiTokenPrediction' in done.stderr
    assert "--speculative-config" in done.stderr


def test_deny_refuses_and_names_the_flag(scene: Scene) -> None:
    guard(scene, "Deny")
    for body in (deployment("refused"), pod("refused-pod")):
        done = apply(scene, body)
        assert done.returncode == 1
        assert "denied the request" in done.stderr
        assert "--speculative-config" in done.stderr


def test_under_deny_what_is_declared_or_not_selected_passes(scene: Scene) -> None:
    guard(scene, "Deny")
    for body in (deployment("declared", MTP), deployment("elsewhere", app="nobody-selects-this")):
        done = apply(scene, body)
        assert (done.returncode, done.stderr) == (0, "")


def test_under_deny_a_workload_from_before_can_still_be_scaled(scene: Scene) -> None:
    guard(scene, "Deny")
    scene.kubectl("scale", "deployment", "quiet", "-n", NAMESPACE, "--replicas=3")
    refused = apply(scene, deployment("quiet", "--max-model-len=4096", replicas=3))
    assert refused.returncode == 1


def test_a_guard_that_is_away_holds_up_nobody(scene: Scene) -> None:
    name = "tokenfactory-guard"
    away = [{"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": "https://127.0.0.1:1/guard"}]
    scene.kubectl("patch", "validatingwebhookconfiguration", name, "--type=json", "-p", json.dumps(away))
    scene.wait_for(
        "the API server has heard of it",
        lambda: apply(scene, deployment("passes")).returncode == 0,
        seconds=30,
    )
