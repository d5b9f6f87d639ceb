"""OpenCost's metrics by node; exporters that disagree are not believed, and an outage changes no price."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from tokenfactory.model import Failure, FailureReason, NodePrice, PrometheusTerms
from tokenfactory.telemetry.opencost import OpenCost, read_prices
from tokenfactory.telemetry.rebuild import Unreadable

AT = 1795680000.0
SERVER = PrometheusTerms(url="http://prometheus:9090")
AWAY = Failure(at=0.0, reason=FailureReason.PROMETHEUS_UNREACHABLE)


def said(total: str, gpus: str, node: str = "gpu-1", **labels: str) -> list[dict[str, Any]]:
    common = {"node": node, "instance": node, "job": "opencost", **labels}
    return [
        {"metric": {"__name__": name, **common}, "value": [AT, value]}
        for name, value in (("node_total_hourly_cost", total), ("node_gpu_count", gpus))
    ]


def only(result: list[dict[str, Any]]) -> NodePrice:
    ((_, price),) = read_prices(result).by_node.items()
    return price


def test_a_node_has_its_price_its_gpus_and_the_day_on_which_they_were_read() -> None:
    assert only(said("22.88", "8")) == NodePrice(
        per_hour=Decimal("22.88"), gpus=Decimal(8), as_of="2026-11-26"
    )


def test_a_node_label_that_prometheus_renamed_is_the_one_that_counts() -> None:
    assert set(read_prices(said("1", "8", node="agent-7", exported_node="gpu-1")).by_node) == {"gpu-1"}


def test_two_exporters_that_agree_are_one_and_two_that_differ_are_none() -> None:
    agreeing = said("22.88", "8") + said("22.8800001", "8", job="copy")
    assert only(agreeing).problem == ""
    rivals = said("22.88", "8") + said("0.06", "8", job="of-a-tenant")
    assert "different prices" in only(rivals).problem


@pytest.mark.parametrize(("total", "gpus"), [("NaN", "8"), ("+Inf", "8"), ("22", "NaN")])
def test_a_value_that_is_no_number_counts_as_nothing(total: str, gpus: str) -> None:
    price = only(said(total, gpus))
    assert 0 in (price.per_hour, price.gpus)


def test_half_of_a_node_is_not_a_price() -> None:
    assert only(said("22.88", "8")[:1]).gpus == 0


@pytest.mark.parametrize(
    "item",
    [{}, None, {"metric": {"__name__": "x"}, "value": [1, "x"]}, {"metric": {}, "value": [1]}],
    ids=repr,
)
def test_what_no_prometheus_answers_is_unreadable(item: Any) -> None:
    with pytest.raises(Unreadable):
        read_prices([item])


@dataclass
class Asked:
    answer: Any = ()
    queries: int = 0

    async def ask(
        self, server: PrometheusTerms, query: str, *, timeout: float, read: Callable[[Sequence[Any]], Any]
    ) -> Any:
        self.queries += 1
        await asyncio.sleep(0)
        return self.answer if isinstance(self.answer, Failure) else read(self.answer)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def test_prices_are_asked_for_once_a_minute_however_many_pools_there_are() -> None:
    asked, clock = Asked(said("22.88", "8")), Clock()
    book = OpenCost(asked, monotonic=clock)
    for clock.now in (0.0, 30.0, 59.0):
        await asyncio.gather(*(book.prices(SERVER) for _ in range(20)))
    assert asked.queries == 1
    clock.now = 61.0
    await book.prices(SERVER)
    assert asked.queries == 2


async def test_one_that_did_not_answer_is_asked_again_after_a_quarter_of_a_minute() -> None:
    asked, clock = Asked(AWAY), Clock()
    book = OpenCost(asked, monotonic=clock)
    for clock.now in (0.0, 10.0, 14.0):
        await asyncio.gather(*(book.prices(SERVER) for _ in range(20)))
    assert asked.queries == 1
    asked.answer = said("22.88", "8")
    clock.now = 16.0
    assert not (await book.prices(SERVER)).failure
    assert asked.queries == 2


async def test_an_outage_keeps_the_last_prices_for_an_hour_and_then_there_are_none() -> None:
    asked, clock = Asked(said("22.88", "8")), Clock()
    book = OpenCost(asked, monotonic=clock)
    good = await book.prices(SERVER)
    asked.answer = AWAY
    for clock.now in (70.0, 1800.0, 3500.0):
        assert await book.prices(SERVER) is good
    clock.now = 3700.0
    lost = await book.prices(SERVER)
    assert "spec.telemetry.prometheus.url of the TokenFactory does not answer" in lost.failure
    found = lost.of("gpu-1")
    assert found is not None
    assert found.problem == lost.failure
