"""What the benchmarks share: a large fleet laid out by numbers, processes measured from the outside."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenfactory.sandbox.objects import EXPORTER_NAMESPACE, Body, GpuNode, ServingPod
from tokenfactory.sandbox.servers import pick_port
from tokenfactory.sandbox.site import pick_network

ROOT = Path(__file__).parents[2]
PRODUCT = "NVIDIA-H200"
PODS_PER_POOL = 5
GPUS_PER_NODE = 8
MIB = 1024 * 1024
STARTED_AT = 1_700_000_000.0
"""When the fleet's engines started (Unix seconds): a fixed moment, so that everybody computes the same."""


@dataclass(frozen=True, slots=True)
class LargeFleet:
    """Pools of five pods with one GPU each, eight of them on a node with an exporter.

    Every pool runs a model of its own, so that no two pools share a label text. Pods live in
    127.<network>.0.0/16 on `port`, exporters in the next one on their usual port.
    """

    pools: int
    port: int
    network: int
    namespaces: int = 10

    @property
    def pod_count(self) -> int:
        return self.pools * PODS_PER_POOL

    def pool_name(self, pool: int) -> str:
        return f"pool-{pool:03d}"

    def namespace(self, pool: int) -> str:
        return f"team-{pool % self.namespaces}"

    def model(self, pool: int) -> str:
        """A name of the length that makes the page of a pod 52 KB long."""
        return f"qwen3-32b-{pool:03d}"

    def nodes(self) -> Iterator[GpuNode]:
        for number in range(-(-self.pod_count // GPUS_PER_NODE)):
            yield GpuNode(
                name=f"gpu-node-{number:03d}",
                product=PRODUCT,
                gpus=GPUS_PER_NODE,
                exporter_ip=_address(self.network + 1, number),
            )

    def pods(self) -> Iterator[ServingPod]:
        for number in range(self.pod_count):
            pool = number // PODS_PER_POOL
            yield ServingPod(
                name=f"{self.pool_name(pool)}-{number % PODS_PER_POOL}",
                namespace=self.namespace(pool),
                node=f"gpu-node-{number // GPUS_PER_NODE:03d}",
                ip=_address(self.network, number),
                gpus=1,
                port=self.port,
                labels={"app": self.pool_name(pool), "pod-template-hash": f"{pool:010d}"},
                args=(f"--model={self.model(pool)}", "--max-model-len=32768", "--enable-prefix-caching"),
                started_at=STARTED_AT,
            )

    def pool_body(self, pool: int) -> Body:
        return {
            "apiVersion": "tokenfactory.dev/v1alpha1",
            "kind": "InferencePool",
            "metadata": {"name": self.pool_name(pool), "namespace": self.namespace(pool)},
            "spec": {
                "selector": {"matchLabels": {"app": self.pool_name(pool)}},
                "optimizations": [{"name": "KVCacheOffloading", "policy": "Preferred"}],
            },
        }

    def all_namespaces(self) -> tuple[str, ...]:
        names = {self.namespace(pool) for pool in range(self.pools)}
        return (*sorted(names), EXPORTER_NAMESPACE)

    @contextlib.contextmanager
    def served(self) -> Iterator[subprocess.Popen[bytes]]:
        """Every page of the fleet, from one process of its own (tests/bench/station.py)."""
        arguments = [str(number) for number in (self.pools, self.port, self.network)]
        with child("tests.bench.station", *arguments) as station:
            assert station.stdout is not None
            assert station.stdout.readline() == b"serving\n"
            yield station

    def requests_by_client(self) -> dict[str, int]:
        """How many pages the station gave, by the first word of the User-Agent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/requests")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        return {name: int(count) for name, _, count in (line.rpartition(" ") for line in lines)}


def free_fleet(pools: int) -> LargeFleet:
    """A fleet on a port and in a network that nobody has."""
    return LargeFleet(pools, pick_port(), pick_network())


@contextlib.contextmanager
def child(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m module` as a process that ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def compile_like_the_image() -> None:
    """Bytecode of the product and its libraries beside them, as operator/Dockerfile makes it.

    Else a process that may not write bytecode compiles all of it at each start, and keeps some of that heap.
    """
    trees = (sysconfig.get_path("purelib"), str(ROOT / "operator" / "tokenfactory"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "0", *trees], check=True)


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of a process with all its threads (/proc/<pid>/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """`VmRSS` (resident now) or `VmHWM` (the most so far), in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / MIB
    raise KeyError(field)


def print_table(title: str, rows: dict[str, str]) -> None:
    """Two columns under a title."""
    width = max(map(len, rows))
    print(f"\n{title}")
    for name, value in rows.items():
        print(f"  {name:<{width}}  {value}")


def _address(network: int, number: int) -> str:
    return f"127.{network}.{number // 200}.{number % 200 + 1}"
