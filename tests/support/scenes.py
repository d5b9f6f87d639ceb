"""What tests on a whole scene share: small pools, what happens to pods, and readings of the operator."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import yaml

from tokenfactory.sandbox.audit import AuditEvent
from tokenfactory.sandbox.fleet import NAMESPACE, Engine, PoolPlan
from tokenfactory.sandbox.operator_process import OPERATOR_NAMESPACE, SERVICE_ACCOUNT, OperatorProcess
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.truth import state_truth
from tokenfactory.sandbox.workload import Odometer, Workload

USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{SERVICE_ACCOUNT}"
SHARES = ("serving", "idle", "loading")


def small_plan(name: str, *, replicas: int = 1, output: float = 100.0) -> PoolPlan:
    """A pool whose replicas each hold one H200; `output` tokens a second come with three times the input."""
    return PoolPlan(
        name=name,
        product="NVIDIA-H200",
        gpus_per_pod=1,
        replicas=replicas,
        per_gpu_hour=Decimal("1.41"),
        watts_per_gpu=500.0,
        args=("--model", f"example/{name}"),
        workload=Workload(
            model=name, uncached_input=3 * output, output=output, requests=1.0, concurrency=4.0
        ),
    )


def pool_over(plan: PoolPlan, name: str, *, app: str) -> dict[str, Any]:
    """A pool like the plan's under another name, over the pods of `app`."""
    body = replace(plan, name=name).body(window_seconds=30)
    body["spec"]["selector"] = {"matchLabels": {"app": app}}
    return body


def edit(scene: Scene, pool: str, spec: Mapping[str, Any]) -> None:
    """A merge patch of the pool's spec, as `kubectl patch` sends it."""
    patch = yaml.safe_dump({"spec": dict(spec)})
    scene.kubectl("patch", "tfpool", pool, "-n", NAMESPACE, "--type=merge", "-p", patch)


def generation(scene: Scene, pool: str) -> int:
    return int(scene.cluster.pool(NAMESPACE, pool)["metadata"]["generation"])


def figure(operator: OperatorProcess, name: str, pool: str, **labels: str) -> float | None:
    """One series of a pool on the operator's /metrics; None while it is absent."""
    return read_series(operator.get("/metrics")[1], f"tokenfactory_pool_{name}", **labels).get(pool)


def seconds_accounted(operator: OperatorProcess, pool: str) -> float:
    """Seconds for which the pool's GPUs are accounted on /metrics: the clock of these tests.

    Counts the GPUs held now, so it is a time only while their number stays.
    """
    page = operator.get("/metrics")[1]
    held = read_series(page, "tokenfactory_pool_gpus", kind="held").get(pool, 0.0)
    series = [read_series(page, "tokenfactory_pool_gpu_seconds_total", share=share) for share in SHARES]
    return sum(one.get(pool, 0.0) for one in series) / held if held else 0.0


def per_gpu(operator: OperatorProcess, pool: str) -> float | None:
    return figure(operator, "tokens_per_second_per_gpu", pool)


def is_near(value: object, true: float, *, tolerance: float = 0.01) -> bool:
    """Whether a number, or the text of one, is there and within the relative tolerance."""
    if not isinstance(value, str | float):
        return False
    return abs(float(value) - true) <= tolerance * abs(true)


def tells_truth(operator: OperatorProcess, plan: PoolPlan) -> bool:
    """Whether /metrics has the plan's true throughput and the true cost of a million tokens."""
    truth = state_truth(plan)
    cost = figure(operator, "cost_per_million_tokens", plan.name, basis="total")
    return is_near(per_gpu(operator, plan.name), truth.tokens_per_second_per_gpu) and is_near(
        cost, truth.dollars_per_million or 0.0
    )


def add_replica(scene: Scene, plan: PoolPlan, index: int) -> Engine:
    """A new pod on a new node, started just now with counters at zero."""
    now = time.time()
    engine = scene.fleet.place(plan, index)
    engine.pod = replace(engine.pod, started_at=now)
    engine.odometer = Odometer(plan.workload, started_at=now)
    node = next(node for node in scene.fleet.nodes if node.name == engine.pod.node)
    scene.fleet.serve_engine(scene.site, engine.pod.name)
    scene.fleet.serve_exporter(scene.site, node)
    scene.cluster.add_node(node)
    scene.cluster.add_pod(engine.pod)
    return engine


def remove_replica(scene: Scene, pod: str) -> None:
    """The pod is deleted and its page is gone; its node stays."""
    engine = scene.fleet.engines.pop(pod)
    scene.site.remove(engine.pod.ip, engine.pod.port)
    scene.cluster.remove_pod(NAMESPACE, pod)


def replace_replica(scene: Scene, pod: str) -> str:
    """Another pod under the same name, with counters at zero, as of a StatefulSet. Returns its UID."""
    engine = scene.fleet.engines[pod]
    scene.cluster.remove_pod(NAMESPACE, pod)
    _begin_anew(engine)
    return scene.cluster.add_pod(engine.pod)


def restart_replica(scene: Scene, pod: str) -> None:
    """The same pod, its container started anew with counters at zero."""
    engine = scene.fleet.engines[pod]
    _begin_anew(engine)
    engine.pod = replace(engine.pod, restarts=engine.pod.restarts + 1)
    scene.cluster.report(engine.pod)


def _begin_anew(engine: Engine) -> None:
    now = time.time()
    engine.odometer = Odometer(engine.plan.workload, started_at=now)
    engine.pod = replace(engine.pod, started_at=now)


def writes(scene: Scene) -> tuple[AuditEvent, ...]:
    """What the operator wrote, refused writes included. Its own Lease and memory, and reviews, apart."""
    return tuple(
        event
        for event in scene.plane.audit_events()
        if event.user == USER
        and event.verb not in ("get", "list", "watch")
        and event.resource not in ("", "leases", "configmaps")
    )


def writes_of(scene: Scene, pool: str) -> int:
    """How often the pool's own status was written."""
    return sum(event.resource == "inferencepools" and event.name == pool for event in writes(scene))


def take_right_away(scene: Scene, resource: str) -> None:
    """The rule of the operator's ClusterRole on this resource is gone, as on a cluster that refuses it."""
    role = json.loads(scene.kubectl("get", "clusterrole", SERVICE_ACCOUNT, "-o", "json"))
    role["rules"] = [rule for rule in role["rules"] if resource not in rule["resources"]]
    assert scene.plane.kubectl("replace", "-f", "-", input=json.dumps(role)).returncode == 0


def refusals(scene: Scene, resource: str) -> list[str]:
    """The names of the objects of this resource that were asked for in vain, once for each time."""
    events = (event for event in scene.plane.audit_events() if event.user == USER and event.code == 403)
    return [event.name for event in events if event.resource == resource]


def wait_for_cycles(scene: Scene, operator: OperatorProcess, pool: str, count: int) -> None:
    """Until the pool's numbers were taken `count` more times."""

    def seen() -> float:
        return figure(operator, "last_observation_timestamp_seconds", pool) or 0.0

    for _ in range(count):
        last = scene.wait_for("a first cycle", seen)
        scene.wait_for("another cycle", lambda: seen() > last, seconds=30)  # noqa: B023
