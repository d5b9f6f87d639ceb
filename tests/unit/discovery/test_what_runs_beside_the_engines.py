"""Frontends and the like: found by command or image, located by their command line, never replicas."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.discovery.kube import CONTAINER, Shelf, exporter, look, pod, pool
from tokenfactory.discovery import companions
from tokenfactory.discovery.fleet import find, withhold
from tokenfactory.model import CompanionKind, Factory, Fleet, FleetReason, Pod, TelemetryTerms, Terms

TERMS = Terms(factory=Factory())
FRONTEND: dict[str, Any] = {
    "name": "main",
    "image": "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1",
    "command": ["python3", "-m", "dynamo.frontend"],
    "args": [],
    "ports": [],
    "resources": {},
}


def frontend(name: str = "front", **changes: Any) -> Pod:
    own = {key: changes.pop(key) for key in ("command", "args", "env", "image") if key in changes}
    return pod(name, container={**FRONTEND, **own}, **changes)


def found(*pods: Pod, terms: Terms = TERMS) -> Fleet:
    return look(pool(), terms, Shelf(list(pods), exporters=[exporter()]))


def test_a_frontends_pod_is_no_replica_and_has_a_page_of_its_own() -> None:
    fleet = found(pod(), frontend())
    assert [replica.pod.name for replica in fleet.replicas] == ["web-0"]
    (item,) = fleet.companions
    assert (item.kind, item.pod.name) == (CompanionKind.DYNAMO_FRONTEND, "front")
    assert item.endpoint is not None
    assert (item.endpoint.port, item.endpoint.path) == (8000, "/metrics")
    assert fleet.problems == ()


@pytest.mark.parametrize(
    ("changes", "port"),
    [
        ({"args": ["--http-port", "8100"]}, 8100),
        ({"args": ["--http-port=8100"]}, 8100),
        ({"env": [{"name": "DYN_HTTP_PORT", "value": "8200"}]}, 8200),
        ({"command": ["bash", "-c"], "args": ["exec python3 -m dynamo.frontend --http-port 8300"]}, 8300),
        ({"image": "nvcr.io/nvidia/ai-dynamo/dynamo-frontend:1.6.1", "command": []}, 8000),
    ],
    ids=["a flag", "a flag with an equals sign", "a variable", "a script", "the image alone"],
)
def test_a_frontends_port_is_read_as_the_frontend_reads_it(changes: dict[str, Any], port: int) -> None:
    (item,) = found(pod(), frontend(**changes)).companions
    assert item.endpoint is not None
    assert item.endpoint.port == port


def test_a_sidecar_beside_an_engine_is_found_and_its_pod_stays_one_replica() -> None:
    both = [dict(CONTAINER), {**FRONTEND, "name": "sidecar-frontend", "args": ["--http-port", "8300"]}]
    fleet = found(pod("web-0", containers=both))
    assert [(item.pod.name, item.container.name) for item in fleet.companions] == [
        ("web-0", "sidecar-frontend")
    ]
    assert [replica.gpus for replica in fleet.replicas] == [8.0]


def test_a_pool_of_frontends_alone_has_no_pods_that_serve() -> None:
    fleet = found(frontend())
    assert fleet.replicas == ()
    assert [problem.reason for problem in fleet.problems] == [FleetReason.NO_PODS]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"spec": {"hostNetwork": True}}, companions.ON_THE_HOST),
        ({"status": {"phase": "Pending"}}, companions.NOT_RUNNING),
        ({"status": {"podIP": ""}}, companions.NO_ADDRESS),
        ({"args": ["--http-port", "$(SOMEWHERE)"]}, companions.NO_PORT),
    ],
    ids=["on the host network", "not running", "without an address", "a port that nobody knows"],
)
def test_a_page_that_may_not_or_can_not_be_read_says_why(changes: dict[str, Any], why: str) -> None:
    (item,) = found(pod(), frontend(**changes)).companions
    assert (item.endpoint, item.why_not) == (None, why)


def test_a_frontend_on_the_host_network_is_read_where_the_factory_allows_it() -> None:
    allowed = Terms(factory=Factory(), telemetry=TelemetryTerms(allow_host_network=True))
    (item,) = found(pod(), frontend(spec={"hostNetwork": True}), terms=allowed).companions
    assert item.endpoint is not None
    assert item.endpoint.node_network


def test_the_pools_own_port_and_path_are_the_engines_not_the_frontends() -> None:
    shelf = Shelf([pod(), frontend()], exporters=[exporter()])
    (item,) = look(pool(metrics_port=9999, metrics_path="/other"), TERMS, shelf).companions
    assert item.endpoint is not None
    assert (item.endpoint.port, item.endpoint.path) == (8000, "/metrics")


def test_a_container_that_only_mentions_a_frontend_and_starts_an_engine_is_an_engine() -> None:
    script = "echo no dynamo.frontend here; exec vllm serve org/model"
    fleet = found(frontend(command=["bash", "-c"], args=[script]))
    assert fleet.companions == ()
    assert [engine.kind.value for engine in fleet.replicas[0].engines] == ["vllm"]


def test_a_candidate_is_no_replica_of_a_fleet_that_is_withheld() -> None:
    fleet = find(pool(), TERMS, Shelf([pod(), frontend()], exporters=[exporter()]))
    assert [replica.pod.name for replica in withhold(fleet, "too many").replicas] == ["web-0"]


def test_past_the_limit_pages_are_not_read_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "MOST", 2)
    fleet = found(pod(), *(frontend(f"front-{number}") for number in range(4)))
    assert [item.endpoint is not None for item in fleet.companions] == [True, True, False, False]
    assert fleet.companions[-1].why_not


CACHE_SERVER: dict[str, Any] = {"image": "lmcache/standalone:v0.5.6", "args": []}


@pytest.mark.parametrize(
    ("command", "port", "says"),
    [
        (["lmcache", "server", "--http-host", "0.0.0.0"], 8080, ""),
        (["/opt/venv/bin/lmcache", "server", "--http-port", "8090"], 8090, "--http-host"),
        (["python3", "-m", "lmcache.v1.multiprocess.server", "--port", "6555"], 9090, ""),
        (["lmcache", "server", "--otlp-endpoint", "http://collector:4317"], None, "--otlp-endpoint"),
        (["lmcache", "server", "--disable-metrics"], None, "--disable-metrics"),
    ],
    ids=["an open page", "a page on loopback", "without a frontend", "pushed", "off"],
)
def test_lmcaches_server_is_found_with_its_page_or_what_stands_in_its_way(
    command: list[str], port: int | None, says: str
) -> None:
    (item,) = found(pod(), frontend(command=command, **CACHE_SERVER)).companions
    assert item.kind is CompanionKind.CACHE_SERVER
    assert (item.endpoint.port if item.endpoint else None) == port
    assert says in item.why_not
    assert bool(item.why_not) == bool(says)


def test_lmcaches_client_commands_are_no_server() -> None:
    assert found(pod(), frontend(command=["lmcache", "ping"], **CACHE_SERVER)).companions == ()


def test_a_frontend_in_the_container_of_its_workers_is_read_beside_them() -> None:
    script = (
        "python3 -m dynamo.frontend --http-port 8100 &\n"
        "DYN_SYSTEM_PORT=9091 python3 -m dynamo.vllm --model m &\n"
        "DYN_SYSTEM_PORT=9093 python3 -m dynamo.vllm --model m &\nwait"
    )
    fleet = found(pod(container={"command": ["bash", "-c", script], "args": [], "ports": []}))
    ports = [engine.endpoint.port for engine in fleet.replicas[0].engines if engine.endpoint]
    assert ports == [9091, 9093]
    (item,) = fleet.companions
    assert item.endpoint is not None
    assert (item.kind, item.endpoint.port) == (CompanionKind.DYNAMO_FRONTEND, 8100)
