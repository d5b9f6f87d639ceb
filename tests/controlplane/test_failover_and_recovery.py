"""Two replicas, a lost API server, a restart in the middle of a window, CRDs that come late.

The tests of the two replicas share one scene and run in order.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit
from tokenfactory.sandbox.fleet import H200, NAMESPACE
from tokenfactory.sandbox.operator_process import OPERATOR_NAMESPACE, SERVICE_ACCOUNT, OperatorProcess
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.truth import state_truth

pytestmark = pytest.mark.controlplane

POOL = H200.name
TRUTH = state_truth(H200).dollars_per_million or 0.0


@pytest.fixture(scope="module")
def scene(assets: Assets) -> Iterator[Scene]:
    with Scene(assets, (H200,), audit=Audit.METADATA) as running:
        yield running


def leads(operator: OperatorProcess) -> bool:
    return "tokenfactory_leader 1.0" in operator.get("/metrics")[1]


def reading(operator: OperatorProcess) -> float | None:
    page = operator.get("/metrics")[1]
    return read_series(page, "tokenfactory_pool_cost_per_million_tokens", basis="total").get(POOL)


def is_true(value: float | None) -> bool:
    return value is not None and abs(value - TRUTH) / TRUTH < 0.01


def published(scene: Scene) -> dict[str, Any]:
    return scene.status(POOL)


def status_writes(scene: Scene) -> int:
    return sum(
        event.verb == "patch" and event.subresource == "status" and event.resource == "inferencepools"
        for event in scene.plane.audit_events()
        if SERVICE_ACCOUNT in event.user
    )


@pytest.fixture(scope="module")
def replicas(scene: Scene) -> list[OperatorProcess]:
    return [scene.start_operator(), scene.start_operator()]


def test_one_leads_and_both_are_ready(scene: Scene, replicas: list[OperatorProcess]) -> None:
    scene.wait_for("a leader", lambda: any(map(leads, replicas)))
    assert [leads(operator) for operator in replicas].count(True) == 1
    assert [operator.get("/readyz")[0] for operator in replicas] == [200, 200]
    leader = next(filter(leads, replicas))
    standby = next(operator for operator in replicas if operator is not leader)
    scene.wait_for("the published price of a token", lambda: published(scene).get("throughput"))
    assert is_true(float(published(scene)["cost"]["perMillionTokens"]))
    assert reading(standby) is None, "a standby publishes no pool"


def test_a_killed_leader_is_followed_and_the_published_numbers_stay(
    scene: Scene, replicas: list[OperatorProcess]
) -> None:
    before, writes = published(scene), status_writes(scene)
    leader = next(filter(leads, replicas))
    replicas.remove(leader)
    leader.kill()
    scene.wait_for("the standby leads", lambda: leads(replicas[0]), seconds=40)
    scene.wait_for("a full window of the new leader", lambda: is_true(reading(replicas[0])))
    time.sleep(scene.window_seconds)
    after = published(scene)
    assert after["cost"] == before["cost"]
    assert status_writes(scene) == writes, "a failover alone writes nothing"


def test_a_stopped_leader_hands_over_at_once_and_exits_cleanly(
    scene: Scene, replicas: list[OperatorProcess]
) -> None:
    replicas.append(scene.start_operator())
    leader, standby = replicas
    assert leader.stop() == 0
    lease = scene.kubectl(
        "get",
        "lease",
        "-n",
        OPERATOR_NAMESPACE,
        "tokenfactory-operator",
        "-o",
        "jsonpath={.spec.leaseDurationSeconds}",
    )
    assert lease in {"1", "15"}, "released, or taken by the standby already"
    scene.wait_for(
        "the standby leads before the old lease could have expired", lambda: leads(standby), seconds=12
    )
    replicas.remove(leader)


def test_a_lost_api_server_is_survived(scene: Scene, replicas: list[OperatorProcess]) -> None:
    (operator,) = replicas
    scene.plane.stop_api_server()
    scene.wait_for("the leader gives up its lease", lambda: not leads(operator), seconds=40)
    assert operator.process is not None
    assert operator.process.poll() is None
    scene.plane.start_api_server()
    scene.wait_for("it leads again", lambda: leads(operator), seconds=60)
    scene.wait_for("the truth again", lambda: is_true(reading(operator)), seconds=60)
    scene.kubectl(
        "patch",
        "tfpool",
        "-n",
        NAMESPACE,
        POOL,
        "--type=merge",
        "-p",
        '{"spec":{"price":{"perGPUHour":"2.82"}}}',
    )
    scene.wait_for(
        "an edit made after the loss",
        lambda: published(scene).get("cost", {}).get("perGPUHour") == "2.82",
        seconds=90,
    )


def test_a_pool_deleted_while_the_api_server_was_away_is_forgotten(
    scene: Scene, replicas: list[OperatorProcess]
) -> None:
    (operator,) = replicas
    body = H200.body(window_seconds=30)
    body["metadata"]["name"] = "short-lived"
    scene.cluster.apply(body)
    seen = 'pool="short-lived"'
    scene.wait_for("the new pool's series", lambda: seen in operator.get("/metrics")[1])
    operator.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
    scene.kubectl("delete", "tfpool", "-n", NAMESPACE, "short-lived", "--wait=false")
    scene.plane.stop_api_server()
    scene.plane.start_api_server()
    operator.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
    scene.wait_for("no series of it", lambda: seen not in operator.get("/metrics")[1], seconds=90)
    scene.wait_for("the other pool is tended", lambda: reading(operator) is not None, seconds=90)


def test_an_operator_restarted_in_the_middle_of_a_window_publishes_the_truth(assets: Assets) -> None:
    with Scene(assets, (H200,), audit=Audit.METADATA) as scene:
        first = scene.start_operator()
        scene.wait_for("the first numbers", lambda: published(scene).get("throughput"))
        before = published(scene)
        assert first.stop() == 0
        second = scene.start_operator()
        scene.wait_for("the second one leads", lambda: leads(second))
        assert published(scene) == before, "the published status outlives the restart"
        scene.wait_for("the truth of the second one", lambda: is_true(reading(second)))
        assert published(scene)["cost"]["perMillionTokens"] == before["cost"]["perMillionTokens"]


def test_an_operator_that_starts_before_its_crds_waits_for_them(assets: Assets) -> None:
    with Scene(assets, (H200,)) as scene:
        scene.kubectl("delete", "crd", "inferencepools.tokenfactory.dev", "tokenfactories.tokenfactory.dev")
        kubeconfig = scene.plane.issue_kubeconfig(
            namespace=OPERATOR_NAMESPACE, service_account=SERVICE_ACCOUNT
        )
        log = scene.plane.folder / "early.log"
        with OperatorProcess(kubeconfig, log=log, guardian=scene.plane.guardian) as operator:
            scene.wait_for("the log line", lambda: "waiting for the CRDs" in log.read_text())
            assert operator.get("/readyz")[0] == 503
            assert operator.get("/healthz")[0] == 200
            scene.kubectl(
                "apply",
                "-f",
                "crds/tokenfactory.dev_inferencepools.yaml",
                "-f",
                "crds/tokenfactory.dev_tokenfactories.yaml",
            )
            operator.wait_ready()
            scene.kubectl("wait", "--for=condition=Established", "crd/inferencepools.tokenfactory.dev")
            scene.cluster.apply(H200.body(window_seconds=30))
            scene.wait_for("a status", lambda: published(scene).get("conditions"))
            assert log.read_text().count("waiting for the CRDs") == 1
            scene.kubectl(
                "delete", "crd", "inferencepools.tokenfactory.dev", "tokenfactories.tokenfactory.dev"
            )
            operator.process.wait(400)  # type: ignore[union-attr]
