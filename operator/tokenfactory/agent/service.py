"""The agent's process: a sample each interval, /metrics and /healthz. Nothing else is served."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tokenfactory.agent.kubelet import Kubelet
from tokenfactory.agent.nvml import Nvml
from tokenfactory.agent.sampler import Sampler
from tokenfactory.agent.settings import AgentSettings

STALE_AFTER_INTERVALS = 3.0
LEAST_STALE_SECONDS = 10.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Shelf:
    """The newest page. An old one is not served: a driver that hangs must not look like a steady GPU."""

    stale_after: float
    clock: Callable[[], float]
    page: bytes = b""
    at: float | None = None

    def put(self, page: bytes) -> None:
        self.page, self.at = page, self.clock()

    @property
    def problem(self) -> str:
        """Why there is no page to serve; empty when there is one."""
        if self.at is None:
            return "no sample yet"
        if self.clock() - self.at > self.stale_after:
            return "the last sample is too old: the driver or the kubelet does not answer"
        return ""


async def run_agent(settings: AgentSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises DriverMissing, and OSError on a taken port."""
    stale_after = max(LEAST_STALE_SECONDS, STALE_AFTER_INTERVALS * settings.interval_seconds)
    shelf = Shelf(stale_after, time.monotonic)
    with Nvml() as nvml:
        kubelet = None
        if settings.pod_resources_socket:
            kubelet = Kubelet(
                settings.pod_resources_socket, ignored_claim_namespaces=settings.ignored_claim_namespaces
            )
        sampler = Sampler(
            nvml, kubelet, node_name=settings.node_name or socket.gethostname(), clock=time.monotonic
        )
        runner = await serve(shelf, settings.bind_address, settings.port)
        try:
            await _until_stopped(_sample_for_ever(sampler, shelf, settings.interval_seconds))
        finally:
            await runner.cleanup()


async def serve(shelf: Shelf, address: str, port: int) -> web.AppRunner:
    """Starts the server; the caller cleans the runner up. Raises OSError on a taken port."""

    async def metrics(_: web.Request) -> web.Response:
        if shelf.problem:
            return web.Response(status=500, text=shelf.problem)
        return web.Response(body=shelf.page, headers={"Content-Type": METRICS_TYPE})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(status=503 if shelf.problem else 200, text=shelf.problem or "ok")

    application = web.Application(client_max_size=1024)
    application.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz)])
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=75.0)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    return runner


async def _sample_for_ever(sampler: Sampler, shelf: Shelf, interval: float) -> None:
    while True:
        started = shelf.clock()
        shelf.put(await asyncio.to_thread(sampler.sample))
        await asyncio.sleep(max(0.0, interval - (shelf.clock() - started)))


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Awaits `work`, or SIGTERM or SIGINT: then it is cancelled."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
