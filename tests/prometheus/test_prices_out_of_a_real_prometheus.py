"""A page like OpenCost's, scraped by a real Prometheus, prices a pool's GPU-hours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.prometheus.conftest import CountedAsker
from tests.support.prometheus import jobs_of, scrape_job
from tests.support.scenes import small_plan
from tokenfactory.costing.prices import quote_fleet
from tokenfactory.discovery.fleet import find
from tokenfactory.measure import value_of
from tokenfactory.model import Factory, PriceProblem, PriceQuote, PriceSource
from tokenfactory.sandbox.site import pick_network
from tokenfactory.telemetry.opencost import OpenCost

PLAN = small_plan("chat")
PAGE = """\
# TYPE node_total_hourly_cost gauge
node_total_hourly_cost{{instance="{node}",instance_type="p5",node="{node}",provider_id="i-1"}} {total}
# TYPE node_gpu_count gauge
node_gpu_count{{instance="{node}",instance_type="p5",node="{node}",provider_id="i-1"}} {gpus}
# TYPE node_gpu_hourly_cost gauge
node_gpu_hourly_cost{{instance="{node}",instance_type="p5",node="{node}",provider_id="i-1"}} 0.95
"""


async def quote(stage_of: Callable[..., Any], asker: CountedAsker, *, total: str, gpus: str) -> PriceQuote:
    """What a pool without a price of its own or of the factory's is quoted."""
    address = f"127.{pick_network()}.9.9"

    def with_opencost(fleet: Any) -> list[dict[str, Any]]:
        labels = {"namespace": "opencost", "pod": "opencost-0"}
        return [*jobs_of(fleet), scrape_job("opencost", [(f"{address}:9003", labels)], honor_labels=True)]

    stage = stage_of(PLAN, jobs=with_opencost)
    node = stage.fleet.nodes[0].name
    stage.site.add(address, 9003, lambda now: PAGE.format(node=node, total=total, gpus=gpus))
    await asyncio.sleep(2.5)
    terms = stage.terms()
    prices = await OpenCost(asker, monotonic=time.monotonic).prices(terms.telemetry.prometheus)
    factory = Factory(name="default", telemetry=terms.telemetry)
    priced = replace(terms, factory=factory, node_prices=prices)
    (pool,) = stage.pools()
    return quote_fleet(pool, priced, find(pool, priced, stage.stock.inventory))


async def test_the_whole_node_over_its_gpus(stage_of: Callable[..., Any], asker: CountedAsker) -> None:
    found = await quote(stage_of, asker, total="2.86", gpus="1")
    assert (value_of(found.per_gpu_hour), found.source) == (Decimal("2.86"), PriceSource.OPENCOST)
    assert found.as_of.startswith("20")


@pytest.mark.parametrize(
    ("total", "gpus", "problem"),
    [
        (str(2.86 / 730), "1", PriceProblem.PRICE_OUT_OF_BOUNDS),
        ("0", "1", PriceProblem.NO_PRICE),
        ("2.86", "0", PriceProblem.NO_PRICE),
    ],
    ids=["730 times too low", "free", "without GPUs"],
)
async def test_a_known_fault_is_refused_and_the_reference_is_not_used_instead(
    stage_of: Callable[..., Any], asker: CountedAsker, total: str, gpus: str, problem: PriceProblem
) -> None:
    found = await quote(stage_of, asker, total=total, gpus=gpus)
    assert found.problem is problem
    assert value_of(found.per_gpu_hour) is None
