"""Bounded HTTP for metrics pages: the only HTTP client that a scrape uses.

Every server is hostile: time, bytes, headers and redirects are capped, nothing secret is ever sent, and
whatever goes wrong comes back as a Failure. Compressed pages are not asked for (rendering them would cost
the engine more than it saves inside a cluster); a server that compresses all the same is read within limits.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tokenfactory.model import Endpoint, Failure, FailureReason
from tokenfactory.ports import Page
from tokenfactory.telemetry.address import AddressRules, Reach, refuse, refuse_path
from tokenfactory.telemetry.limits import KIB, FetchLimits
from tokenfactory.telemetry.shelf import Shelf

HEADERS = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity", "User-Agent": "tokenfactory"}
_STEP = 256 * KIB


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
        self._rules = rules
        self._wall = wall
        self._slots = _Slots(limits)
        self._shelf = Shelf(limits, monotonic)
        self._flights: dict[Endpoint, asyncio.Task[Page | Failure]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limits = self._limits
        connector = aiohttp.TCPConnector(
            limit=0,
            resolver=_NoNames(),
            use_dns_cache=False,
            socket_factory=self._open_socket,
            keepalive_timeout=limits.keepalive_seconds,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Content-Type",),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_seconds),
            read_bufsize=64 * KIB,
            max_line_size=limits.header_bytes // 2,
            max_field_size=limits.header_bytes // 2,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        flights = tuple(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        if self._session is None:
            raise RuntimeError("the fetcher is not open")
        refused = self._refuse(endpoint)
        if refused is not None:
            return self._fail(FailureReason.ADDRESS_REFUSED, refused)
        async with self._slots.take(endpoint.namespace):
            try:
                async with asyncio.timeout(min(timeout, self._limits.deadline_seconds)):
                    return await self._get(self._session, endpoint)
            except _Refused as failure:
                return self._fail(failure.reason, failure.detail)
            except TimeoutError:
                return self._fail(FailureReason.TIMED_OUT, "no complete answer in time")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return self._fail(*_explain(error))

    async def _fly(self, endpoint: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
        result = await self.fetch(endpoint, timeout=timeout)
        if max_age > 0:
            self._shelf.put(endpoint, result)
        return result

    async def _get(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> Page:
        host = f"[{endpoint.ip}]" if ":" in endpoint.ip else endpoint.ip
        url = f"http://{host}:{endpoint.port}{endpoint.path}"
        response = await session.get(url, allow_redirects=False)
        at = self._wall()
        try:
            _refuse_response(response, self._limits)
            body = await _read_body(response, self._limits)
        except BaseException:
            response.close()
            raise
        if not body:
            raise _Refused(FailureReason.EMPTY_PAGE, "the answer has no body")
        return Page(body, at)

    def _refuse(self, endpoint: Endpoint) -> str | None:
        reach = Reach.NODE if endpoint.node_network else Reach.POD
        return refuse(endpoint.ip, endpoint.port, self._rules, reach=reach) or refuse_path(endpoint.path)

    def _open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """The last gate: no socket is opened for an address that no pod has, whoever asked for it."""
        family, kind, protocol, _, address = info
        if refuse(address[0], address[1], self._rules, reach=Reach.NODE) is not None:
            raise OSError(errno.EACCES, "address refused")
        return socket.socket(family, kind, protocol)

    def _fail(self, reason: FailureReason, detail: str) -> Failure:
        return Failure(at=self._wall(), reason=reason, detail=detail)


class _Refused(Exception):
    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _NoNames(AbstractResolver):
    """Targets are IP literals: a name that gets this far is not looked up."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        raise OSError(errno.EACCES, "names are not looked up")

    async def close(self) -> None:
        return


def _refuse_response(response: aiohttp.ClientResponse, limits: FetchLimits) -> None:
    if 300 <= response.status < 400:
        raise _Refused(FailureReason.REDIRECTED, f"HTTP {response.status}: redirects are not followed")
    if response.status != 200:
        raise _Refused(FailureReason.HTTP_STATUS, f"HTTP {response.status}")
    if sum(len(name) + len(value) for name, value in response.raw_headers) > limits.header_bytes:
        raise _Refused(FailureReason.LIMIT_EXCEEDED, f"headers over {limits.header_bytes} bytes")
    if response.content_length is not None and response.content_length > limits.body_bytes:
        raise _Refused(FailureReason.TOO_LARGE, f"body over {limits.body_bytes} bytes")


async def _read_body(response: aiohttp.ClientResponse, limits: FetchLimits) -> bytes:
    """The unpacked body. It grows in small steps, with the event loop free between them."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise _Refused(FailureReason.BAD_ENCODING, "an encoding that was not asked for")
    unpacker = _Unpacker(limits) if encoding.endswith("gzip") else None
    kept: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        for piece in unpacker.unpack(chunk) if unpacker else (chunk,):
            size += len(piece)
            if size > limits.body_bytes:
                raise _Refused(FailureReason.TOO_LARGE, f"body over {limits.body_bytes} bytes")
            kept.append(piece)
            await asyncio.sleep(0)
    if unpacker:
        unpacker.finish()
    return b"".join(kept)


class _Unpacker:
    """One gzip stream, at most `compressed_bytes` of it, unpacked in steps of bounded size."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limit = limits.compressed_bytes
        self._stream = zlib.decompressobj(wbits=31)
        self._size = 0

    def unpack(self, chunk: bytes) -> Iterator[bytes]:
        self._size += len(chunk)
        if self._size > self._limit:
            raise _Refused(FailureReason.TOO_LARGE, f"compressed body over {self._limit} bytes")
        while chunk:
            try:
                yield self._stream.decompress(chunk, _STEP)
            except zlib.error:
                raise _Refused(FailureReason.BAD_ENCODING, "not a valid gzip stream") from None
            if self._stream.unused_data:
                raise _Refused(FailureReason.BAD_ENCODING, "data after the gzip stream")
            chunk = self._stream.unconsumed_tail

    def finish(self) -> None:
        if self._size and not self._stream.eof:
            raise _Refused(FailureReason.BAD_ENCODING, "the gzip stream ends too early")


def _explain(error: Exception) -> tuple[FailureReason, str]:
    """The failure behind an exception, without its text: that may quote the server."""
    match error:
        case aiohttp.ClientConnectorError():
            name = errno.errorcode.get(error.os_error.errno or 0, "no connection")
            return FailureReason.UNREACHABLE, name
        case aiohttp.ClientPayloadError():
            return FailureReason.UNREACHABLE, "the body ended too early"
        case aiohttp.ClientResponseError():
            return FailureReason.UNREACHABLE, "not an HTTP answer within the limits"
        case aiohttp.ClientConnectionError() | OSError():
            return FailureReason.UNREACHABLE, "the connection was lost"
    return FailureReason.UNREACHABLE, "the HTTP exchange failed"


class _Slots:
    """At most so many requests in all and so many per namespace.

    A namespace queues for its own slots first, so it never has more than those in the common queue:
    slow targets of one tenant can't hold up another's.
    """

    def __init__(self, limits: FetchLimits) -> None:
        self._per_namespace = limits.in_flight_per_namespace
        self._all = asyncio.Semaphore(limits.in_flight)
        self._lanes: dict[str, _Lane] = {}

    @asynccontextmanager
    async def take(self, namespace: str) -> AsyncIterator[None]:
        lane = self._lanes.setdefault(namespace, _Lane(asyncio.Semaphore(self._per_namespace)))
        lane.users += 1
        try:
            async with lane.slots, self._all:
                yield
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[namespace]


@dataclass(slots=True)
class _Lane:
    slots: asyncio.Semaphore
    users: int = 0
