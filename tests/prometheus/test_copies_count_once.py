"""Pages that reach the operator more than once, and labels that a scrape renamed, are counted once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.prometheus.conftest import CountedAsker, Seen, cycles, objects_of
from tests.support.prometheus import PrometheusServer, jobs_of, scrape_job
from tests.support.scenes import small_plan
from tokenfactory.agent.page import render
from tokenfactory.agent.snapshot import Board, Holder, Node, Place
from tokenfactory.measure import value_of
from tokenfactory.model import CostBasis, Truth
from tokenfactory.model.reasons import ConditionType
from tokenfactory.sandbox.fleet import ReplayedFleet
from tokenfactory.sandbox.truth import state_truth

PLAN = small_plan("chat", output=1000.0)
TOLERANCE = 0.01
REPLICAS = ("a", "b")


def is_true(seen: Seen) -> bool:
    """Whether money, tokens, watts and GPUs are the plan's own."""
    truth, economics = state_truth(PLAN), seen.economics
    pairs = (
        (economics.cost.per_million[CostBasis.TOTAL], truth.dollars_per_million),
        (economics.throughput.per_gpu, truth.tokens_per_second_per_gpu),
        (economics.measured.watts, truth.watts),
        (economics.gpus.observed, float(PLAN.gpus)),
    )
    values = [(float(value_of(measure) or 0), true or 0.0) for measure, true in pairs]
    return all(abs(value - true) <= TOLERANCE * true for value, true in values)


def is_healthy(seen: Seen) -> bool:
    (found,) = (c for c in seen.verdict.conditions if c.type == ConditionType.TELEMETRY_HEALTHY)
    return found.status is Truth.TRUE


@pytest.fixture
def pair_of(tmp_path: Path) -> Iterator[Callable[..., list[PrometheusServer]]]:
    """Starts two replicas of a Prometheus, told apart by a label as its operator does."""
    with ExitStack() as stack:

        def start(fleet: ReplayedFleet, **settings: Any) -> list[PrometheusServer]:
            servers = []
            for name in REPLICAS:
                folder = tmp_path / name
                folder.mkdir()
                labels = {"prometheus": "monitoring/k8s", "prometheus_replica": f"prometheus-k8s-{name}"}
                server = PrometheusServer(
                    folder, jobs_of(fleet), **{"global": {"external_labels": labels}}, **settings
                )
                servers.append(stack.enter_context(server))
            return servers

        yield start


async def test_a_store_that_two_replicas_write_to_holds_every_token_once(
    stage_of: Callable[..., Any], asker: CountedAsker, pair_of: Callable[..., list[PrometheusServer]]
) -> None:
    """Nothing is taken out of it, as of a Thanos or Mimir that does not know the replica label."""
    stage = stage_of(PLAN, jobs=lambda fleet: [])
    target = {"url": stage.server.writing_url, "queue_config": {"batch_send_deadline": "200ms"}}
    first, _ = pair_of(stage.fleet, remote_write=[target])
    reader = stage.recorded(asker)
    seen = (await cycles(reader, stage.pools(), 14))[PLAN.name]
    assert is_true(seen)
    assert is_healthy(seen)
    first.kill()
    seen = (await cycles(reader, stage.pools(), 6))[PLAN.name]
    assert is_true(seen), "one replica alone is enough"
    assert is_healthy(seen)


async def test_a_federation_of_two_replicas_holds_every_token_once(
    stage_of: Callable[..., Any], asker: CountedAsker, pair_of: Callable[..., list[PrometheusServer]]
) -> None:
    def federate(fleet: ReplayedFleet) -> list[dict[str, Any]]:
        addresses = [(server.url.removeprefix("http://"), {}) for server in pair_of(fleet)]
        everything = {"match[]": ['{__name__=~".+"}']}
        return [
            scrape_job("federate", addresses, honor_labels=True, metrics_path="/federate", params=everything)
        ]

    stage = stage_of(PLAN, jobs=federate)
    seen = (await cycles(stage.recorded(asker), stage.pools(), 14))[PLAN.name]
    assert is_true(seen)
    assert is_healthy(seen)


async def test_two_exporters_on_a_node_show_every_gpu_once(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    """The GPU operator's, and one that came with another chart."""
    second_ip = ""

    def both(fleet: ReplayedFleet) -> list[dict[str, Any]]:
        nonlocal second_ip
        second_ip = fleet.nodes[0].exporter_ip.rsplit(".", 1)[0] + ".200"
        labels = {"namespace": "monitoring", "pod": "dcgm-exporter-x", "container": "exporter"}
        return [*jobs_of(fleet), scrape_job("dcgm-exporter", [(f"{second_ip}:9400", labels)])]

    stage = stage_of(PLAN, jobs=both)
    node = stage.fleet.nodes[0]
    stage.site.add(second_ip, 9400, stage.site.stations[node.exporter_ip, 9400].render)
    second = replace(node, exporter_ip=second_ip)
    body = {**second.exporter(), "status": second.exporter_status()}
    body["metadata"] = {**body["metadata"], "name": "dcgm-exporter-x", "namespace": "monitoring"}
    stage.stock.fill([*objects_of(stage.fleet), body])
    seen = (await cycles(stage.recorded(asker), stage.pools(), 13))[PLAN.name]
    assert is_true(seen)


async def test_the_agents_page_tells_through_prometheus_who_holds_a_gpu(
    stage_of: Callable[..., Any], asker: CountedAsker
) -> None:
    """Two pods take turns on the board: only the agent's own series names both, as exported_pod."""
    stage = stage_of(PLAN)
    node, pod = stage.fleet.nodes[0], next(iter(stage.fleet.engines.values())).pod
    began = time.time()
    place = Place("GPU-00000000-0000-0000-0000-000000000001")
    holders = (Holder(pod.namespace, pod.name, "vllm"), Holder("elsewhere", "other-0", "vllm"))

    def page(now: float) -> bytes:
        board = Board(
            index=0,
            uuid=place.uuid,
            model="NVIDIA H200",
            milliwatts=500_000,
            millijoules=int((now - began + 3600) * 500_000),
            gpu_percent=92,
        )
        return render(Node(name=node.name, driver="580", boards=(board,), holders={place: holders}))

    stage.site.remove(node.exporter_ip, 9400)
    stage.site.add(node.exporter_ip, 9400, page)
    seen = (await cycles(stage.recorded(asker), stage.pools(), 4))[PLAN.name]
    assert value_of(seen.economics.gpus.observed) == pytest.approx(0.5)
