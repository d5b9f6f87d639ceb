"""Two tenants with the same labels never meet, and a tenant's secrets stay where they were planted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes import client, config

from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.fleet import H200, PoolPlan
from tokenfactory.sandbox.objects import ServingPod
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.site import Station, pick_network
from tokenfactory.sandbox.workload import Odometer

pytestmark = pytest.mark.controlplane

FIRST, SECOND, LEAKY = "tenant-a", "tenant-b", "leaky"
CHAT = "chat"
SECRETS = tuple(f"s3cr3t-{number:02}-canary" for number in range(50))
PLAN = PoolPlan(
    name=CHAT,
    product="NVIDIA-H200",
    gpus_per_pod=8,
    replicas=1,
    per_gpu_hour=H200.per_gpu_hour,
    workload=H200.workload,
    watts_per_gpu=500.0,
)


def _pool(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    body = PLAN.body(window_seconds=30)
    body["metadata"] = {"name": name, "namespace": namespace}
    body["spec"] |= {"selector": {"matchLabels": {"app": name}}, **spec}
    return body


@dataclass(slots=True)
class Evidence:
    """Statuses of the first tenant around what the second did, and everything the operator ever said."""

    before: str = ""
    after: str = ""
    held_by_second: tuple[str, str] = ("", "")
    gpus: dict[str, list[float]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    leaky: dict[str, Any] = field(default_factory=dict)
    asked: int = 0


class Tenants:
    """Pods and pools of several namespaces, on one scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._network = pick_network()
        self._count = 0
        self._core = client.CoreV1Api(config.new_client_from_config(str(scene.plane.kubeconfig())))

    def serve(self, namespace: str, name: str, app: str, **body: Any) -> Station:
        """A serving pod with a page of its own; `body` adds labels to its page, args, env or annotations."""
        self._count += 1
        ip = f"127.{self._network}.0.{self._count}"
        odometer = Odometer(H200.workload, started_at=time.time() - 3600)
        page = body.get("page", lambda text: text)
        station = self.scene.site.add(ip, 8000, lambda now: page(render_engine_page(odometer, now=now)))
        pod = ServingPod(
            name=name,
            namespace=namespace,
            node=f"{namespace}-{name}",
            ip=ip,
            gpus=8,
            labels={"app": app, **body.get("labels", {})},
            args=body.get("args", ("--model", "org/model")),
            started_at=time.time() - 3600,
        )
        created = pod.body()
        created["metadata"]["annotations"] = body.get("annotations", {})
        created["spec"]["containers"][0]["env"] = body.get("env", [])
        self._core.create_namespaced_pod(namespace, created)
        self.scene.cluster.report(pod)
        return station


def _plant(tenants: Tenants) -> Station:
    """Fifty secrets wherever a tenant can write: args, env, annotations, labels and names on the page."""
    half = iter(SECRETS)
    args = ["--model", "org/model", "--api-key", next(half), f"--hf-token={next(half)}"]
    args += [
        "--speculative-config",
        json.dumps({"method": next(half), "model": f"https://u:{next(half)}@h/m"}),
    ]
    args += ["--kv-transfer-config", json.dumps({"kv_connector": next(half), "kv_role": "kv_both"})]
    args += ["--quantization", next(half), "--served-model-name", "plain", "--load-format", next(half)]
    args += [f"--{next(half)}", next(half), "--port", "8000", f"--middleware={next(half)}"]
    env = [{"name": f"TOKEN_{n}", "value": next(half)} for n in range(12)]
    env += [{"name": "LONG", "value": f"{next(half)}\n{next(half)}"}]
    notes = {f"example.org/key-{n}": next(half) for n in range(12)}
    labels = [f'{name}="{next(half)}"' for name in ("token", "engine", "api_key", "reason", "extra")]
    rest = list(half)

    def page(text: str) -> str:
        planted = [f"vllm:request_success_total{{{','.join(labels)}}} 5"]
        planted += [f'vllm:prompt_tokens_total{{engine="{secret}"}} 0' for secret in rest[:4]]
        planted += [f"# HELP vllm:made_up {secret}\nvllm:{secret.replace('-', '_')} 1" for secret in rest[4:]]
        return text + "\n".join(planted) + "\n"

    return tenants.serve(LEAKY, CHAT, CHAT, args=tuple(args), env=env, annotations=notes, page=page)


def _bytes(scene: Scene) -> str:
    return json.dumps(scene.status(CHAT, FIRST), sort_keys=True)


def _held(scene: Scene, namespace: str) -> str:
    return str((scene.status(CHAT, namespace).get("gpus") or {}).get("held", ""))


def _disturb(scene: Scene, tenants: Tenants, found: Evidence, operator: OperatorProcess) -> None:
    """The second tenant adds pods under the first one's labels; some pretend to be of the first one."""
    found.before, held = _bytes(scene), _held(scene, SECOND)
    for number in range(3):
        tenants.serve(SECOND, f"more-{number}", CHAT, labels={"kubernetes.io/metadata.name": FIRST})
    scene.wait_for("the second tenant's pool grew", lambda: _gpus(operator, SECOND) == 32.0, seconds=60)
    seen = _observed(operator)
    scene.wait_for("two cycles of the first tenant", lambda: _observed(operator) > seen + 7, seconds=60)
    found.gpus = {namespace: [_gpus(operator, namespace)] for namespace in (FIRST, SECOND)}
    scene.wait_for("its status says so", lambda: _held(scene, SECOND) == "32", seconds=90)
    found.held_by_second = (held, _held(scene, SECOND))
    found.after = _bytes(scene)


def _gpus(operator: OperatorProcess, namespace: str) -> float:
    page = operator.get("/metrics")[1]
    return read_series(page, "tokenfactory_pool_gpus", namespace=namespace, kind="held").get(CHAT, 0.0)


def _observed(operator: OperatorProcess) -> float:
    page = operator.get("/metrics")[1]
    name = "tokenfactory_pool_last_observation_timestamp_seconds"
    return read_series(page, name, namespace=FIRST).get(CHAT, 0.0)


@pytest.fixture(scope="module")
def evidence(assets: Assets) -> Iterator[Evidence]:
    with Scene(assets, ()) as scene:
        tenants, found = Tenants(scene), Evidence()
        for namespace in (FIRST, SECOND, LEAKY):
            scene.cluster.add_namespace(namespace)
        for namespace in (FIRST, SECOND):
            tenants.serve(namespace, CHAT, CHAT)
            scene.cluster.apply(_pool(namespace, CHAT, price={"perGPUHour": "2"}))
        planted = _plant(tenants)
        scene.cluster.apply(_pool(LEAKY, CHAT, price={"perGPUHour": "2"}))
        operator = scene.start_operator(TOKENFACTORY_LOG_LEVEL="DEBUG")
        scene.wait_for(
            "the first tenant's numbers are published",
            lambda: "perMillionTokens" in (scene.status(CHAT, FIRST).get("cost") or {}),
            seconds=90,
        )
        scene.wait_for(
            "the leaky pool's, too",
            lambda: "perMillionTokens" in (scene.status(CHAT, LEAKY).get("cost") or {}),
            seconds=60,
        )
        _disturb(scene, tenants, found, operator)
        found.leaky, found.asked = scene.status(CHAT, LEAKY), planted.requests
        found.said = {
            "statuses": scene.kubectl("get", "tfpools", "-A", "-o", "yaml"),
            "factories": scene.kubectl("get", "tokenfactories", "-o", "yaml"),
            "events": scene.kubectl("get", "events.events.k8s.io", "-A", "-o", "yaml"),
            "metrics": operator.get("/metrics")[1],
            "log": operator.log.read_text(),
        }
        yield found


def test_a_pool_never_counts_pods_of_another_namespace_with_the_same_labels(evidence: Evidence) -> None:
    assert evidence.gpus == {FIRST: [8.0], SECOND: [32.0]}


def test_the_bytes_of_one_tenants_status_do_not_change_when_another_tenant_does(evidence: Evidence) -> None:
    assert evidence.held_by_second == ("8", "32")
    assert evidence.before == evidence.after
    assert "perMillionTokens" in evidence.before


@pytest.mark.parametrize("where", ["statuses", "factories", "events", "metrics", "log"])
def test_no_planted_secret_is_ever_said(evidence: Evidence, where: str) -> None:
    text = evidence.said[where]
    assert text
    assert [secret for secret in SECRETS if secret in text or secret.replace("-", "_") in text] == []
    assert "canary" not in text


def test_the_leaky_pool_was_read_and_published_all_the_same(evidence: Evidence) -> None:
    assert evidence.asked > 3
    assert "perMillionTokens" in evidence.leaky["cost"]
    assert evidence.leaky["serving"]["engine"] == "vllm"
