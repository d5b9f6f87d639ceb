"""Two tenants with the same labels never meet, and a tenant's secrets stay where they were planted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from typer.testing import CliRunner

from tests.support.guarding import Guarding, try_to_apply
from tests.support.leaks import Leaks, found_in
from tokenfactory.cli.main import build
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.fleet import H200, PoolPlan
from tokenfactory.sandbox.objects import ServingPod
from tokenfactory.sandbox.operator_process import OPERATOR_NAMESPACE, OperatorProcess
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.site import Station, pick_network
from tokenfactory.sandbox.workload import Odometer

pytestmark = pytest.mark.controlplane

FIRST, SECOND, LEAKY = "tenant-a", "tenant-b", "leaky"
CHAT = "chat"
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
    """Statuses of the first tenant around what the second did, and everything that was ever said."""

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

    def serve(self, namespace: str, name: str, app: str, **given: Any) -> Station:
        """A serving pod with a page of its own; `given` adds labels, args, lines to the page, and so on."""
        self._count += 1
        ip = f"127.{self._network}.0.{self._count}"
        odometer = Odometer(H200.workload, started_at=time.time() - 3600)
        lines = given.get("lines", "")
        station = self.scene.site.add(ip, 8000, lambda now: render_engine_page(odometer, now=now) + lines)
        pod = ServingPod(
            name=name,
            namespace=namespace,
            node=f"{namespace}-{name}",
            ip=ip,
            gpus=8,
            labels={"app": app, **given.get("labels", {})},
            args=given.get("args", ("--model", "org/model")),
            started_at=given.get("started_at", time.time() - 3600),
        )
        created = pod.body()
        created["metadata"]["annotations"] = given.get("annotations", {})
        piece = dict(given.get("piece", {}))
        created["spec"]["volumes"] = piece.pop("volumes", [])
        created["spec"]["containers"][0] |= piece
        self._core.create_namespaced_pod(namespace, created)
        self.scene.cluster.report(pod)
        return station

    def put(self, body: dict[str, Any]) -> None:
        assert try_to_apply(self.scene, body).returncode == 0


def _plant(tenants: Tenants, leaks: Leaks) -> Station:
    """Secrets wherever a tenant can write: pods, their ConfigMaps, a Secret, and a page."""
    for name, piece, config_map in leaks.containers():
        tenants.put(config_map)
        tenants.serve(LEAKY, name, CHAT, piece=piece, started_at=time.time() + 1)
    return tenants.serve(
        LEAKY,
        CHAT,
        CHAT,
        args=leaks.arguments(),
        piece={"env": leaks.variables()},
        annotations=leaks.annotations(),
        lines=leaks.page_lines(),
    )


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


def _refused(scene: Scene, guard: Guarding, leaks: Leaks) -> str:
    """What kubectl shows of the leaky tenant's Deployment, which the guard refuses."""
    guard.install(scene)
    body = leaks.deployment({"app": CHAT})
    told = scene.wait_for("it is refused", lambda: try_to_apply(scene, body, "--dry-run=server").stderr)
    assert "denied the request" in told
    return str(told)


def _make_an_event(scene: Scene) -> None:
    """A transition of the leaky pool: what it lacks is required from now on."""
    rows = [{"name": name, "policy": "Required"} for name in ("FP4", "SpeculativeDecoding")]
    patch = json.dumps({"spec": {"optimizations": rows}})
    scene.kubectl("patch", "tfpool", CHAT, "-n", LEAKY, "--type=merge", "-p", patch)
    scene.wait_for("an Event", lambda: scene.kubectl("get", "events", "-n", LEAKY, "-o", "name"))


def _offline(scene: Scene, folder: Path, station: Station) -> Iterator[tuple[str, str]]:
    """What the commands say that read files: the tenant's objects, as kubectl gives them, and its page."""
    pools, objects = folder / "pools.yaml", folder / "objects.yaml"
    pools.write_text(scene.kubectl("get", "tfpools", "-n", LEAKY, "-o", "yaml"))
    objects.write_text(scene.kubectl("get", "pods,configmaps", "-n", LEAKY, "-o", "yaml"))
    for age in (30, 15, 0):
        at = int(time.time()) - age
        (folder / "pages" / str(at)).mkdir(parents=True)
        (folder / "pages" / str(at) / f"{CHAT}_8000.prom").write_text(str(station.render(at)))
    files = ["-f", str(pools), "--objects", str(objects), "--metrics", str(folder / "pages")]
    for output in ("text", "json", "sarif"):
        yield f"check {output}", _say("check", "-f", str(objects), "--require=FP4", "-o", output)
    yield "once", _say("once", *files, "-o", "wide") + _say("once", *files, "-o", "jsonl")
    yield "explain of files", _say("explain", CHAT, "-n", LEAKY, *files, "-o", "json")


def _say(command: str, *words: str) -> str:
    done = CliRunner().invoke(build([command]), [command, *words])
    assert done.exit_code in (0, 1), done.stderr
    return done.stdout + done.stderr


def _explained(operator: OperatorProcess) -> str:
    where = f"http://127.0.0.1:{operator.explain_port}"
    return "".join(
        _say("explain", CHAT, "-n", LEAKY, "--operator", where, "-o", output) for output in ("text", "json")
    )


def _online(scene: Scene, operator: OperatorProcess) -> Iterator[tuple[str, str]]:
    """What the operator said; it is stopped, so that it keeps what it learned."""
    yield "explain", _explained(operator)
    yield "metrics", operator.get("/metrics")[1]
    operator.stop()
    for kind, name in (
        ("tfpools", "statuses"),
        ("tokenfactories", "factories"),
        ("events.events.k8s.io", "events"),
    ):
        yield name, scene.kubectl("get", kind, "-A", "-o", "yaml")
    yield "memory", scene.kubectl("get", "configmaps,leases", "-n", OPERATOR_NAMESPACE, "-o", "yaml")
    yield "log", operator.log.read_text()


@pytest.fixture(scope="module")
def evidence(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    guard, leaks, found = Guarding(tmp_path_factory.mktemp("guard")), Leaks(LEAKY), Evidence()
    with Scene(assets, ()) as scene:
        tenants = Tenants(scene)
        for namespace in (FIRST, SECOND, LEAKY):
            scene.cluster.add_namespace(namespace)
        for namespace in (FIRST, SECOND):
            tenants.serve(namespace, CHAT, CHAT)
            scene.cluster.apply(_pool(namespace, CHAT, price={"perGPUHour": "2"}))
        planted = _plant(tenants, leaks)
        scene.cluster.apply(_pool(LEAKY, CHAT, price={"perGPUHour": "2"}, optimizations=[]))
        scene.kubectl("patch", "tfactory", "default", "--type=merge", "-p", '{"spec": {"guard": "Deny"}}')
        operator = scene.start_operator(TOKENFACTORY_LOG_LEVEL="DEBUG", **guard.environment)
        for namespace in (FIRST, LEAKY):
            scene.wait_for(
                f"the numbers of {namespace} are published",
                lambda: "perMillionTokens" in (scene.status(CHAT, namespace).get("cost") or {}),  # noqa: B023
                seconds=90,
            )
        _make_an_event(scene)
        found.said["guard"] = _refused(scene, guard, leaks)
        tenants.put(leaks.secret())
        _disturb(scene, tenants, found, operator)
        found.leaky, found.asked = scene.status(CHAT, LEAKY), planted.requests
        found.said |= dict(_offline(scene, tmp_path_factory.mktemp("offline"), planted))
        found.said |= dict(_online(scene, operator))
        yield found


def test_a_pool_never_counts_pods_of_another_namespace_with_the_same_labels(evidence: Evidence) -> None:
    assert evidence.gpus == {FIRST: [8.0], SECOND: [32.0]}


def test_the_bytes_of_one_tenants_status_do_not_change_when_another_tenant_does(evidence: Evidence) -> None:
    assert evidence.held_by_second == ("8", "32")
    assert evidence.before == evidence.after
    assert "perMillionTokens" in evidence.before


def test_no_planted_secret_is_ever_said(evidence: Evidence) -> None:
    places = {"guard", "check text", "check json", "check sarif", "once", "explain of files", "explain"}
    assert evidence.said.keys() == places | {"metrics", "statuses", "factories", "events", "memory", "log"}
    assert "kind: Event\n" in evidence.said["events"]
    assert "tokenfactory-memory" in evidence.said["memory"]
    assert {where: found for where, text in evidence.said.items() if (found := found_in(text))} == {}


def test_the_leaky_pool_was_read_and_published_all_the_same(evidence: Evidence) -> None:
    assert evidence.asked > 3
    assert "perMillionTokens" in evidence.leaky["cost"]
    assert evidence.leaky["serving"]["engine"] == "sglang, trtllm, vllm"
