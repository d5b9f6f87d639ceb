"""One cycle's scraping: every endpoint once, failures as values, exporters merged by node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from tokenfactory.model import (
    Companion,
    CompanionKind,
    Container,
    Endpoint,
    Engine,
    EngineId,
    EngineKind,
    EngineReading,
    Exporter,
    ExporterReading,
    Failure,
    FailureReason,
    Fleet,
    Pod,
    Replica,
    Signal,
    id_of_companion,
)
from tokenfactory.ports import Page
from tokenfactory.telemetry import collect, vllm
from tokenfactory.telemetry.collect import Collector
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.limits import FetchLimits

ENGINE_PAGE = b'vllm:prompt_tokens_total{engine="0"} 10\nvllm:generation_tokens_total{engine="0"} 5\n'


def gpu_page(*rows: tuple[str, int]) -> bytes:
    return b"".join(b'DCGM_FI_DEV_POWER_USAGE{UUID="%b"} %d\n' % (u.encode(), watts) for u, watts in rows)


def endpoint(number: int, port: int = 8000, *, namespace: str = "ns") -> Endpoint:
    return Endpoint(ip=f"10.0.0.{number}", port=port, path="/metrics", namespace=namespace)


def engine(at: Endpoint | None, kind: EngineKind = EngineKind.VLLM, name: str = "vllm") -> Engine:
    return Engine(container=Container(name=name, image="vllm"), kind=kind, endpoint=at)


def replica(number: int, *engines: Engine) -> Replica:
    pod = Pod(namespace="ns", name=f"p-{number}", uid=f"uid-{number}")
    return Replica(pod=pod, node=None, gpus=1.0, product=None, engines=engines)


@dataclass
class Pages:
    """A page source from a table; counts what is asked and what runs at once."""

    table: Mapping[Endpoint, bytes | Failure]
    asked: list[tuple[Endpoint, float, float]] = field(default_factory=list)
    waiting: int = 0
    most_waiting: int = 0

    async def page(self, endpoint: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
        self.asked.append((endpoint, max_age, timeout))
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        await asyncio.sleep(0)
        self.waiting -= 1
        found = self.table[endpoint]
        return found if isinstance(found, Failure) else Page(body=found, at=90.0)


UNREACHABLE = Failure(at=91.0, reason=FailureReason.UNREACHABLE, detail="connection refused")


async def test_readings_and_failures_stand_side_by_side_under_their_engines() -> None:
    source = Pages({endpoint(1): ENGINE_PAGE, endpoint(2): UNREACHABLE, endpoint(3): b"<html>"})
    fleet = Fleet(replicas=tuple(replica(n, engine(endpoint(n))) for n in (1, 2, 3)))
    readings = await Collector(source).collect(fleet, now=100.0, max_age=4.0, timeout=3.0)
    assert readings.at == 100.0
    good = readings.engines[EngineId("uid-1", "vllm")]
    assert isinstance(good, EngineReading)
    assert good.at == 90.0
    assert readings.engines[EngineId("uid-2", "vllm")] is UNREACHABLE
    bad = readings.engines[EngineId("uid-3", "vllm")]
    assert isinstance(bad, Failure)
    assert bad.reason is FailureReason.NOT_EXPOSITION
    assert source.asked == [(endpoint(n), 0.0, 3.0) for n in (1, 2, 3)]
    assert source.most_waiting == 3


async def test_only_pages_that_other_pools_read_may_be_older() -> None:
    source = Pages({endpoint(n): ENGINE_PAGE for n in (1, 2)} | {endpoint(9, 9400): gpu_page(("GPU-1", 5))})
    shared = replace(replica(2, engine(endpoint(2))), shared_with=("other",))
    fleet = Fleet(
        replicas=(replica(1, engine(endpoint(1))), shared),
        exporters=(Exporter(node_name="n", endpoint=endpoint(9, 9400)),),
    )
    await Collector(source).collect(fleet, now=100.0, max_age=4.0, timeout=3.0)
    assert {at.port + int(at.ip[-1]): age for at, age, _ in source.asked} == {8001: 0.0, 8002: 4.0, 9409: 4.0}


async def test_other_engines_and_engines_without_an_endpoint_are_not_scraped() -> None:
    source = Pages({})
    fleet = Fleet(replicas=(replica(1, engine(None), engine(endpoint(1), EngineKind.TGI, name="s")),))
    readings = await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert (readings.engines, readings.exporters, source.asked) == ({}, {}, [])


async def test_a_pod_with_several_engines_has_one_entry_for_each() -> None:
    ports = (endpoint(1, 8000), endpoint(1, 8001))
    source = Pages(dict.fromkeys(ports, ENGINE_PAGE))
    fleet = Fleet(replicas=(replica(1, *(engine(at, name=f"e{i}") for i, at in enumerate(ports))),))
    readings = await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert set(readings.engines) == {EngineId("uid-1", "e0"), EngineId("uid-1", "e1")}


async def test_an_endpoint_that_two_engines_claim_is_fetched_once_and_counts_once() -> None:
    source = Pages({endpoint(1): ENGINE_PAGE})
    fleet = Fleet(replicas=(replica(1, engine(endpoint(1))), replica(2, engine(endpoint(1)))))
    readings = await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert set(readings.engines) == {EngineId("uid-1", "vllm")}
    assert len(source.asked) == 1


KVBM_PAGE = b"kvbm_matched_tokens 900\nkvbm_onboard_blocks_h2d 20\nkvbm_offload_blocks_d2h 50\n"


async def test_the_second_page_of_an_engine_adds_its_counters_to_the_engines() -> None:
    side = endpoint(1, 6880)
    source = Pages({endpoint(1): ENGINE_PAGE, side: KVBM_PAGE})
    fleet = Fleet(replicas=(replica(1, replace(engine(endpoint(1)), side=side)),))
    readings = await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    (reading,) = readings.engines.values()
    assert isinstance(reading, EngineReading)
    found = {key.signal: value for key, value in zip(reading.layout, reading.counters, strict=True)}
    assert found[Signal.OUTPUT_TOKENS] == 5
    assert found[Signal.OFFLOAD_LOADED_BLOCKS] == 20
    assert found[Signal.OFFLOAD_HIT_TOKENS] == 900


async def test_a_second_page_that_fails_costs_the_engine_none_of_its_tokens() -> None:
    side = endpoint(1, 6880)
    source = Pages({endpoint(1): ENGINE_PAGE, side: UNREACHABLE})
    fleet = Fleet(replicas=(replica(1, replace(engine(endpoint(1)), side=side)),))
    readings = await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    (reading,) = readings.engines.values()
    assert isinstance(reading, EngineReading)
    assert Signal.OUTPUT_TOKENS in reading.families
    assert Signal.OFFLOAD_LOADED_BLOCKS not in reading.families


FRONTEND_PAGE = b'dynamo_frontend_output_tokens_total{model="m"} 7\n'


def frontend(at: Endpoint | None) -> Companion:
    pod = Pod(namespace="ns", name="front", uid="uid-front")
    container = Container(name="main", image="dynamo")
    return Companion(kind=CompanionKind.DYNAMO_FRONTEND, pod=pod, container=container, endpoint=at)


async def test_what_runs_beside_the_engines_is_read_and_kept_apart_from_them() -> None:
    source = Pages({endpoint(1): ENGINE_PAGE, endpoint(9): FRONTEND_PAGE})
    beside = frontend(endpoint(9))
    fleet = Fleet(replicas=(replica(1, engine(endpoint(1))),), companions=(beside, frontend(None)))
    readings = await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert set(readings.engines) == {EngineId("uid-1", "vllm")}
    reading = readings.companions[id_of_companion(beside)]
    assert isinstance(reading, EngineReading)
    assert 7.0 in reading.counters


async def test_a_frontend_at_an_engines_own_address_takes_nothing_from_the_engine() -> None:
    source = Pages({endpoint(1): ENGINE_PAGE})
    fleet = Fleet(replicas=(replica(1, engine(endpoint(1))),), companions=(frontend(endpoint(1)),))
    readings = await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert isinstance(readings.engines[EngineId("uid-1", "vllm")], EngineReading)
    assert readings.companions == {}


def watts(reading: ExporterReading | Failure) -> dict[str, float | None]:
    assert isinstance(reading, ExporterReading)
    return {gpu.uuid: gpu.watts for gpu in reading.gpus}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(
            gpu_page(("A", 5)), gpu_page(("A", 9), ("B", 7)), {"A": 5.0, "B": 7.0}, id="the first speaks"
        ),
        pytest.param(UNREACHABLE, gpu_page(("A", 9)), {"A": 9.0}, id="a dead first one is replaced"),
        pytest.param(gpu_page(("A", 5)), UNREACHABLE, {"A": 5.0}, id="a dead second one is ignored"),
    ],
)
async def test_two_exporters_of_a_node_give_every_gpu_once(
    first: bytes | Failure, second: bytes | Failure, expected: dict[str, float]
) -> None:
    places = (endpoint(1, 9400), endpoint(2, 9400))
    source = Pages({places[0]: first, places[1]: second})
    fleet = Fleet(exporters=tuple(Exporter(node_name="n1", endpoint=at) for at in places))
    readings = await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert watts(readings.exporters["n1"]) == expected


async def test_a_node_whose_exporters_are_all_dead_keeps_the_first_ones_failure() -> None:
    places = (endpoint(1, 9400), endpoint(2, 9400))
    later = Failure(at=92.0, reason=FailureReason.TIMED_OUT)
    source = Pages({places[0]: UNREACHABLE, places[1]: later})
    fleet = Fleet(exporters=tuple(Exporter(node_name="n1", endpoint=at) for at in places))
    readings = await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert readings.exporters == {"n1": UNREACHABLE}


async def test_engines_of_one_shape_share_their_layout_between_pools_and_cycles() -> None:
    source = Pages({endpoint(n): ENGINE_PAGE for n in (1, 2)})
    collector = Collector(source)
    found = []
    for n in (1, 2, 1):
        fleet = Fleet(replicas=(replica(n, engine(endpoint(n))),))
        readings = await collector.collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
        found += [r.layout for r in readings.engines.values() if isinstance(r, EngineReading)]
    assert len(found) == 3
    assert found[0] is found[1] is found[2]


async def test_the_loop_turns_between_any_two_pages() -> None:
    count = 30
    source = Pages({endpoint(n): ENGINE_PAGE for n in range(count)})
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    fleet = Fleet(replicas=tuple(replica(n, engine(endpoint(n))) for n in range(count)))
    await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    ticking.cancel()
    assert turns >= count


async def test_pages_of_many_namespaces_that_wait_to_be_read_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Pages({endpoint(n, namespace=f"n{n % 40}"): ENGINE_PAGE for n in range(240)})
    given, read, most = 0, 0, 0
    plain_page = source.page

    async def page(at: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
        nonlocal given, most
        given += 1
        most = max(most, given - read)
        return await plain_page(at, max_age=max_age, timeout=timeout)

    def parse(body: bytes, *, at: float, layouts: Layouts) -> EngineReading | Failure:
        nonlocal read
        read += 1
        return vllm.parse(body, at=at, layouts=layouts)

    monkeypatch.setattr(source, "page", page)
    monkeypatch.setattr(collect, "parser_of", lambda *_: parse)
    fleet = Fleet(replicas=tuple(replica(n, engine(at)) for n, at in enumerate(source.table)))
    await Collector(source).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert (given, read) == (240, 240)
    assert most <= FetchLimits().in_flight


async def test_a_broken_source_ends_the_whole_collection_and_leaves_no_task_behind() -> None:
    class Broken(Pages):
        async def page(self, endpoint: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
            if endpoint.ip.endswith(".1"):
                raise RuntimeError("a bug")
            await asyncio.sleep(3600)
            raise AssertionError

    fleet = Fleet(replicas=tuple(replica(n, engine(endpoint(n))) for n in (1, 2)))
    with pytest.raises(ExceptionGroup, match="unhandled"):
        await Collector(Broken({})).collect(fleet, now=1.0, max_age=1.0, timeout=1.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
