"""Composition: the only place where the rooms are put together into a running operator."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import kopf
import structlog
from prometheus_client import CollectorRegistry

from tokenfactory.cycle import Line
from tokenfactory.discovery.nodes import project_node
from tokenfactory.discovery.pods import project_pod
from tokenfactory.model import Node, Pod, PoolKey
from tokenfactory.publishing.alertmanager import Alertmanager
from tokenfactory.publishing.metrics import PoolMetrics, exposition
from tokenfactory.publishing.operator_metrics import OperatorMetrics
from tokenfactory.runtime import http
from tokenfactory.runtime.admission import serve_guard
from tokenfactory.runtime.alerting import Alerting
from tokenfactory.runtime.archive import Archive
from tokenfactory.runtime.asking import ClosingAsker, LateAsker
from tokenfactory.runtime.claims import ClusterClaims
from tokenfactory.runtime.configmaps import ClusterConfigMaps
from tokenfactory.runtime.counted import CountedCollector
from tokenfactory.runtime.credentials import MountedCredentials
from tokenfactory.runtime.desk import Desk
from tokenfactory.runtime.election import Elector
from tokenfactory.runtime.handlers import operator_settings, register
from tokenfactory.runtime.informer import Informer
from tokenfactory.runtime.inventory import Inventory, NodeStore, PodStore
from tokenfactory.runtime.kube import Collection, Kube, connect
from tokenfactory.runtime.memory import give_back_now_and_then, share_arenas
from tokenfactory.runtime.poolrefs import GatewayPools
from tokenfactory.runtime.presence import Sweeper, wait_for_resources
from tokenfactory.runtime.publisher import Publisher, Writer
from tokenfactory.runtime.rollup import Rollup
from tokenfactory.runtime.settings import Settings
from tokenfactory.runtime.sources import Sources
from tokenfactory.runtime.tending import Tending, TendingLimits
from tokenfactory.telemetry.address import AddressRules, LoopbackPolicy
from tokenfactory.telemetry.collect import Collector
from tokenfactory.telemetry.fetch import Fetcher
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.limits import FetchLimits, QueryLimits
from tokenfactory.telemetry.opencost import OpenCost
from tokenfactory.telemetry.recorded import Library, RecordedCollector

RUNNING_PODS = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}


@dataclass(slots=True)
class Operator:
    """Everything that lives as long as the process does."""

    settings: Settings
    kube: Kube
    desk: Desk
    metrics: OperatorMetrics
    pool_metrics: PoolMetrics
    pods: Informer[Pod]
    nodes: Informer[Node]
    inventory: Inventory
    fetcher: Fetcher
    asker: LateAsker
    elector: Elector | None
    identity: str
    kopf_ready: asyncio.Event
    sweeper: Sweeper
    tending: Tending | None = None

    async def lead(self) -> None:
        """One term of leadership: waits for the informers, then tends the pools until cancelled."""
        await self.pods.synced.wait()
        await self.nodes.synced.wait()
        await self.kopf_ready.wait()
        self.metrics.set_leader(1)
        writer = Writer(self.kube, self.metrics, clock=time.time)
        alerting = self._compose_alerting()
        publisher = Publisher(
            self.kube,
            self.desk,
            writer,
            self.pool_metrics,
            alerting,
            clock=time.time,
            instance=self.identity,
        )
        line = Line(
            self.inventory,
            self._sources(),
            GatewayPools(self.kube),
            ClusterConfigMaps(self.kube, clock=time.time),
            ClusterClaims(self.kube, clock=time.time),
            clock=time.time,
            watch=self.metrics,
        )
        archive = Archive(self.kube, self.settings.lease_namespace, clock=time.time)
        await archive.load()
        self.tending = Tending(
            self.desk,
            line,
            publisher,
            Rollup(self.desk, writer, self.asker.standing, clock=time.time),
            self.metrics,
            past=archive,
            clock=time.time,
            limits=TendingLimits(
                concurrent=self.settings.concurrent_cycles,
                pools_per_namespace=self.settings.max_pools_per_namespace,
                targets=self.settings.max_targets,
            ),
        )
        posting = asyncio.ensure_future(alerting.run())
        try:
            async with asyncio.TaskGroup() as term:
                term.create_task(archive.run(self.tending.memories))
                term.create_task(self.tending.run())
        finally:
            posting.cancel()
            self.tending = None
            self.metrics.set_leader(0)
            await asyncio.gather(posting, return_exceptions=True)

    def _compose_alerting(self) -> Alerting:
        credentials = MountedCredentials(Path(self.settings.credentials_directory))
        return Alerting(lambda terms: Alertmanager(terms, credentials), self.metrics, clock=time.time)

    def _sources(self) -> Sources:
        layouts = Layouts()
        library = Library(self.asker, monotonic=time.monotonic, wall=time.time)
        return Sources(
            CountedCollector(Collector(self.fetcher, layouts=layouts), self.metrics),
            lambda terms: CountedCollector(RecordedCollector(library, terms, layouts=layouts), self.metrics),
            OpenCost(self.asker, monotonic=time.monotonic),
        )

    def page(self) -> bytes:
        """/metrics."""
        for informer in (self.pods, self.nodes):
            age = informer.age()
            if age is not None:
                self.metrics.set_informer_age(informer.resource, age)
        if self.tending is not None:
            self.metrics.set_last_sweep(self.tending.scheduler.last_sweep())
        return exposition(self.metrics.registry)

    def explain(self, namespace: str, pool: str) -> dict[str, Any] | None:
        """/explain: None on a standby, and for a pool without numbers."""
        return self.tending.explain(PoolKey(namespace, pool)) if self.tending is not None else None

    def alive(self) -> str:
        """/healthz: a leader whose last complete sweep is older than three intervals is not alive."""
        overdue = self.tending.scheduler.overdue() if self.tending is not None else ()
        return f"{len(overdue)} pools were not cycled for three intervals" if overdue else ""

    def ready(self) -> str:
        """/readyz: informers synced, leader or standby alike."""
        waiting = [informer.resource for informer in (self.pods, self.nodes) if not informer.synced.is_set()]
        if not self.kopf_ready.is_set():
            waiting.append("inferencepools")
        return f"waiting for {', '.join(waiting)}" if waiting else ""


async def operate(settings: Settings) -> None:
    """Runs the operator until SIGTERM or SIGINT. Raises Unavailable when there is nothing to connect to."""
    share_arenas()
    log = structlog.get_logger("operator")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        operator = await _compose(settings, stack)
        runner = await http.serve(
            http.Probes(metrics=operator.page, alive=operator.alive, ready=operator.ready),
            settings.bind_address,
            settings.port,
        )
        stack.push_async_callback(runner.cleanup)
        explaining = await http.serve_explanations(operator.explain, settings.explain_port)
        stack.push_async_callback(explaining.cleanup)
        log.info("starting", version=version("tokenfactory-operator"), identity=operator.identity)
        await _run_until(stop, operator)
        log.info("stopped")


async def _run_until(stop: asyncio.Event, operator: Operator) -> None:
    """Runs every part; the first that fails ends all, and so does `stop`. Raises what the part raised."""
    parts = [
        asyncio.ensure_future(work)
        for work in (
            operator.pods.run(),
            operator.nodes.run(),
            _watch_resources(operator),
            give_back_now_and_then(),
            operator.elector.run(operator.lead) if operator.elector is not None else operator.lead(),
        )
    ]
    stopped = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({stopped, *parts}, return_when=asyncio.FIRST_COMPLETED)
        for part in done - {stopped}:
            part.result()
    finally:
        for part in (*parts, stopped):
            part.cancel()
        await asyncio.gather(*parts, stopped, return_exceptions=True)


async def _watch_resources(operator: Operator) -> None:
    """kopf, once the CRDs are there; ends with an error when they vanish."""
    await wait_for_resources(operator.kube)
    registry = kopf.OperatorRegistry()
    register(registry, operator.desk, operator.kube)
    options = operator_settings()
    if serve_guard(registry, options, operator.desk, operator.settings):
        structlog.get_logger("operator").info("guarding workloads", port=operator.settings.guard_port)
    await operator.sweeper.list_into_desk()
    operator.kopf_ready.set()
    watching = asyncio.ensure_future(
        kopf.operator(
            identity=cast(Any, operator.identity),
            registry=registry,
            settings=options,
            clusterwide=True,
            standalone=True,
        )
    )
    sweeping = asyncio.ensure_future(operator.sweeper.run())
    try:
        done, _ = await asyncio.wait({watching, sweeping}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        watching.cancel()
        sweeping.cancel()
        await asyncio.gather(watching, sweeping, return_exceptions=True)


async def _compose(settings: Settings, stack: AsyncExitStack) -> Operator:
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry, version=version("tokenfactory-operator"))
    kube = await _connect(settings, metrics, stack)
    pods, nodes, desk = PodStore(), NodeStore(), Desk()
    identity = settings.identity or f"{socket.gethostname()}_{secrets.token_hex(4)}"
    sweeper = Sweeper(kube, desk, page_size=settings.page_size)
    pod_parameters: Mapping[str, str] = {
        **RUNNING_PODS,
        **({"labelSelector": settings.pod_selector} if settings.pod_selector else {}),
    }
    fetcher = await stack.enter_async_context(
        Fetcher(
            limits=FetchLimits(),
            rules=address_rules(settings, kube.server),
            wall=time.time,
            monotonic=time.monotonic,
        )
    )
    asker = LateAsker(partial(prometheus, settings), monotonic=time.monotonic)
    stack.callback(asker.close)
    return Operator(
        settings=settings,
        kube=kube,
        desk=desk,
        metrics=metrics,
        pool_metrics=PoolMetrics(registry),
        pods=Informer(
            kube,
            Collection("/api/v1", "pods"),
            pods,
            project=project_pod,
            parameters=pod_parameters,
            page_size=settings.page_size,
            on_return=sweeper.hurry,
        ),
        nodes=Informer(
            kube,
            Collection("/api/v1", "nodes"),
            nodes,
            project=project_node,
            parameters={},
            page_size=settings.page_size,
        ),
        inventory=Inventory(pods, nodes),
        fetcher=fetcher,
        asker=asker,
        elector=(
            Elector(
                await _connect(settings, metrics, stack),
                settings.lease_namespace,
                settings.lease_name,
                identity=identity,
            )
            if settings.election == "lease"
            else None
        ),
        identity=identity,
        kopf_ready=asyncio.Event(),
        sweeper=sweeper,
    )


async def _connect(settings: Settings, metrics: OperatorMetrics, stack: AsyncExitStack) -> Kube:
    """A client with connections of its own. The elector has one: no burst of requests delays a Lease."""
    kube = Kube(await connect(settings.kubeconfig, settings.context), metrics)
    stack.push_async_callback(kube.close)
    return kube


def prometheus(settings: Settings) -> ClosingAsker:
    """What asks a Prometheus. Imported only now: an operator that reads pages itself never pays for it."""
    from tokenfactory.telemetry.promql import Prometheus

    credentials = MountedCredentials(Path(settings.credentials_directory))
    return Prometheus(credentials, wall=time.time, limits=QueryLimits())


def address_rules(settings: Settings, api_server: str) -> AddressRules:
    """What may be scraped: never a denied network or the API server; loopback only in the sandbox."""
    return AddressRules(
        denied_endpoints=endpoints_of(api_server),
        denied_networks=tuple(ip_network(network) for network in settings.denied_networks),
        loopback=(LoopbackPolicy.SANDBOX if settings.loopback == "sandbox" else LoopbackPolicy.REFUSED),
    )


def endpoints_of(url: str) -> tuple[tuple[IPv4Address | IPv6Address, int], ...]:
    """The address and port of a URL whose host is an IP literal; empty for a name."""
    parts = urlsplit(url)
    try:
        return ((ip_address(parts.hostname or ""), parts.port or 443),)
    except ValueError:
        return ()
