"""/metrics, /healthz and /readyz of the operator, and /explain on loopback. Read-only, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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


Explain = Callable[[str, str], dict[str, Any] | None]
LOOPBACK = "127.0.0.1"


async def serve_explanations(explain: Explain, port: int) -> web.AppRunner:
    """/explain?namespace=&pool= on this pod's own loopback: who may forward its ports may read it.

    It names pods and prices of all namespaces, so no other pod of the cluster reaches it. The caller calls
    `cleanup()` on the runner. Raises OSError on a taken port.
    """

    async def answer(request: web.Request) -> web.Response:
        namespace, pool = request.query.get("namespace", ""), request.query.get("pool", "")
        found = explain(namespace, pool)
        if found is None:
            return web.Response(status=404, text="this replica has no numbers of such a pool")
        return web.json_response(found)

    application = web.Application()
    application.add_routes([web.get("/explain", answer)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    return runner


def _answer(problem: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text=problem or "ok")
