"""Bounded HTTP for metrics pages: the only HTTP client that a scrape uses.

Every server is hostile: time, bytes, headers and redirects are capped, nothing secret is ever sent, and
whatever goes wrong comes back as a Failure. Compressed pages are not asked for (rendering them would cost
the engine more than it saves inside a cluster); a server that compresses all the same is read within limits.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self

from aiohttp import ClientConnectionError, ClientError, ClientPayloadError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

from tokenfactory.model import Endpoint, Failure, FailureReason
from tokenfactory.ports import Page
from tokenfactory.telemetry.address import AddressRules, Reach, refuse, refuse_path
from tokenfactory.telemetry.limits import KIB, FetchLimits
from tokenfactory.telemetry.shelf import Shelf
from tokenfactory.telemetry.slots import Slots
from tokenfactory.telemetry.unpack import Refused, Unpacker

_HEADERS = "Accept: text/plain;version=0.0.4\r\nAccept-Encoding: identity\r\nUser-Agent: tokenfactory\r\n"


class Fetcher:
    """Fetches metrics pages; fills ports.PageSource. Use it as an async context manager, in one event loop.

    `wall` gives Unix seconds and stamps pages, `monotonic` gives seconds for the age of shared pages.
    """

    def __init__(
        self,
        *,
        limits: FetchLimits,
        rules: AddressRules,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._wall = wall
        self._slots = Slots(limits)
        self._shelf = Shelf(limits, monotonic)
        self._flights: dict[Endpoint, asyncio.Task[Page | Failure]] = {}
        self._rules = rules
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        flights = tuple(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        self._open = False

    async def page(self, endpoint: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
        """The endpoint's page, at most `max_age` seconds old, shared by all who ask within that time.

        One that is being fetched already is waited for. Failures are shared like pages. With a `max_age` of
        zero nothing is kept: the pages of a large fleet would fill the shelf and nobody would ask for them.
        """
        held = self._shelf.find(endpoint, max_age) if max_age > 0 else None
        if held is not None:
            return held
        flight = self._flights.get(endpoint)
        if flight is None:
            flight = asyncio.create_task(self._fly(endpoint, max_age=max_age, timeout=timeout))
            self._flights[endpoint] = flight
            flight.add_done_callback(lambda _: self._flights.pop(endpoint, None))
        return await asyncio.shield(flight)

    async def fetch(self, endpoint: Endpoint, *, timeout: float) -> Page | Failure:
        """A page fetched now. `timeout` in seconds counts from the free slot on; the limits may shorten it.

        Raises RuntimeError when used outside `async with`.
        """
        if not self._open:
            raise RuntimeError("the fetcher is not open")
        refused = self._refuse(endpoint)
        if refused is not None:
            return self._fail(FailureReason.ADDRESS_REFUSED, refused)
        async with self._slots.take(endpoint.namespace):
            try:
                async with asyncio.timeout(min(timeout, self._limits.deadline_seconds)):
                    return await self._get(endpoint)
            except Refused as failure:
                return self._fail(failure.reason, failure.detail)
            except TimeoutError:
                return self._fail(FailureReason.TIMED_OUT, "no complete answer in time")
            except (_NotConnected, ClientError, HttpProcessingError, OSError, ValueError) as error:
                return self._fail(*_explain(error))

    async def _fly(self, endpoint: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
        result = await self.fetch(endpoint, timeout=timeout)
        if max_age > 0:
            self._shelf.put(endpoint, result)
        return result

    async def _get(self, endpoint: Endpoint) -> Page:
        async with _open(endpoint, limits=self._limits, rules=self._rules) as answer:
            at = self._wall()
            _refuse_answer(answer, self._limits)
            body = await _read_body(answer, self._limits)
        if not body:
            raise Refused(FailureReason.EMPTY_PAGE, "the answer has no body")
        return Page(body, at)

    def _refuse(self, endpoint: Endpoint) -> str | None:
        reach = Reach.NODE if endpoint.node_network else Reach.POD
        return refuse(endpoint.ip, endpoint.port, self._rules, reach=reach) or refuse_path(endpoint.path)

    def _fail(self, reason: FailureReason, detail: str) -> Failure:
        return Failure(at=self._wall(), reason=reason, detail=detail)


class _NotConnected(Exception):
    """No connection came about; the text is the error's symbol, such as ECONNREFUSED."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """Status and headers of an answer, and its body, which is still to be read."""

    status: int
    headers: Mapping[str, str]
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: StreamReader

    @property
    def content_length(self) -> int | None:
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() else None


@asynccontextmanager
async def _open(endpoint: Endpoint, *, limits: FetchLimits, rules: AddressRules) -> AsyncIterator[_Answer]:
    """The answer to a GET; the connection ends with the block (docs/performance.md).

    aiohttp's response parser without its session: a scrape has no use for pools, cookies, redirects, proxies
    and names, and without them it costs half. uvicorn, which serves vLLM's pages, hangs up after five idle
    seconds anyway, and idle connections of a large fleet would take 13 KiB each.

    Raises _NotConnected, TimeoutError for a connection that takes too long, and what aiohttp raises for a
    broken answer.
    """
    handler = await _connect(endpoint, limits, rules)
    try:
        handler.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=64 * KIB,
            max_line_size=limits.header_bytes // 2,
            max_field_size=limits.header_bytes // 2,
        )
        if handler.transport is not None:
            handler.transport.write(_render_request(endpoint))
        yield await _read_head(handler)
    finally:
        handler.close()
        handler._parser = None  # it holds the handler, too: a cycle that would keep the page for long


async def _connect(endpoint: Endpoint, limits: FetchLimits, rules: AddressRules) -> ResponseHandler:
    """The last gate: nothing is connected to but the address of a pod, whoever asked for it."""
    if refuse(endpoint.ip, endpoint.port, rules, reach=Reach.NODE) is not None:
        raise _NotConnected("EACCES")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limits.connect_seconds):
            _, handler = await loop.create_connection(
                partial(ResponseHandler, loop), endpoint.ip, endpoint.port
            )
    except TimeoutError:
        raise
    except OSError as error:
        raise _NotConnected(errno.errorcode.get(error.errno or 0, "no connection")) from error
    return handler


async def _read_head(handler: ResponseHandler) -> _Answer:
    while True:
        message, body = await handler.read()
        if not 100 <= message.code < 200 or message.code == 101:
            return _Answer(message.code, message.headers, message.raw_headers, body)


def _render_request(endpoint: Endpoint) -> bytes:
    host = f"[{endpoint.ip}]" if ":" in endpoint.ip else endpoint.ip
    return (
        f"GET {endpoint.path} HTTP/1.1\r\nHost: {host}:{endpoint.port}\r\n{_HEADERS}Connection: close\r\n\r\n"
    ).encode("ascii")


def _refuse_answer(answer: _Answer, limits: FetchLimits) -> None:
    if 300 <= answer.status < 400:
        raise Refused(FailureReason.REDIRECTED, f"HTTP {answer.status}: redirects are not followed")
    if answer.status != 200:
        raise Refused(FailureReason.HTTP_STATUS, f"HTTP {answer.status}")
    if sum(len(name) + len(value) for name, value in answer.raw_headers) > limits.header_bytes:
        raise Refused(FailureReason.LIMIT_EXCEEDED, f"headers over {limits.header_bytes} bytes")
    if answer.content_length is not None and answer.content_length > limits.body_bytes:
        raise Refused(FailureReason.TOO_LARGE, f"body over {limits.body_bytes} bytes")


async def _read_body(answer: _Answer, limits: FetchLimits) -> bytes:
    """The unpacked body. It grows in small steps, with the event loop free between them."""
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Refused(FailureReason.BAD_ENCODING, "an encoding that was not asked for")
    unpacker = Unpacker(limits) if encoding.endswith("gzip") else None
    kept: list[bytes] = []
    size = 0
    async for chunk in answer.body.iter_any():
        for piece in unpacker.unpack(chunk) if unpacker else (chunk,):
            size += len(piece)
            if size > limits.body_bytes:
                raise Refused(FailureReason.TOO_LARGE, f"body over {limits.body_bytes} bytes")
            kept.append(piece)
            await asyncio.sleep(0)
    if unpacker:
        unpacker.finish()
    return b"".join(kept)


def _explain(error: Exception) -> tuple[FailureReason, str]:
    """The failure behind an exception, without its text: that may quote the server."""
    match error:
        case _NotConnected():
            refused = str(error) == "ECONNREFUSED"
            return FailureReason.CONNECTION_REFUSED if refused else FailureReason.UNREACHABLE, str(error)
        case ClientPayloadError():
            return FailureReason.UNREACHABLE, "the body ended too early"
        case HttpProcessingError():
            return FailureReason.UNREACHABLE, "not an HTTP answer within the limits"
        case ClientConnectionError() | OSError():
            return FailureReason.UNREACHABLE, "the connection was lost"
    return FailureReason.UNREACHABLE, "the HTTP exchange failed"
