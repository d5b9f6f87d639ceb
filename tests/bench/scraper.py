"""Our fetch and parse alone, in a process of its own: `python -m tests.bench.scraper 100 8000 40`.

Scrapes the engines of the first pods of a LargeFleet once a second, spread over the second, until killed.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from tests.support.bench import LargeFleet
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

INTERVAL_SECONDS = 1.0


def one_pod(serving: ServingPod) -> Fleet:
    endpoint = Endpoint(ip=serving.ip, port=serving.port, path="/metrics", namespace=serving.namespace)
    engine = Engine(
        container=Container(name="vllm", image=serving.image), kind=EngineKind.VLLM, endpoint=endpoint
    )
    pod = Pod(namespace=serving.namespace, name=serving.name, uid=serving.name)
    return Fleet(replicas=(Replica(pod=pod, node=None, gpus=1.0, product=None, engines=(engine,)),))


async def scrape(collector: Collector, fleet: Fleet, *, offset: float) -> None:
    """One target at its own offset in the interval, as Prometheus does it. Raises on a page not read."""
    due = time.monotonic() + offset
    while True:
        await asyncio.sleep(due - time.monotonic())
        due += INTERVAL_SECONDS
        readings = await collector.collect(fleet, now=time.time(), max_age=0.5, timeout=5.0)
        for reading in readings.engines.values():
            assert isinstance(reading, EngineReading), reading


async def run(fleet: LargeFleet, targets: int) -> None:
    rules = AddressRules(loopback=LoopbackPolicy.SANDBOX)
    fetcher = Fetcher(limits=FetchLimits(), rules=rules, wall=time.time, monotonic=time.monotonic)
    async with fetcher, asyncio.TaskGroup() as group:
        collector = Collector(fetcher)
        for number, pod in enumerate(tuple(fleet.pods())[:targets]):
            offset = INTERVAL_SECONDS * number / targets
            group.create_task(scrape(collector, one_pod(pod), offset=offset))


if __name__ == "__main__":
    count, port, network = (int(argument) for argument in sys.argv[1:4])
    uvloop.run(run(LargeFleet(-(-count // 5), port, network), count))
