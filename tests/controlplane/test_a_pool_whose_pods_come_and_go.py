"""Pods added, removed, replaced and restarted, and pages that die: all at one moment, a pool for each.

The windows are full before, and every sample of the operator's /metrics is kept from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from tests.support.scenes import (
    SHARES,
    add_replica,
    is_near,
    remove_replica,
    replace_replica,
    restart_replica,
    seconds_accounted,
    small_plan,
    tells_truth,
)
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.fleet import NAMESPACE, PoolPlan
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.truth import state_truth

pytestmark = pytest.mark.controlplane

GROWS, SHRINKS = small_plan("grows"), small_plan("shrinks", replicas=2)
REPLACED, RESTARTED = small_plan("replaced"), small_plan("restarted")
DEAF, DARK = small_plan("dead-engine", replicas=8), small_plan("dead-exporter", replicas=8)
STEADY = small_plan("steady")
PLANS = (GROWS, SHRINKS, REPLACED, RESTARTED, DEAF, DARK, STEADY)
GROWN, SHRUNK = replace(GROWS, replicas=2), replace(SHRINKS, replicas=1)
MOVED = (GROWN, SHRUNK, REPLACED, RESTARTED)
TYPES = ("uncached_input", "cached_input", "output")
WINDOW_AND_TWO_CYCLES = 42.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at /metrics: by pool, tokens/s/GPU, and all tokens and GPU-seconds counted so far."""

    per_gpu: dict[str, float]
    tokens: dict[str, float]
    seconds: dict[str, float]


@dataclass(slots=True)
class Story:
    """What happened. `uids`: of the replaced pod, before and after. `samples`: from the moment on."""

    scene: Scene
    operator: OperatorProcess
    uids: tuple[str, str] = ("", "")
    samples: list[Sample] = field(default_factory=list)


def look(operator: OperatorProcess) -> Sample:
    page = operator.get("/metrics")[1]
    return Sample(
        per_gpu=dict(read_series(page, "tokenfactory_pool_tokens_per_second_per_gpu")),
        tokens=_sum(page, "tokenfactory_pool_tokens_total", "type", TYPES),
        seconds=_sum(page, "tokenfactory_pool_gpu_seconds_total", "share", SHARES),
    )


def _sum(page: str, name: str, label: str, values: tuple[str, ...]) -> dict[str, float]:
    series = [read_series(page, name, **{label: value}) for value in values]
    return {pool: sum(one.get(pool, 0.0) for one in series) for pool in series[0]}


def pod_uid(scene: Scene, pod: str) -> str:
    return scene.kubectl("get", "pod", pod, "-n", NAMESPACE, "-o", "jsonpath={.metadata.uid}")


@pytest.fixture(scope="module")
def story(assets: Assets) -> Iterator[Story]:
    with Scene(assets, PLANS) as scene:
        told = Story(scene, scene.start_operator())
        scene.wait_for(
            "full windows", lambda: all(scene.status(plan.name).get("throughput") for plan in PLANS)
        )
        add_replica(scene, GROWS, 1)
        remove_replica(scene, "shrinks-1")
        told.uids = (pod_uid(scene, "replaced-0"), replace_replica(scene, "replaced-0"))
        restart_replica(scene, "restarted-0")
        deaf = scene.fleet.engines["dead-engine-3"].pod
        scene.site.stations[deaf.ip, deaf.port].failing = True
        dark = next(node for node in scene.fleet.nodes if node.name == "dead-exporter-node-3")
        scene.site.remove(dark.exporter_ip, dark.exporter_port)
        _watch(told)
        yield told


def _watch(story: Story) -> None:
    """Keeps samples until a window and two cycles are accounted for on the steady pool."""
    begun = seconds_accounted(story.operator, STEADY.name)

    def passed() -> bool:
        story.samples.append(look(story.operator))
        return seconds_accounted(story.operator, STEADY.name) >= begun + WINDOW_AND_TWO_CYCLES

    story.scene.wait_for("a window after the change", passed, seconds=120)


@pytest.mark.parametrize("plan", MOVED, ids=lambda plan: plan.name)
def test_the_truth_is_told_again_after_a_window(story: Story, plan: PoolPlan) -> None:
    assert tells_truth(story.operator, plan)


@pytest.mark.parametrize(
    ("plan", "least"),
    [
        pytest.param(GROWS, 0.9, id="an added pod counts from its own start"),
        pytest.param(SHRINKS, 0.9, id="a removed pod's tokens stay until they leave the window"),
        pytest.param(REPLACED, 0.9, id="a replaced pod is two pods"),
        pytest.param(RESTARTED, 0.7, id="a restarted pod loses what came after its last scrape"),
    ],
)
def test_on_the_way_the_rate_is_never_more_than_true_and_never_a_hole(
    story: Story, plan: PoolPlan, least: float
) -> None:
    true = state_truth(plan).tokens_per_second_per_gpu
    seen = [sample.per_gpu.get(plan.name, 0.0) / true for sample in story.samples]
    assert len(set(seen)) > 3, "several cycles were seen"
    assert least <= min(seen)
    assert max(seen) <= 1.01


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_the_counters_of_tokens_and_gpu_time_only_grow_and_never_faster_than_the_fleet(
    story: Story, plan: PoolPlan
) -> None:
    tokens = [sample.tokens[plan.name] for sample in story.samples]
    seconds = [sample.seconds[plan.name] for sample in story.samples]
    assert tokens == sorted(tokens)
    assert seconds == sorted(seconds)
    made, held = tokens[-1] - tokens[0], seconds[-1] - seconds[0]
    assert 0 < made <= 1.01 * plan.workload.total * held


def test_an_added_pod_doubles_what_is_held_and_paid(story: Story) -> None:
    status = _status_with(story, GROWN)
    assert status["serving"]["coverage"] == "2/2"
    assert is_near(status["cost"]["perHour"], 2 * 1.41)
    assert is_near(status["throughput"]["tokensPerSecond"], 2 * GROWS.workload.total, tolerance=0.026)


def test_a_removed_pod_halves_what_is_held_and_paid(story: Story) -> None:
    status = _status_with(story, SHRUNK)
    assert status["serving"]["coverage"] == "1/1"
    assert is_near(status["cost"]["perHour"], 1.41)
    assert is_near(status["throughput"]["tokensPerSecond"], SHRINKS.workload.total, tolerance=0.026)


def _status_with(story: Story, plan: PoolPlan) -> dict[str, dict[str, str]]:
    """The first status with the plan's GPUs: numbers are written once a minute at most."""
    scene = story.scene
    scene.wait_for(
        f"{plan.gpus} GPUs of {plan.name}",
        lambda: scene.status(plan.name)["gpus"]["held"] == str(plan.gpus),
        seconds=90,
    )
    return scene.status(plan.name)


def test_a_replaced_pod_is_another_one_under_the_same_name(story: Story) -> None:
    before, after = story.uids
    assert before != after
    assert pod_uid(story.scene, "replaced-0") == after
    assert story.scene.condition("replaced", "TelemetryHealthy")["status"] == "True"
    assert story.scene.status("replaced")["serving"]["coverage"] == "1/1"


def test_a_restarted_pods_counters_were_reset_and_its_telemetry_is_healthy(story: Story) -> None:
    assert story.scene.condition("restarted", "TelemetryHealthy")["status"] == "True"
    assert story.scene.status("restarted")["serving"]["coverage"] == "1/1"


def test_a_dead_engine_page_among_eight_lowers_the_coverage_and_is_named(story: Story) -> None:
    condition = story.scene.condition("dead-engine", "TelemetryHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "ScrapeFailed")
    assert "7 of 8 replicas scraped" in condition["message"]
    assert "dead-engine-3: " in condition["message"]
    assert story.scene.status("dead-engine")["serving"]["coverage"] == "7/8"
    assert story.scene.condition("dead-engine", "Ready")["status"] == "True"


def test_a_dead_exporter_among_eight_lowers_the_coverage_and_is_named(story: Story) -> None:
    condition = story.scene.condition("dead-exporter", "TelemetryHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "ScrapeFailed")
    assert "7 of 8 GPUs are seen by DCGM" in condition["message"]
    assert "node dead-exporter-node-3: " in condition["message"]
    coverage = read_series(story.operator.get("/metrics")[1], "tokenfactory_pool_energy_coverage_ratio")
    assert coverage["dead-exporter"] == pytest.approx(7 / 8)
    assert coverage["steady"] == 1.0


@pytest.mark.parametrize("plan", [DEAF, DARK], ids=lambda plan: plan.name)
def test_the_other_numbers_of_a_pool_with_a_dead_page_stay(story: Story, plan: PoolPlan) -> None:
    status, truth = story.scene.status(plan.name), state_truth(plan)
    assert tells_truth(story.operator, plan)
    assert is_near(status["cost"]["perMillionTokens"], truth.dollars_per_million or 0.0)
    assert is_near(status["cost"]["perHour"], truth.dollars_per_hour)
    assert is_near(status["throughput"]["tokensPerSecondPerGPU"], truth.tokens_per_second_per_gpu)
    assert is_near(status["throughput"]["tokensPerSecond"], plan.workload.total * 8)
    assert status["gpus"]["held"] == "8"


def test_telemetry_is_healthy_again_when_the_pages_are_back(story: Story) -> None:
    scene = story.scene
    deaf = scene.fleet.engines["dead-engine-3"].pod
    scene.site.stations[deaf.ip, deaf.port].failing = False
    dark = next(node for node in scene.fleet.nodes if node.name == "dead-exporter-node-3")
    scene.fleet.serve_exporter(scene.site, dark)
    for plan in (DEAF, DARK):
        scene.wait_for("TelemetryHealthy=True", partial(_is_healthy, scene, plan))
        assert scene.status(plan.name)["serving"]["coverage"] == "8/8"


def _is_healthy(scene: Scene, plan: PoolPlan) -> bool:
    return bool(scene.condition(plan.name, "TelemetryHealthy").get("status") == "True")
