"""What stands in front of a Prometheus in production: TLS, a bearer token, a tenant, and bad days."""

from __future__ import annotations

import asyncio
import enum
import ssl
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import trustme
from aiohttp import web

from tokenfactory.runtime.credentials import CA_FILE, TOKEN_FILE
from tokenfactory.sandbox.servers import LOOPBACK, pick_port

T = TypeVar("T")
PREFIX = "/prometheus"
CREDENTIAL = "prometheus"
SLOW_SECONDS = 6.0
"""More than the operator waits for any answer."""


class Mood(enum.Enum):
    """How the gate answers those whom it lets in."""

    OPEN = "open"
    SLOW = "slow"
    FAILING = "failing"


class Gate:
    """A TLS reverse proxy. It asks for `token` (else 401) and `tenant` (else 403), and keeps every query.

    Use as a context manager. `credentials` is a folder as the operator's Deployment mounts it.
    """

    def __init__(self, folder: Path, upstream: str, *, token: str, tenant: str) -> None:
        self._upstream = upstream
        self._token = token
        self._tenant = tenant
        self._authority = trustme.CA()
        self._port = pick_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gate", daemon=True)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.mood = Mood.OPEN
        self.queries: list[str] = []
        self.url = f"https://{LOOPBACK}:{self._port}{PREFIX}"
        self.credentials = folder / "credentials"
        self.mount(token=token)

    def __enter__(self) -> Gate:
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def mount(self, *, token: str = "", authority: bytes = b"") -> None:
        """What the Secret holds from now on; the gate's own token and CA where nothing is given."""
        mounted = self.credentials / CREDENTIAL
        mounted.mkdir(parents=True, exist_ok=True)
        (mounted / TOKEN_FILE).write_text(f"{token or self._token}\n")
        (mounted / CA_FILE).write_bytes(authority or self._authority.cert_pem.bytes())

    async def _open(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(LOOPBACK).configure_cert(context)
        application = web.Application()
        application.router.add_post(f"{PREFIX}/api/v1/query", self._answer)
        self._session = aiohttp.ClientSession()
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self._port, ssl_context=context).start()

    async def _close(self) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(status=401)
        if request.headers.get("X-Scope-OrgID") != self._tenant:
            return web.Response(status=403)
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.queries.append(form["query"])
        if self.mood is Mood.SLOW:
            await asyncio.sleep(SLOW_SECONDS)
        if self.mood is Mood.FAILING:
            return web.Response(status=503)
        return await self._pass_on(form)

    async def _pass_on(self, form: dict[str, str]) -> web.Response:
        assert self._session is not None
        try:
            async with self._session.post(f"{self._upstream}/api/v1/query", data=form) as answer:
                body = await answer.read()
                return web.Response(status=answer.status, body=body, content_type=answer.content_type)
        except aiohttp.ClientError:
            return web.Response(status=502)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)
