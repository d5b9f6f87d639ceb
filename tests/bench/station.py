"""Serves every metrics page of a LargeFleet, cheaply: `python -m tests.bench.station 200 9000 40`.

The counters advance with the clock at rates that are the same for every pod; a page is rendered ten times a
second at most and then shared by all who ask. Which page is meant, the address that was connected to tells.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop

from tests.support.bench import GPUS_PER_NODE, PODS_PER_POOL, PRODUCT, STARTED_AT, LargeFleet
from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.exporter_page import Board, render_exporter_page
from tokenfactory.sandbox.workload import Odometer, Workload

IDLE_SECONDS = 5.0
"""After so long without a request the connection is closed, as uvicorn does, which serves vLLM's pages."""
WORKLOAD = Workload(
    model="MODEL",
    uncached_input=420.0,
    cached_input=146.4,
    output=180.0,
    requests=1.2,
    concurrency=4.5,
    time_to_first_token=0.35,
    inter_token_latency=0.025,
)
Render = Callable[[int], bytes]


class Pages:
    """Pages by the tenth of a second, counters rising from the fleet's common start."""

    def __init__(self, fleet: LargeFleet) -> None:
        self.render: dict[str, Callable[[], bytes]] = {}
        self._pods = tuple(fleet.pods())
        for number, pod in enumerate(self._pods):
            self.render[pod.ip] = partial(self._engine, fleet.model(number // PODS_PER_POOL).encode())
        for number, node in enumerate(fleet.nodes()):
            self.render[node.exporter_ip] = partial(self._exporter, number)
        self._odometer = Odometer(WORKLOAD, started_at=STARTED_AT)
        self._at = -1
        self._template = b""

    def _engine(self, model: bytes) -> bytes:
        at = int(time.time() * 10)
        if at != self._at:
            self._at = at
            self._template = render_engine_page(self._odometer, now=at / 10).encode()
        return self._template.replace(b"MODEL", model)

    def _exporter(self, node: int) -> bytes:
        return render_exporter_page(self._boards(node), elapsed=time.time() - STARTED_AT).encode()

    def _boards(self, node: int) -> tuple[Board, ...]:
        pods = self._pods[node * GPUS_PER_NODE : (node + 1) * GPUS_PER_NODE]
        return tuple(
            Board(
                node=pod.node,
                index=index,
                product=PRODUCT,
                pod=pod.name,
                namespace=pod.namespace,
                container="vllm",
                watts=525.0,
                busy_percent=92.0,
                tensor_active=0.23,
                memory_used_mib=130000.0,
            )
            for index, pod in enumerate(pods)
        )


class Station(asyncio.Protocol):
    """Enough HTTP/1.1 for clients that ask for one page at a time over a kept connection."""

    def __init__(self, pages: Pages, requests: Counter[str]) -> None:
        self._pages = pages
        self._requests = requests
        self._transport: asyncio.Transport
        self._ip = ""
        self._pending = b""
        self._hanging_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ip = transport.get_extra_info("sockname")[0]
        if not transport.get_extra_info("peername")[0].startswith("127."):
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._hanging_up is not None:
            self._hanging_up.cancel()

    def data_received(self, data: bytes) -> None:
        if self._hanging_up is not None:
            self._hanging_up.cancel()
        self._pending += data
        while b"\r\n\r\n" in self._pending:
            head, _, self._pending = self._pending.partition(b"\r\n\r\n")
            self._answer(head)
        self._hanging_up = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._transport.close)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"GET /requests "):
            body = "\n".join(f"{name} {count}" for name, count in self._requests.items()).encode()
        else:
            body = self._pages.render[self._ip]()
            lines = head.decode().lower().splitlines()
            agent = next((line[11:].strip() for line in lines if line.startswith("user-agent:")), "")
            self._requests[agent.partition("/")[0]] += 1
        kind = b"text/plain; version=0.0.4; charset=utf-8"
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)
        )


async def serve(fleet: LargeFleet) -> None:
    pages, requests = Pages(fleet), Counter[str]()
    loop, exporters = asyncio.get_running_loop(), tuple(fleet.nodes())
    ips = [node.exporter_ip for node in exporters]
    await loop.create_server(lambda: Station(pages, requests), ips, exporters[0].exporter_port)
    server = await loop.create_server(lambda: Station(pages, requests), "0.0.0.0", fleet.port, backlog=2048)
    print("serving", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pools, port, network = (int(argument) for argument in sys.argv[1:4])
    uvloop.run(serve(LargeFleet(pools, port, network)))
