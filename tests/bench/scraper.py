"""Our fetch and parse alone, in a process of its own: `python -m tests.bench.scraper 20 9000 40`.

Scrapes the engines of a LargeFleet every 15 s, pool by pool, spread over that time, until killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable

import uvloop

from tests.support.bench import PODS_PER_POOL, LargeFleet
from tokenfactory.model import (
    Container,
    Endpoint,
    Engine,
    EngineKind,
    EngineReading,
    Fleet,
    Pod,
    Replica,
)
from tokenfactory.sandbox.objects import ServingPod
from tokenfactory.telemetry.address import AddressRules, LoopbackPolicy
from tokenfactory.telemetry.collect import Collector
from tokenfactory.telemetry.fetch import Fetcher
from tokenfactory.telemetry.limits import FetchLimits

INTERVAL_SECONDS = 15.0


def pool(pods: Iterable[ServingPod]) -> Fleet:
    return Fleet(replicas=tuple(replica(pod) for pod in pods))


def replica(serving: ServingPod) -> Replica:
    endpoint = Endpoint(ip=serving.ip, port=serving.port, path="/metrics", namespace=serving.namespace)
    engine = Engine(
        container=Container(name="vllm", image=serving.image), kind=EngineKind.VLLM, endpoint=endpoint
    )
    pod = Pod(namespace=serving.namespace, name=serving.name, uid=serving.name)
    return Replica(pod=pod, node=None, gpus=1.0, product=None, engines=(engine,))


async def scrape(collector: Collector, fleet: Fleet, *, offset: float) -> None:
    """One pool at its own offset in the interval, as the operator does it. Raises on a page not read."""
    due = time.monotonic() + offset
    while True:
        await asyncio.sleep(due - time.monotonic())
        due += INTERVAL_SECONDS
        readings = await collector.collect(fleet, now=time.time(), max_age=5.0, timeout=5.0)
        for reading in readings.engines.values():
            if not isinstance(reading, EngineReading):
                raise RuntimeError(str(reading))


async def run(fleet: LargeFleet) -> None:
    rules = AddressRules(loopback=LoopbackPolicy.SANDBOX)
    fetcher = Fetcher(limits=FetchLimits(), rules=rules, wall=time.time, monotonic=time.monotonic)
    pods = tuple(fleet.pods())
    async with fetcher, asyncio.TaskGroup() as group:
        collector = Collector(fetcher)
        for number in range(fleet.pools):
            mine = pool(pods[number * PODS_PER_POOL : (number + 1) * PODS_PER_POOL])
            group.create_task(scrape(collector, mine, offset=INTERVAL_SECONDS * number / fleet.pools))


if __name__ == "__main__":
    pools, port, network = (int(argument) for argument in sys.argv[1:4])
    uvloop.run(run(LargeFleet(pools, port, network)))
