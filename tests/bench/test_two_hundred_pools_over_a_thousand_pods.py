"""The operator with 200 pools over 1,000 pods on a real API server: memory, CPU, reads, writes.

One run: the fleet at its full size until the window (300 s) is full, then half of it, so that both sizes are
measured with windows equally full.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.bench import (
    LargeFleet,
    compile_like_the_image,
    cpu_seconds,
    free_fleet,
    memory_mib,
    print_table,
)
from tokenfactory.sandbox.assets import provide_assets
from tokenfactory.sandbox.audit import Audit, AuditEvent
from tokenfactory.sandbox.cluster import Cluster
from tokenfactory.sandbox.operator_process import SERVICE_ACCOUNT, OperatorProcess
from tokenfactory.sandbox.scene import Scene

POOLS = 200
RSS_LIMIT_MIB = 120.0
FULL_WINDOW_SECONDS = 345.0
MEASURED_SECONDS = 60.0
SETTLING_SECONDS = 15.0
READS = frozenset({"get", "list", "watch"})
CYCLES = "tokenfactory_cycle_duration_seconds_count"


@dataclass(frozen=True, slots=True)
class Load:
    """What the operator used over a span."""

    seconds: float
    cpu: float
    cycles: float
    scrapes: float

    @property
    def milliseconds_per_cycle(self) -> float:
        return self.cpu / self.cycles * 1000

    def __str__(self) -> str:
        return (
            f"{self.cpu / self.seconds:.1%} of a core, {self.milliseconds_per_cycle:.2f} ms a pool cycle "
            f"({self.cycles:.0f} cycles, {self.scrapes:.0f} pages in {self.seconds:.0f} s)"
        )


def measure(operator: OperatorProcess, seconds: float) -> Load:
    before = usage(operator)
    time.sleep(seconds)
    after = usage(operator)
    return Load(*(b - a for a, b in zip(before, after, strict=True)))


def usage(operator: OperatorProcess) -> tuple[float, float, float, float]:
    assert operator.process is not None
    page = operator.get("/metrics")[1]
    cpu = cpu_seconds(operator.process.pid)
    return time.monotonic(), cpu, total(page, CYCLES), total(page, "tokenfactory_scrapes_total")


def total(page: str, name: str, label: str = "") -> float:
    """The sum of a family's series whose labels contain `label`."""
    rows = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", page, re.MULTILINE)
    return sum(float(value) for labels, value in rows if label in labels)


@contextmanager
def large_scene(fleet: LargeFleet) -> Iterator[Scene]:
    """A control plane that holds the whole fleet; no operator yet."""
    with fleet.served(), Scene(provide_assets(), (), audit=Audit.METADATA) as scene:
        cluster = scene.cluster
        for namespace in fleet.all_namespaces():
            cluster.add_namespace(namespace)
        in_parallel(cluster.add_node, fleet.nodes())
        in_parallel(cluster.add_pod, fleet.pods())
        in_parallel(cluster.apply, (fleet.pool_body(pool) for pool in range(fleet.pools)))
        yield scene


def halve(cluster: Cluster, scene: Scene, fleet: LargeFleet) -> None:
    """Removes the second half of the pools with their pods."""
    gone = range(fleet.pools // 2, fleet.pools)
    for namespace in fleet.all_namespaces()[:-1]:
        names = [fleet.pool_name(pool) for pool in gone if fleet.namespace(pool) == namespace]
        scene.kubectl("delete", "inferencepools.tokenfactory.dev", f"--namespace={namespace}", *names)
    pods = tuple(fleet.pods())
    in_parallel(lambda pod: cluster.remove_pod(pod.namespace, pod.name), pods[len(pods) // 2 :])


def in_parallel(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(work, items):
            pass


def requests(events: Iterable[AuditEvent]) -> Counter[str]:
    """The operator's own requests as "verb resource", its Lease left out."""
    return Counter(
        f"{event.verb} {event.resource or event.path}"
        for event in events
        if SERVICE_ACCOUNT in event.user and event.resource != "leases"
    )


def reads_of(counted: Counter[str]) -> int:
    return sum(count for what, count in counted.items() if what.split()[0] in READS)


def writes_of(counted: Counter[str]) -> int:
    return sum(count for what, count in counted.items() if what.split()[0] not in READS)


@pytest.mark.bench
@pytest.mark.controlplane
def test_two_hundred_pools_over_a_thousand_pods_cost_little_and_write_nothing_when_quiet() -> None:
    compile_like_the_image()
    fleet = free_fleet(POOLS)
    with large_scene(fleet) as scene:
        started = time.monotonic()
        operator = scene.start_operator()
        assert operator.process is not None
        pid = operator.process.pid
        ready = time.monotonic() - started
        scene.wait_for("every pool cycled", lambda: usage(operator)[2] >= POOLS, seconds=60)
        cycled, start_cpu = time.monotonic() - started, cpu_seconds(pid)
        at_start = requests(scene.plane.audit_events())
        trail = []
        while time.monotonic() - started < FULL_WINDOW_SECONDS:
            time.sleep(15)
            trail.append(f"{memory_mib(pid):.0f}/{writes_of(requests(scene.plane.audit_events()))}")
        print("MiB/writes every 15 s:", *trail)
        before = scene.plane.audit_events()
        whole = measure(operator, MEASURED_SECONDS)
        quiet = requests(scene.plane.audit_events()) - requests(before)
        resident, most = memory_mib(pid), memory_mib(pid, "VmHWM")
        page = operator.get("/metrics")[1]
        halve(scene.cluster, scene, fleet)
        time.sleep(SETTLING_SECONDS)
        half = measure(operator, MEASURED_SECONDS)
        growth = whole.milliseconds_per_cycle / half.milliseconds_per_cycle
    print_table(
        f"{POOLS} pools, {fleet.pod_count} pods, one exporter for eight GPUs, windows of 300 s",
        {
            "resident memory": f"{resident:.0f} MiB, at most {most:.0f} MiB",
            "ready after": f"{ready:.1f} s; every pool cycled after {cycled:.1f} s and {start_cpu:.1f} s CPU",
            "API reads until then": f"{reads_of(at_start)}: {describe(at_start)}",
            "its own count of requests": f"{total(page, 'tokenfactory_api_requests_total'):.0f}",
            f"requests in a quiet {MEASURED_SECONDS:.0f} s": describe(quiet) or "none",
            f"{POOLS} pools": str(whole),
            f"{POOLS // 2} pools": str(half),
            "a pool cycle at twice the fleet": f"{growth:.2f}x",
            "own /metrics": f"{page.count(chr(10))} lines, {len(page) / 1024:.0f} KiB",
        },
    )
    assert total(page, "tokenfactory_internal_errors_total") == 0
    assert total(page, "tokenfactory_scrapes_total") == total(page, "tokenfactory_scrapes_total", '"ok"')
    assert reads_of(at_start) <= 60
    assert writes_of(quiet) == 0
    assert most <= RSS_LIMIT_MIB
    assert growth <= 1.3


def describe(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counted.items()))
