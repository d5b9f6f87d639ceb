"""The pool's own level survives a kill and a restart of the operator, in ConfigMaps that only it writes.

The tests share one scene and run in order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.support.scenes import USER, figure
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit, AuditEvent
from tokenfactory.sandbox.fleet import H200
from tokenfactory.sandbox.operator_process import OPERATOR_NAMESPACE, OperatorProcess
from tokenfactory.sandbox.scene import Scene

pytestmark = pytest.mark.controlplane

POOL = H200.name
SELECTOR = "-l=app.kubernetes.io/component=memory"
TO_FILL_A_WINDOW = 60.0
TO_LEARN = 240.0
NEW_TO_LEARN = 90.0


@pytest.fixture(scope="module")
def scene(assets: Assets) -> Iterator[Scene]:
    with Scene(assets, (H200,), audit=Audit.METADATA) as running:
        yield running


@pytest.fixture(scope="module")
def operator(scene: Scene) -> OperatorProcess:
    """An operator that learned the pool's level."""
    running = scene.start_operator()
    scene.wait_for("the level is learned", lambda: says(running, "Healthy"), seconds=TO_LEARN)
    return running


def says(operator: OperatorProcess, state: str) -> bool:
    return figure(operator, "denominator_state", POOL, state=state) == 1.0


def memory_writes(scene: Scene) -> tuple[AuditEvent, ...]:
    return tuple(
        event
        for event in scene.plane.audit_events()
        if event.user == USER and event.resource == "configmaps" and event.verb in ("create", "update")
    )


def events(scene: Scene) -> str:
    return scene.kubectl("get", "events", "-A", "-o", "name")


def test_it_is_kept_in_one_config_map_of_the_operators_namespace_and_written_once(
    scene: Scene, operator: OperatorProcess
) -> None:
    scene.wait_for("the ConfigMap", lambda: memory_writes(scene), seconds=30)
    assert [(event.verb, event.code) for event in memory_writes(scene)] == [("create", 201)]
    kept = json.loads(scene.kubectl("get", "configmaps", "-n", OPERATOR_NAMESPACE, SELECTOR, "-o", "json"))
    (item,) = kept["items"]
    uid = scene.kubectl("get", "tfpool", "-n", "serving", POOL, "-o", "jsonpath={.metadata.uid}")
    assert list(item["data"]) == [uid]
    assert len(item["data"][uid]) < 16_000


def test_a_killed_operator_knows_the_level_again_when_its_first_window_is_full(
    scene: Scene, operator: OperatorProcess
) -> None:
    before = events(scene)
    operator.kill()
    operator.start()
    scene.wait_for("Healthy again", lambda: says(operator, "Healthy"), seconds=TO_FILL_A_WINDOW)
    assert scene.condition(POOL, "DenominatorHealthy")["reason"] == "Healthy"
    assert events(scene) == before, "a restart is no news of the pool"
    assert len(memory_writes(scene)) == 1


def learn_and_stop(scene: Scene, operator: OperatorProcess) -> AuditEvent:
    """What the operator wrote last when it was asked to end."""
    before = len(memory_writes(scene))
    time.sleep(NEW_TO_LEARN)
    assert operator.stop() == 0
    scene.wait_for("its line in the audit log", lambda: memory_writes(scene)[before:], seconds=5)
    (event,) = memory_writes(scene)[before:]
    return event


def test_a_polite_stop_keeps_what_was_learned_since(scene: Scene, operator: OperatorProcess) -> None:
    """It has three seconds for that. If the API server was slower the log says so, and it is asked again."""
    event = learn_and_stop(scene, operator)
    if event.code != 200:
        assert "the API server is slow" in operator.log.read_text()
        operator.start()
        scene.wait_for("Healthy again", lambda: says(operator, "Healthy"), seconds=TO_FILL_A_WINDOW)
        event = learn_and_stop(scene, operator)
    assert (event.verb, event.code) == ("update", 200)


def test_a_corrupt_memory_is_a_lost_level_and_no_alarm(scene: Scene, operator: OperatorProcess) -> None:
    (name,) = {event.name for event in memory_writes(scene) if event.verb == "update"}
    uid = scene.kubectl("get", "tfpool", "-n", "serving", POOL, "-o", "jsonpath={.metadata.uid}")
    damage = json.dumps({"data": {uid: "not ours"}})
    scene.kubectl("patch", "configmap", name, "-n", OPERATOR_NAMESPACE, "--type=merge", "-p", damage)
    before = events(scene)
    operator.start()
    scene.wait_for("WarmingUp", lambda: says(operator, "WarmingUp"), seconds=TO_FILL_A_WINDOW)
    scene.wait_for(
        "WarmingUp on the API server",
        lambda: scene.condition(POOL, "DenominatorHealthy")["reason"] == "WarmingUp",
        seconds=TO_FILL_A_WINDOW,
    )
    assert events(scene) == before
