"""Bounded HTTP for metrics pages: the only HTTP client that a scrape uses.

Every server is hostile: time, bytes, headers and redirects are capped, nothing secret is ever sent, and
whatever goes wrong comes back as a Failure. Compressed pages are not asked for (rendering them would cost
the engine more than it saves inside a cluster); a server that compresses all the same is read within limits.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from functools import partial
from typing import Self

from tokenfactory.model import Endpoint, Failure, FailureReason
from tokenfactory.ports import Page
from tokenfactory.telemetry.address import AddressRules, Reach, refuse, refuse_path
from tokenfactory.telemetry.deadlines import Deadlines
from tokenfactory.telemetry.exchange import Exchange
from tokenfactory.telemetry.limits import FetchLimits
from tokenfactory.telemetry.shelf import Shelf
from tokenfactory.telemetry.unpack import Refused, Unpacker

_MOST_VERDICTS = 4096
_HEADERS = "Accept: text/plain;version=0.0.4\r\nAccept-Encoding: identity\r\nUser-Agent: tokenfactory\r\n"


class Fetcher:
    """Fetches metrics pages; fills ports.PageSource. Use it as an async context manager, in one event loop.

    `wall` gives Unix seconds and stamps pages, `monotonic` gives seconds for the age of shared pages.
    How many requests are in flight at once is for the caller to bound (`Slots`).
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
        self._shelf = Shelf(limits, monotonic)
        self._deadlines = Deadlines()
        self._verdicts: dict[Endpoint, str | None] = {}
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
        """A page fetched now. `timeout` is in seconds; the limits may shorten it.

        Raises RuntimeError when used outside `async with`.
        """
        if not self._open:
            raise RuntimeError("the fetcher is not open")
        total = min(timeout, self._limits.deadline_seconds)
        try:
            async with self._deadlines.within(min(total, self._limits.connect_seconds)) as deadline:
                exchange = await self._connect(endpoint)
                deadline.allow(total)
                return await self._take(exchange)
        except Refused as failure:
            return Failure(at=self._wall(), reason=failure.reason, detail=failure.detail)
        except TimeoutError:
            return Failure(
                at=self._wall(), reason=FailureReason.TIMED_OUT, detail="no complete answer in time"
            )

    async def _fly(self, endpoint: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
        result = await self.fetch(endpoint, timeout=timeout)
        if max_age > 0:
            self._shelf.put(endpoint, result)
        return result

    async def _connect(self, endpoint: Endpoint) -> Exchange:
        """Nothing is connected to but the address of a pod, whoever asked for it: this is the gate.

        Raises Refused.
        """
        forbidden = self._judge(endpoint)
        if forbidden is not None:
            raise Refused(FailureReason.ADDRESS_REFUSED, forbidden)
        loop = asyncio.get_running_loop()
        make = partial(Exchange, _render_request(endpoint), limits=self._limits, wall=self._wall, loop=loop)
        try:
            _, exchange = await loop.create_connection(make, endpoint.ip, endpoint.port)
        except OSError as error:
            symbol = errno.errorcode.get(error.errno or 0, "no connection")
            closed = error.errno == errno.ECONNREFUSED
            reason = FailureReason.CONNECTION_REFUSED if closed else FailureReason.UNREACHABLE
            raise Refused(reason, symbol) from error
        return exchange

    def _judge(self, endpoint: Endpoint) -> str | None:
        """Why the endpoint must not be asked; None when it may be. The rules stand, so verdicts do, too."""
        if endpoint not in self._verdicts:
            if len(self._verdicts) >= _MOST_VERDICTS:
                self._verdicts.clear()
            reach = Reach.NODE if endpoint.node_network else Reach.POD
            verdict = refuse(endpoint.ip, endpoint.port, self._rules, reach=reach)
            self._verdicts[endpoint] = verdict or refuse_path(endpoint.path)
        return self._verdicts[endpoint]

    async def _take(self, exchange: Exchange) -> Page:
        """The page of an answer; the connection ends with it. Raises Refused."""
        try:
            answer = await exchange.answer
        finally:
            if exchange.transport is not None:
                exchange.transport.close()
            exchange.forget()
        body = await _unpack(answer.body, self._limits) if answer.packed else answer.body
        if not body:
            raise Refused(FailureReason.EMPTY_PAGE, "the answer has no body")
        return Page(body, answer.at)


def _render_request(endpoint: Endpoint) -> bytes:
    host = f"[{endpoint.ip}]" if ":" in endpoint.ip else endpoint.ip
    return (
        f"GET {endpoint.path} HTTP/1.1\r\nHost: {host}:{endpoint.port}\r\n{_HEADERS}Connection: close\r\n\r\n"
    ).encode("ascii")


async def _unpack(body: bytes, limits: FetchLimits) -> bytes:
    """The unpacked body. It grows in small steps, with the event loop free between them. Raises Refused."""
    unpacker = Unpacker(limits)
    kept: list[bytes] = []
    size = 0
    for piece in unpacker.unpack(body):
        size += len(piece)
        if size > limits.body_bytes:
            raise Refused(FailureReason.TOO_LARGE, f"body over {limits.body_bytes} bytes")
        kept.append(piece)
        await asyncio.sleep(0)
    unpacker.finish()
    return b"".join(kept)
