"""/metrics, /healthz and /readyz of the operator. Read-only, nothing else is served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Probes:
    """What the endpoints answer from. A probe returns the problem, or an empty text when all is well."""

    metrics: Callable[[], bytes]
    alive: Callable[[], str]
    ready: Callable[[], str]


METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def serve(probes: Probes, address: str, port: int) -> web.AppRunner:
    """Starts the server; the caller calls `cleanup()` on the runner. Raises OSError on a taken port."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=probes.metrics(), headers={"Content-Type": METRICS_TYPE})

    async def healthz(_: web.Request) -> web.Response:
        return _answer(probes.alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(probes.ready())

    application = web.Application()
    application.add_routes(
        [web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    return runner


def _answer(problem: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text=problem or "ok")
