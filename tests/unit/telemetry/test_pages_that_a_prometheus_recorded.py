"""Which recorded page stands for which engine, whose it is not, and how often a Prometheus is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
    PrometheusTerms,
    Readings,
    Replica,
    Signal,
    TelemetryMode,
    TelemetryTerms,
)
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.recorded import Library, RecordedCollector

NOW = 1000.0
SERVER = PrometheusTerms(url="http://prometheus:9090")
TERMS = TelemetryTerms(mode=TelemetryMode.PROMETHEUS, prometheus=SERVER, scrape_interval_seconds=15)
DOWN = Failure(at=NOW, reason=FailureReason.PROMETHEUS_UNREACHABLE)
TOO_LARGE = Failure(at=NOW, reason=FailureReason.PROMETHEUS_TOO_LARGE)


@dataclass
class Asked:
    """Fills `recorded.Asker`: the same series for every query about engines, others for exporters."""

    engines: Sequence[Any] | Failure = ()
    exporters: Sequence[Any] | Failure = ()
    too_large: int = 0
    queries: list[str] = field(default_factory=list)

    async def ask(
        self, server: PrometheusTerms, query: str, *, timeout: float, read: Callable[[Sequence[Any]], Any]
    ) -> Any:
        assert server == SERVER
        self.queries.append(query)
        await asyncio.sleep(0)
        if self.too_large:
            self.too_large -= 1
            return TOO_LARGE
        found = self.exporters if "DCGM_FI" in query else self.engines
        if not isinstance(found, Failure) and "instance=~" in query and "[0-1]" not in query:
            found = ()
        return found if isinstance(found, Failure) else read(found)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def scraped(pod: str, output: int, *, at: float = 990.0, **labels: str) -> list[dict[str, Any]]:
    """The series of a vLLM page that said `output` tokens at that time."""
    attached = {"job": "vllm", "instance": "10.0.0.1:8000", "namespace": "ns", "pod": pod, **labels}
    return [
        {"metric": {"__name__": name, **attached}, "values": [[at, str(value)]]}
        for name, value in (
            ("up", 1),
            ("vllm:prompt_tokens_total", 10),
            ("vllm:generation_tokens_total", output),
        )
    ]


def engine(port: int = 8000, name: str = "vllm", started_at: float | None = 100.0) -> Engine:
    at = Endpoint(ip="10.0.0.1", port=port, path="/metrics", namespace="ns")
    container = Container(name=name, image="vllm", started_at=started_at)
    return Engine(container=container, kind=EngineKind.VLLM, endpoint=at)


def fleet(*engines: Engine, pod: str = "chat-0", exporters: tuple[Exporter, ...] = ()) -> Fleet:
    own = Pod(namespace="ns", name=pod, uid="uid")
    replica = Replica(pod=own, node=None, gpus=1.0, product=None, engines=engines or (engine(),))
    return Fleet(replicas=(replica,), exporters=exporters)


async def collect(asked: Asked, of: Fleet, *, clock: Clock | None = None) -> Readings:
    library = Library(asked, monotonic=clock or Clock(), wall=lambda: NOW)
    collector = RecordedCollector(library, TERMS, layouts=Layouts())
    return await collector.collect(of, now=NOW, max_age=7.5, timeout=5.0)


def output(readings: Readings, name: str = "vllm") -> float | FailureReason:
    found = readings.engines[EngineId("uid", name)]
    if isinstance(found, Failure):
        return found.reason
    counters = zip(found.layout, found.counters, strict=True)
    return next(value for key, value in counters if key.signal is Signal.OUTPUT_TOKENS)


async def test_a_page_is_read_as_the_engines_own_with_the_time_of_its_scrape() -> None:
    readings = await collect(Asked(engines=scraped("chat-0", 5)), fleet())
    assert output(readings) == 5
    reading = readings.engines[EngineId("uid", "vllm")]
    assert isinstance(reading, EngineReading)
    assert reading.at == 990.0


async def test_a_pod_of_another_name_is_not_this_one() -> None:
    readings = await collect(Asked(engines=scraped("chat-1", 5)), fleet())
    assert output(readings) is FailureReason.NOT_IN_PROMETHEUS


@pytest.mark.parametrize("started_at", [990.0, 989.5, 995.0])
async def test_a_page_from_before_the_container_started_is_the_one_befores(started_at: float) -> None:
    readings = await collect(Asked(engines=scraped("chat-0", 5)), fleet(engine(started_at=started_at)))
    assert output(readings) is FailureReason.NOT_IN_PROMETHEUS


@pytest.mark.parametrize("instance", ["10.0.0.9:8000", "node-1"])
async def test_a_replaced_pod_that_has_not_started_is_not_given_the_page_of_its_predecessor(
    instance: str,
) -> None:
    """As of a StatefulSet: the same name, another address, an image that is still pulled. Whatever the page
    says was counted already: read as the new pod's first one it would count once more."""
    loading = fleet(engine(started_at=None))
    (replica,) = loading.replicas
    pod = replace(replica.pod, created_at=991.0)
    series = scraped("chat-0", 5_000_000, instance=instance, container="vllm")
    readings = await collect(Asked(engines=series), replace(loading, replicas=(replace(replica, pod=pod),)))
    assert output(readings) is FailureReason.NOT_IN_PROMETHEUS


async def test_of_a_pod_and_its_predecessor_of_the_same_name_the_newer_one_is_read() -> None:
    more = {"metric": {**scraped("chat-0", 1)[0]["metric"], "__name__": "vllm:num_requests_running"}}
    before = [*scraped("chat-0", 9, instance="a", at=970.0), {**more, "values": [[970.0, "1"]]}]
    before[-1]["metric"]["instance"] = "a"
    series = before + scraped("chat-0", 5, instance="b")
    readings = await collect(Asked(engines=series), fleet(engine(started_at=975.0)))
    assert output(readings) == 5


async def test_of_two_ports_of_a_pod_each_engine_gets_its_own() -> None:
    series = scraped("chat-0", 5) + scraped("chat-0", 7, instance="10.0.0.1:8001")
    readings = await collect(Asked(engines=series), fleet(engine(), engine(8001, "second")))
    assert (output(readings), output(readings, "second")) == (5, 7)


async def test_a_frontends_page_comes_from_the_same_answer_as_its_workers() -> None:
    own = Pod(namespace="ns", name="front-0", uid="front")
    at = Endpoint(ip="10.0.0.2", port=8000, path="/metrics", namespace="ns")
    beside = Companion(
        kind=CompanionKind.DYNAMO_FRONTEND,
        pod=own,
        container=Container(name="main", image="dynamo"),
        endpoint=at,
    )
    attached = {"job": "vllm", "instance": "10.0.0.2:8000", "namespace": "ns", "pod": "front-0"}
    told = {"__name__": "dynamo_frontend_output_tokens_total", "model": "m", **attached}
    series = [*scraped("chat-0", 5), {"metric": told, "values": [[990.0, "7"]]}]
    asked = Asked(engines=series)
    readings = await collect(asked, replace(fleet(), companions=(beside,)))
    assert output(readings) == 5
    (reading,) = readings.companions.values()
    assert isinstance(reading, EngineReading)
    assert 7.0 in reading.counters


async def test_the_second_page_of_an_engine_is_found_by_its_port() -> None:
    """KVBM's counters are on a port of their own: a PodMonitor with two endpoints scrapes both."""
    blocks = {"job": "vllm", "instance": "10.0.0.1:6880", "namespace": "ns", "pod": "chat-0"}
    series = scraped("chat-0", 5) + [
        {"metric": {"__name__": name, **blocks}, "values": [[990.0, value]]}
        for name, value in (("up", "1"), ("kvbm_matched_tokens", "77"))
    ]
    side = Endpoint(ip="10.0.0.1", port=6880, path="/metrics", namespace="ns")
    readings = await collect(Asked(engines=series), fleet(replace(engine(), side=side)))
    reading = readings.engines[EngineId("uid", "vllm")]
    assert isinstance(reading, EngineReading)
    counters = {key.signal: value for key, value in zip(reading.layout, reading.counters, strict=True)}
    assert counters[Signal.OFFLOAD_HIT_TOKENS] == 77
    assert counters[Signal.OUTPUT_TOKENS] == 5


async def test_a_second_page_that_is_not_scraped_is_not_taken_from_the_first_port() -> None:
    side = Endpoint(ip="10.0.0.1", port=6880, path="/metrics", namespace="ns")
    series = scraped("chat-0", 5, container="vllm")
    readings = await collect(Asked(engines=series), fleet(replace(engine(), side=side)))
    assert output(readings) == 5


async def test_where_the_instance_is_renamed_the_container_tells() -> None:
    series = scraped("chat-0", 5, instance="a", container="vllm") + scraped(
        "chat-0", 7, instance="b", container="second"
    )
    readings = await collect(Asked(engines=series), fleet(engine(), engine(8001, "second")))
    assert (output(readings), output(readings, "second")) == (5, 7)


async def test_where_nothing_else_tells_a_pods_only_engine_is_its_fullest_page() -> None:
    sidecar = [{"metric": {"__name__": "up", "pod": "chat-0", "instance": "s"}, "values": [[999.0, "1"]]}]
    readings = await collect(Asked(engines=scraped("chat-0", 5, instance="node-1") + sidecar), fleet())
    assert output(readings) == 5


async def test_two_engines_that_nothing_tells_apart_are_not_guessed() -> None:
    series = scraped("chat-0", 5, instance="node-1")
    readings = await collect(Asked(engines=series), fleet(engine(), engine(8001, "second")))
    assert output(readings) is FailureReason.NOT_IN_PROMETHEUS


@pytest.mark.parametrize(
    ("up", "reason"), [("0", FailureReason.DOWN_IN_PROMETHEUS), ("1", FailureReason.NO_ENGINE_METRICS)]
)
async def test_a_target_without_engine_metrics_says_whose_fault_it_is(up: str, reason: FailureReason) -> None:
    series = scraped("chat-0", 5)[:1]
    series[0]["values"] = [[990.0, up]]
    assert output(await collect(Asked(engines=series), fleet())) is reason


async def test_a_prometheus_that_is_away_fails_every_page_and_counts_nothing() -> None:
    readings = await collect(Asked(engines=DOWN), fleet())
    assert output(readings) is FailureReason.PROMETHEUS_UNREACHABLE


@pytest.mark.parametrize("instance", ["10.0.9.9:9400", "gpu-1"])
async def test_an_exporter_is_known_by_its_address_or_by_its_nodes_name(instance: str) -> None:
    at = Endpoint(ip="10.0.9.9", port=9400, path="/metrics", namespace="gpu-operator")
    attached = {"job": "dcgm", "instance": instance, "namespace": "gpu-operator", "pod": "e-1"}
    up = {"metric": {"__name__": "up", **attached}, "values": [[990.0, "1"]]}
    gpu = {"UUID": "GPU-1", "Hostname": "gpu-1", "exported_pod": "chat-0", "exported_namespace": "ns"}
    watts = {
        "metric": {"__name__": "DCGM_FI_DEV_POWER_USAGE", **attached, **gpu},
        "values": [[990.0, "400"]],
    }
    asked = Asked(engines=scraped("chat-0", 5), exporters=[up, watts])
    found = (await collect(asked, fleet(exporters=(Exporter(node_name="gpu-1", endpoint=at),)))).exporters
    reading = found["gpu-1"]
    assert isinstance(reading, ExporterReading)
    assert [(item.pod, item.namespace, item.watts) for item in reading.gpus] == [("chat-0", "ns", 400.0)]


async def play(interval: float, answers: range, *, outage: range = range(0)) -> list[Any]:
    """What is read of a pod that is scraped every `interval` seconds, asked every 7.5 s."""
    asked, clock = Asked(), Clock()
    library = Library(asked, monotonic=clock, wall=lambda: NOW)
    collector = RecordedCollector(library, TERMS, layouts=Layouts())
    found = []
    for number in answers:
        now = 1000.0 + 8 * number
        at = now // interval * interval
        shown = now - at <= 38 and number not in outage
        asked.engines, clock.now = scraped("chat-0", 5, at=at) if shown else (), now
        found.append(output(await collector.collect(fleet(), now=now, max_age=7.5, timeout=5.0)))
    return found


async def test_pages_that_would_come_and_go_are_refused_with_the_reason_and_not_every_now_and_then() -> None:
    found = await play(60.0, range(60))
    assert FailureReason.NOT_IN_PROMETHEUS in found[:20], "the pages do come and go at first"
    assert set(found[20:]) == {FailureReason.SELDOM_IN_PROMETHEUS}


@pytest.mark.parametrize("interval", [15.0, 30.0])
async def test_twice_the_interval_is_put_up_with(interval: float) -> None:
    assert set(await play(interval, range(60))) == {5}


async def test_an_outage_of_prometheus_is_no_slow_pace() -> None:
    found = await play(15.0, range(60), outage=range(20, 40))
    assert set(found[20:40]) == {FailureReason.NOT_IN_PROMETHEUS}
    assert set(found[:20] + found[40:]) == {5}


async def test_pools_of_a_namespace_share_one_query_until_it_is_too_old() -> None:
    asked, clock = Asked(engines=scraped("chat-0", 5)), Clock()
    library = Library(asked, monotonic=clock, wall=lambda: NOW)
    collectors = [RecordedCollector(library, TERMS, layouts=Layouts()) for _ in range(50)]

    async def all_at_once() -> None:
        await asyncio.gather(
            *(item.collect(fleet(), now=NOW, max_age=7.5, timeout=5.0) for item in collectors)
        )

    await all_at_once()
    clock.now = 7.4
    await all_at_once()
    assert len(asked.queries) == 1
    clock.now = 15.0
    await all_at_once()
    assert len(asked.queries) == 2


async def test_an_answer_that_is_too_large_is_asked_for_in_slices_from_then_on() -> None:
    asked, clock = Asked(engines=scraped("chat-0", 5), too_large=1), Clock()
    library = Library(asked, monotonic=clock, wall=lambda: NOW)
    collector = RecordedCollector(library, TERMS, layouts=Layouts())
    assert output(await collector.collect(fleet(), now=NOW, max_age=7.5, timeout=5.0)) == 5
    assert len(asked.queries) == 1 + 6
    clock.now = 20.0
    await collector.collect(fleet(), now=NOW, max_age=7.5, timeout=5.0)
    assert len(asked.queries) == 1 + 6 + 6


async def test_what_is_too_large_in_every_slice_is_a_failure() -> None:
    readings = await collect(Asked(engines=TOO_LARGE), fleet())
    assert output(readings) is FailureReason.PROMETHEUS_TOO_LARGE
