"""Lost scrapes, a Prometheus that goes and comes back, pods that restart, and pods scraped twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.prometheus.conftest import CountedAsker, Reader, Seen, cycles, objects_of
from tests.support.prometheus import jobs_of
from tests.support.scenes import small_plan
from tokenfactory.measure import value_of
from tokenfactory.model import CostBasis, FailureReason, PoolKey, Truth
from tokenfactory.model.reasons import ConditionType, TelemetryReason
from tokenfactory.sandbox.fleet import NAMESPACE
from tokenfactory.sandbox.objects import render_time
from tokenfactory.sandbox.truth import state_truth
from tokenfactory.sandbox.workload import Odometer
from tokenfactory.telemetry.limits import QueryLimits

PLAN = small_plan("chat", output=1000.0)
TOLERANCE = 0.01


def cost(seen: Seen) -> float:
    value = value_of(seen.economics.cost.per_million[CostBasis.TOTAL])
    assert value is not None
    return float(value)


def telemetry(seen: Seen) -> tuple[Truth, str]:
    (found,) = (c for c in seen.verdict.conditions if c.type == ConditionType.TELEMETRY_HEALTHY)
    return found.status, found.reason


def true_cost() -> float:
    truth = state_truth(PLAN).dollars_per_million
    assert truth is not None
    return truth


async def play(stage: Any, reader: Reader, seconds: float) -> Seen:
    return (await cycles(reader, stage.pools(), seconds))[PLAN.name]


async def test_a_lost_scrape_is_bridged_and_costs_no_token(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    stage = stage_of(PLAN)
    reader = stage.recorded(asker)
    await play(stage, reader, 5)
    pod = next(iter(stage.fleet.engines.values())).pod
    stage.site.stations[pod.ip, pod.port].failing = True
    await play(stage, reader, 1.2)
    stage.site.stations[pod.ip, pod.port].failing = False
    seen = await play(stage, reader, 7)
    assert abs(cost(seen) - true_cost()) / true_cost() <= TOLERANCE
    assert telemetry(seen) == (Truth.TRUE, TelemetryReason.ALL_FRESH)


async def test_a_pod_that_prometheus_can_not_read_is_down_and_not_idle(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    stage = stage_of(PLAN)
    reader = stage.recorded(asker)
    await play(stage, reader, 4)
    pod = next(iter(stage.fleet.engines.values())).pod
    stage.site.stations[pod.ip, pod.port].failing = True
    seen = await play(stage, reader, 6)
    assert (pod.name, FailureReason.DOWN_IN_PROMETHEUS) in seen.economics.failures
    assert telemetry(seen) == (Truth.FALSE, TelemetryReason.SCRAPE_FAILED)
    assert (value_of(seen.economics.cost.idle_share) or 0.0) < 0.01


async def test_a_prometheus_that_is_killed_and_started_again_changes_no_number(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    stage = stage_of(PLAN)
    reader = stage.recorded(asker)
    await play(stage, reader, 5)
    stage.server.kill()
    away = await play(stage, reader, 5)
    assert telemetry(away) == (Truth.FALSE, TelemetryReason.PROMETHEUS_UNAVAILABLE)
    stage.server.start()
    back = await play(stage, reader, 7)
    assert telemetry(back) == (Truth.TRUE, TelemetryReason.ALL_FRESH)
    assert abs(cost(back) - true_cost()) / true_cost() <= TOLERANCE


async def test_a_restarted_container_is_not_given_the_counters_of_the_one_before(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    stage = stage_of(PLAN)
    reader = stage.recorded(asker)
    await play(stage, reader, 5)
    engine = next(iter(stage.fleet.engines.values()))
    now = time.time()
    engine.odometer = Odometer(engine.plan.workload, started_at=now)
    engine.pod = replace(engine.pod, started_at=now, restarts=1)
    stage.tell()
    seen = await play(stage, reader, 8)
    made = value_of(seen.economics.throughput.per_second)
    assert made is not None
    assert made.total <= PLAN.workload.total * (1 + TOLERANCE)
    assert made.total >= PLAN.workload.total * 0.7


async def test_a_replaced_pod_is_not_given_the_counters_of_its_predecessor_while_it_loads(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    """As of a StatefulSet: the same name, another address, and Prometheus still holds the last page."""
    stage = stage_of(PLAN)
    reader = stage.recorded(asker)
    await play(stage, reader, 5)
    engine = next(iter(stage.fleet.engines.values()))
    stage.site.remove(engine.pod.ip, engine.pod.port)
    engine.pod = replace(engine.pod, ip=engine.pod.ip.rsplit(".", 1)[0] + ".200", ready=False)
    body = next(item for item in objects_of(stage.fleet) if item["metadata"]["name"] == engine.pod.name)
    body["metadata"] |= {"uid": "another", "creationTimestamp": render_time(time.time())}
    body["status"]["containerStatuses"][0] |= {"state": {"waiting": {}}, "started": False}
    others = [item for item in objects_of(stage.fleet) if item["metadata"]["name"] != engine.pod.name]
    stage.stock.fill([*others, body])
    seen = await play(stage, reader, 4)
    made = value_of(seen.economics.throughput.per_second)
    assert made is not None
    assert made.total <= PLAN.workload.total * (1 + TOLERANCE)


async def test_a_pod_that_two_jobs_scrape_is_counted_once(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    def twice(fleet: Any) -> list[dict[str, Any]]:
        engines, exporters = jobs_of(fleet)
        return [engines, {**engines, "job_name": "kubernetes-pods"}, exporters]

    stage = stage_of(PLAN, jobs=twice)
    seen = await play(stage, stage.recorded(asker), 13)
    assert abs(cost(seen) - true_cost()) / true_cost() <= TOLERANCE


async def test_labels_of_other_names_are_read_as_the_factory_says(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    def renamed(fleet: Any) -> list[dict[str, Any]]:
        found = jobs_of(fleet)
        for job in found:
            for target in job["static_configs"]:
                labels = target["labels"]
                target["labels"] = {"k8s_ns": labels["namespace"], "k8s_pod": labels["pod"]}
        return found

    stage = stage_of(PLAN, jobs=renamed)
    reader = stage.recorded(asker, namespace_label="k8s_ns", pod_label="k8s_pod")
    seen = await play(stage, reader, 13)
    assert abs(cost(seen) - true_cost()) / true_cost() <= TOLERANCE
    assert value_of(seen.economics.measured.watts) is not None


async def test_an_idle_gpu_is_not_billed_to_the_exporter_that_shows_it(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    stage = stage_of(PLAN)
    stage.fleet.nodes[0] = replace(stage.fleet.nodes[0], gpus=4)
    seen = await play(stage, stage.recorded(asker), 5)
    assert value_of(seen.economics.gpus.held) == 1
    assert value_of(seen.economics.gpus.observed) == 1


async def test_a_namespace_too_large_for_one_answer_is_read_in_slices(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    plans = tuple(small_plan(name, output=1000.0) for name in ("chat", "code", "mail"))
    stage = stage_of(*plans)
    asker._inner._limits = QueryLimits(series=250)
    seen = await cycles(stage.recorded(asker), stage.pools(), 13)
    assert len(set(asker.queries)) > 2
    for plan in plans:
        assert abs(cost(seen[plan.name]) - true_cost()) / true_cost() <= TOLERANCE


async def test_the_queries_do_not_grow_with_the_pools_of_a_namespace(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    plans = tuple(small_plan(f"chat-{letter}") for letter in "abcdefgh")
    stage = stage_of(*plans)
    await asyncio.sleep(2)
    reader = stage.recorded(asker)
    for pool in stage.pools()[:1]:
        await reader.cycle(pool)
    alone = len(asker.queries)
    asker.queries.clear()
    together = stage.recorded(asker)
    await asyncio.gather(*(together.cycle(pool) for pool in stage.pools()))
    assert len(asker.queries) == alone == 2
    assert not any(plan.name in query for query in asker.queries for plan in plans)
    assert set(together.memories) == {PoolKey(NAMESPACE, plan.name) for plan in plans}
