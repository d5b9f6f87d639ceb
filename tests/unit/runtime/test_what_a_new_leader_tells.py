"""A new leader's first cycles: metrics and alerts go on with the verdict that its predecessor published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.support.subjects import KEY, NOW, economics, subject, verdict
from tokenfactory.model import AlertmanagerTerms, DenominatorState, PoolKey
from tokenfactory.publishing.metrics import PoolMetrics, exposition
from tokenfactory.publishing.status import Subject, render
from tokenfactory.runtime.desk import Desk
from tokenfactory.runtime.kube import Collection
from tokenfactory.runtime.publisher import Publisher, Writer

UID = "uid-1"
SERVERS = (AlertmanagerTerms(url="http://alertmanager:9093"),)
COLLAPSED, WARMING = DenominatorState.THROUGHPUT_COLLAPSED, DenominatorState.WARMING_UP


@dataclass(slots=True)
class Heard:
    """Stands for the alerts, the API server and the counters: keeps what reached it."""

    states: list[DenominatorState] = field(default_factory=list)
    servers: list[tuple[AlertmanagerTerms, ...]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    writes: int = 0

    def record(self, uid: str, key: PoolKey, told: Subject, servers: tuple[AlertmanagerTerms, ...]) -> None:
        self.states.append(told.verdict.denominator)
        self.servers.append(servers)

    def forget(self, uid: str) -> None:
        self.forgotten.append(uid)

    async def patch_status(self, where: Collection, name: str, operations: list[dict[str, Any]]) -> None:
        self.writes += 1

    async def create(self, where: Collection, body: Mapping[str, Any]) -> None: ...

    def count_status_write(self, outcome: str) -> None: ...


def body(status: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": KEY.name, "namespace": KEY.namespace, "uid": UID, "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "deepseek-r1"}}},
        "status": status,
    }


def new_leader(status: Mapping[str, Any]) -> tuple[Publisher, Heard, CollectorRegistry, Desk]:
    heard, registry, desk = Heard(), CollectorRegistry(), Desk()
    desk.take_pool("ADDED", body(status))
    kube: Any = heard
    writer = Writer(kube, heard, clock=lambda: NOW)
    metrics = PoolMetrics(registry)
    publisher = Publisher(kube, desk, writer, metrics, heard, clock=lambda: NOW, instance="b")
    return publisher, heard, registry, desk


async def publish(publisher: Publisher, told: Subject) -> None:
    await publisher.publish(UID, KEY, told, window_seconds=300, alertmanagers=SERVERS)


def first_cycle() -> Subject:
    return subject(verdict=verdict(WARMING), economics=economics(window_full=False))


async def test_the_collapse_that_was_published_goes_on_in_metrics_and_alerts() -> None:
    publisher, heard, registry, _ = new_leader(render(subject(verdict=verdict(COLLAPSED)), None))
    await publish(publisher, first_cycle())
    assert heard.states == [COLLAPSED]
    assert heard.servers == [SERVERS]
    page = exposition(registry).decode()
    assert 'state="ThroughputCollapsed"' in page
    assert 'state="WarmingUp"' not in page
    assert heard.writes == 0


async def test_once_its_window_is_full_it_tells_what_it_sees() -> None:
    publisher, heard, _, _ = new_leader(render(subject(verdict=verdict(COLLAPSED)), None))
    await publish(publisher, first_cycle())
    await publish(publisher, subject(verdict=verdict()))
    assert heard.states == [COLLAPSED, DenominatorState.HEALTHY]


async def test_a_pool_that_was_never_judged_has_nothing_to_go_on_with() -> None:
    publisher, heard, _, _ = new_leader({})
    await publish(publisher, first_cycle())
    assert heard.states == [WARMING]


async def test_a_pool_deleted_in_the_middle_of_its_cycle_leaves_no_series_and_no_alert() -> None:
    publisher, heard, registry, desk = new_leader({})
    desk.take_pool("DELETED", body({}))
    publisher.forget(UID, KEY)
    await publish(publisher, first_cycle())
    assert heard.states == []
    assert heard.forgotten == [UID]
    assert KEY.name not in exposition(registry).decode()


async def test_first_statuses_beyond_the_budget_come_again_one_after_the_other() -> None:
    """Five at once; the others are told when their turn is, and not at their next cycle."""
    publisher, heard, _, desk = new_leader({})
    keys = [PoolKey(KEY.namespace, f"pool-{number}") for number in range(9)]
    waits = []
    for key in keys:
        named = body({})
        named["metadata"] |= {"name": key.name, "uid": key.name}
        desk.take_pool("ADDED", named)
        waits.append(await publisher.publish(key.name, key, first_cycle(), window_seconds=300))
    assert heard.writes == 5
    assert waits == [0.0] * 5 + [pytest.approx(0.2 * place) for place in (1, 2, 3, 4)]
    again = await publisher.publish(keys[8].name, keys[8], first_cycle(), window_seconds=300)
    assert again == 0.0, "its turn is still to come"
