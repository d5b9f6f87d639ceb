"""The replayed fleet's metrics pages, each on the loopback address of its pod."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

T = TypeVar("T")
Render = Callable[[float], str | bytes]
"""Renders a page at a Unix time."""


@dataclass(slots=True)
class Station:
    """One served page. `failing` answers 503, `requests` counts what was asked."""

    ip: str
    port: int
    render: Render
    failing: bool = False
    requests: int = 0


def pick_network() -> int:
    """A number N such that 127.N.0.0/16 and the next network are not in use by another sandbox."""
    for number in random.sample(range(10, 250, 2), k=120):
        try:
            with (
                socket.create_server((f"127.{number}.0.2", 8000)),
                socket.create_server((f"127.{number + 1}.0.2", 9400)),
            ):
                return number
        except OSError:
            continue
    raise OSError("no free loopback network for the replayed fleet")


class Site:
    """Serves any number of stations from one thread of its own. Use as a context manager.

    Every station listens on its own (ip, port); `clock` is the sandbox's time, by which pages advance.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox-site", daemon=True)
        self._running: dict[tuple[str, int], web.AppRunner] = {}
        self.stations: dict[tuple[str, int], Station] = {}

    def __enter__(self) -> Site:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for key in tuple(self._running):
            self.remove(*key)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def add(self, ip: str, port: int, render: Render) -> Station:
        """Starts serving `render` at http://ip:port/metrics. Raises OSError when the address is taken."""
        station = Station(ip, port, render)
        self.stations[ip, port] = station
        self._running[ip, port] = self._call(self._start(station))
        return station

    def remove(self, ip: str, port: int) -> None:
        """Stops listening: connections are then refused."""
        runner = self._running.pop((ip, port), None)
        self.stations.pop((ip, port), None)
        if runner is not None:
            self._call(runner.cleanup())

    async def _start(self, station: Station) -> web.AppRunner:
        async def metrics(_: web.Request) -> web.Response:
            station.requests += 1
            if station.failing:
                return web.Response(status=503)
            page = station.render(self._clock())
            body = page.encode() if isinstance(page, str) else page
            return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})

        application = web.Application()
        application.router.add_get("/metrics", metrics)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, station.ip, station.port).start()
        return runner

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)
