"""The life of a pool's spec: applied, edited, suspended, resumed, deleted. The tests run in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.scenes import (
    edit,
    figure,
    generation,
    is_near,
    per_gpu,
    seconds_accounted,
    small_plan,
    tells_truth,
    writes,
)
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit
from tokenfactory.sandbox.fleet import B200, NAMESPACE, PoolPlan
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.truth import state_truth

pytestmark = pytest.mark.controlplane

PAUSED, DELETED = small_plan("paused"), small_plan("deleted")
PLANS = (B200, PAUSED, DELETED)
SOON = 20.0


@pytest.fixture(scope="module")
def scene(assets: Assets) -> Iterator[Scene]:
    with Scene(assets, PLANS, audit=Audit.METADATA) as running:
        yield running


@pytest.fixture(scope="module")
def operator(scene: Scene) -> OperatorProcess:
    return scene.start_operator()


def reason(scene: Scene, pool: str, kind: str) -> tuple[str, str]:
    condition = scene.condition(pool, kind)
    return condition.get("status", ""), condition.get("reason", "")


def wait_for_edit(scene: Scene, pool: str) -> dict[str, Any]:
    """The first status of the spec as it is now."""
    wanted = generation(scene, pool)
    scene.wait_for(
        f"generation {wanted} of {pool}",
        lambda: scene.status(pool).get("observedGeneration") == wanted,
        seconds=SOON,
    )
    return scene.status(pool)


def test_an_applied_pool_is_ready_at_once_and_shows_what_holds_at_an_instant(
    scene: Scene, operator: OperatorProcess
) -> None:
    assert operator.get("/healthz")[0] == 200
    scene.wait_for("Ready", lambda: scene.condition(B200.name, "Ready").get("status") == "True")
    status = scene.status(B200.name)
    assert status["observedGeneration"] == 1
    assert status["gpus"]["held"] == "24"
    assert status["cost"] == {
        "currency": "USD",
        "perGPUHour": "1.95",
        "perHour": "46.8",
        "priceAsOf": "2026-11-01",
        "priceSource": "Factory",
    }
    assert "throughput" not in status, "a window that is not full has no number"
    assert "windowSeconds" not in status


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_its_numbers_are_true_when_the_window_fills(
    scene: Scene, operator: OperatorProcess, plan: PoolPlan
) -> None:
    scene.wait_for("numbers", lambda: scene.status(plan.name).get("throughput"))
    status, truth = scene.status(plan.name), state_truth(plan)
    assert is_near(status["throughput"]["tokensPerSecondPerGPU"], truth.tokens_per_second_per_gpu)
    assert is_near(status["throughput"]["tokensPerSecond"], plan.workload.total * plan.replicas)
    assert is_near(status["cost"]["perMillionTokens"], truth.dollars_per_million or 0.0)
    assert is_near(status["cost"]["perHour"], truth.dollars_per_hour)
    assert is_near(status["energy"]["measured"]["watts"], truth.watts)
    assert status["serving"]["coverage"] == f"{plan.replicas}/{plan.replicas}"
    assert reason(scene, plan.name, "TelemetryHealthy") == ("True", "AllFresh")
    assert tells_truth(operator, plan)


def test_suspending_removes_the_numbers_and_the_series_and_stops_the_scrapes(
    scene: Scene, operator: OperatorProcess
) -> None:
    edit(scene, PAUSED.name, {"suspend": True})
    status = wait_for_edit(scene, PAUSED.name)
    assert not {"throughput", "cost", "gpus", "energy", "latency", "windowSeconds"} & status.keys()
    assert reason(scene, PAUSED.name, "Ready") == ("True", "StatusPublished")
    for kind in ("TelemetryHealthy", "OptimizationsActive", "DenominatorHealthy"):
        assert reason(scene, PAUSED.name, kind) == ("Unknown", "Suspended")
    assert reason(scene, PAUSED.name, "PriceKnown") == ("True", "Factory")
    assert per_gpu(operator, PAUSED.name) is None
    assert figure(operator, "cost_per_hour", PAUSED.name) is None
    pod = scene.fleet.engines[f"{PAUSED.name}-0"].pod
    asked, others = scene.site.stations[pod.ip, pod.port], seconds_accounted(operator, B200.name)
    before = asked.requests
    scene.wait_for(
        "two cycles of another pool", lambda: seconds_accounted(operator, B200.name) >= others + 12
    )
    assert asked.requests == before


def test_resuming_brings_ready_at_once_and_no_number_of_the_time_before(
    scene: Scene, operator: OperatorProcess
) -> None:
    edit(scene, PAUSED.name, {"suspend": False})
    status = wait_for_edit(scene, PAUSED.name)
    assert reason(scene, PAUSED.name, "TelemetryHealthy") == ("True", "AllFresh")
    assert status["gpus"]["held"] == "1"
    assert "throughput" not in status
    assert operator.get("/healthz")[0] == 200


def test_an_edited_price_is_seen_within_seconds_and_the_window_stays(
    scene: Scene, operator: OperatorProcess
) -> None:
    edit(scene, B200.name, {"price": {"perGPUHour": "3.90"}})
    cost = wait_for_edit(scene, B200.name)["cost"]
    assert (cost["perGPUHour"], cost["perHour"], cost["priceSource"]) == ("3.9", "93.6", "Pool")
    assert is_near(cost["perMillionTokens"], 2 * (state_truth(B200).dollars_per_million or 0.0))
    assert reason(scene, B200.name, "PriceKnown") == ("True", "Pool")
    per_million = figure(operator, "cost_per_million_tokens", B200.name, basis="total")
    assert is_near(per_million, 2 * (state_truth(B200).dollars_per_million or 0.0))


def test_a_price_taken_back_gives_the_factorys_again(scene: Scene, operator: OperatorProcess) -> None:
    edit(scene, B200.name, {"price": None})
    cost = wait_for_edit(scene, B200.name)["cost"]
    assert (cost["perGPUHour"], cost["priceSource"]) == ("1.95", "Factory")
    assert tells_truth(operator, B200)


def test_a_newly_required_optimization_that_is_off_is_named(scene: Scene, operator: OperatorProcess) -> None:
    assert operator.get("/readyz")[0] == 200
    assert reason(scene, B200.name, "OptimizationsActive") == ("True", "AllRequiredActive")
    rows = [
        {"name": "SpeculativeDecoding", "policy": "Required"},
        {"name": "KVCacheOffloading", "policy": "Required"},
    ]
    edit(scene, B200.name, {"optimizations": rows})
    status = wait_for_edit(scene, B200.name)
    condition = scene.condition(B200.name, "OptimizationsActive")
    assert condition["status"] == "False"
    assert "KVCacheOffloading" in condition["message"]
    assert condition["observedGeneration"] == generation(scene, B200.name)
    states = {row["name"]: (row["policy"], row["state"]) for row in status["optimizations"]}
    assert states["SpeculativeDecoding"] == ("Required", "Active")
    assert states["KVCacheOffloading"] == ("Required", "Missing")


def test_objectives_are_judged_when_given_and_forgotten_when_taken_back(
    scene: Scene, operator: OperatorProcess
) -> None:
    assert scene.condition(B200.name, "ObjectivesMet") == {}
    edit(scene, B200.name, {"objectives": {"minTokensPerSecondPerGPU": "2500"}})
    wait_for_edit(scene, B200.name)
    assert scene.condition(B200.name, "ObjectivesMet")["status"] == "True"
    edit(scene, B200.name, {"objectives": {"minTokensPerSecondPerGPU": "2600"}})
    wait_for_edit(scene, B200.name)
    assert scene.condition(B200.name, "ObjectivesMet")["status"] == "False"
    assert figure(operator, "objective_met", B200.name, objective="tokens_per_second_per_gpu") == 0.0
    edit(scene, B200.name, {"objectives": None})
    wait_for_edit(scene, B200.name)
    assert scene.condition(B200.name, "ObjectivesMet") == {}


def test_a_resumed_pool_has_true_numbers_again_when_its_window_is_full(
    scene: Scene, operator: OperatorProcess
) -> None:
    scene.wait_for("numbers", lambda: scene.status(PAUSED.name).get("throughput"))
    assert tells_truth(operator, PAUSED)
    assert scene.status(PAUSED.name)["observedGeneration"] == 3


def test_a_deleted_pool_is_gone_at_once_and_so_are_its_series(
    scene: Scene, operator: OperatorProcess
) -> None:
    own = f'pool="{DELETED.name}"'
    assert own in operator.get("/metrics")[1]
    assert "finalizers" not in scene.cluster.pool(NAMESPACE, DELETED.name)["metadata"]
    scene.kubectl("delete", "tfpool", DELETED.name, "-n", NAMESPACE, "--timeout=10s")
    scene.wait_for("no series of it", lambda: own not in operator.get("/metrics")[1], seconds=SOON)
    assert per_gpu(operator, B200.name) is not None


def test_a_pool_of_the_same_name_begins_anew(scene: Scene, operator: OperatorProcess) -> None:
    scene.cluster.apply(DELETED.body(window_seconds=30))
    scene.wait_for("Ready", lambda: scene.condition(DELETED.name, "Ready").get("status") == "True")
    assert "throughput" not in scene.status(DELETED.name)
    assert seconds_accounted(operator, DELETED.name) < 24


def test_delete_works_while_the_operator_is_down(scene: Scene, operator: OperatorProcess) -> None:
    assert operator.stop() == 0
    scene.kubectl("delete", "tfpool", PAUSED.name, "-n", NAMESPACE, "--timeout=10s")
    assert scene.kubectl("get", "tfpool", PAUSED.name, "-n", NAMESPACE, "--ignore-not-found") == ""
    before = len(writes(scene))
    operator.start()
    operator.wait_ready()
    scene.wait_for("the other pool", lambda: figure(operator, "gpus", B200.name, kind="held") == 24.0)
    assert f'pool="{PAUSED.name}"' not in operator.get("/metrics")[1]
    assert not [event for event in writes(scene)[before:] if event.name == PAUSED.name]
