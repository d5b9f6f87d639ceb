"""One GET and its answer on a connection of its own, over llhttp (httptools).

A scrape has no use for pools, cookies, redirects, proxies and names, and a body that is kept whole needs no
stream: with aiohttp's client a page cost twice as much, with its response parser alone a sixth more
(docs/performance.md). uvicorn, which serves vLLM's pages, hangs up after five idle seconds, and idle
connections of a large fleet would take 13 KiB each, so a connection serves one page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tokenfactory.model import FailureReason
from tokenfactory.telemetry.limits import FetchLimits
from tokenfactory.telemetry.unpack import Refused

_PLAIN = ("", "identity")
_PACKED = ("gzip", "x-gzip")
_OK = 200
_SWITCHING = 101


@dataclass(frozen=True, slots=True)
class Answer:
    """The body as it came, and whether it is gzip; `at` is the Unix time at which the head was there."""

    body: bytes
    packed: bool
    at: float


class Exchange(asyncio.Protocol):
    """Sends the request once connected, takes one answer. The connection is closed by whoever opened it.

    `answer` ends with an Answer, or raises Refused, as soon as it is known that none will be taken.
    No more is kept of an answer than the limits allow and one read of the socket.
    """

    __slots__ = (
        "_at",
        "_body",
        "_head_bytes",
        "_headers",
        "_limits",
        "_parser",
        "_received",
        "_request",
        "_size",
        "_status",
        "_wall",
        "answer",
        "transport",
    )

    def __init__(
        self,
        request: bytes,
        *,
        limits: FetchLimits,
        wall: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._request, self._limits, self._wall = request, limits, wall
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._received = 0
        self._status = 0
        self._at = 0.0
        self._body: list[bytes] = []
        self._size = 0
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Answer] = loop.create_future()

    def forget(self) -> None:
        """Lets go of the parser, which holds the exchange: the two would keep the page for long."""
        self._parser = None

    # The connection's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.answer.done() or self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail(_unreachable("not an HTTP answer"))
        self._received += len(data)
        self._bound(self._received - 2 * self._size)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if not self._status:
            self._fail(_unreachable("the connection was lost"))
        elif exc is not None or {b"content-length", b"transfer-encoding"} & self._headers.keys():
            self._fail(_unreachable("the body ended too early"))
        else:
            self._finish()

    # The parser's side.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Headers behind the body change nothing any more."""
        if not self._status:
            self._headers[name.lower()] = value
            self._head_bytes += len(name) + len(value)
            self._bound(self._head_bytes)

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if 100 <= status < _OK and status != _SWITCHING:
            self._headers.clear()
            return
        self._status, self._at = status, self._wall()
        try:
            self._refuse_head()
        except Refused as refused:
            self._fail(refused)

    def on_body(self, body: bytes) -> None:
        if self.answer.done():
            return
        self._size += len(body)
        limit = self._limits.compressed_bytes if self._packed else self._limits.body_bytes
        if self._size > limit:
            kind = "compressed body" if self._packed else "body"
            self._fail(Refused(FailureReason.TOO_LARGE, f"{kind} over {limit} bytes"))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status:
            self._finish()

    # What both lead to.

    @property
    def _packed(self) -> bool:
        return self._encoding in _PACKED

    @property
    def _encoding(self) -> str:
        return self._headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()

    def _refuse_head(self) -> None:
        """Raises Refused for a status, headers, an encoding or an announced length that is not taken."""
        if 300 <= self._status < 400:
            raise Refused(FailureReason.REDIRECTED, f"HTTP {self._status}: redirects are not followed")
        if self._status != _OK:
            raise Refused(FailureReason.HTTP_STATUS, f"HTTP {self._status}")
        length = self._headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > self._limits.body_bytes:
            raise Refused(FailureReason.TOO_LARGE, f"body over {self._limits.body_bytes} bytes")
        if self._encoding not in (*_PLAIN, *_PACKED):
            raise Refused(FailureReason.BAD_ENCODING, "an encoding that was not asked for")

    def _bound(self, size: int) -> None:
        """Head, chunk sizes and what follows the last chunk: of these no more is read than of the body, and
        the limit of a head. The parser would keep a header that never ends.
        """
        limit = self._limits.header_bytes
        if size > limit:
            self._fail(Refused(FailureReason.LIMIT_EXCEEDED, f"over {limit} bytes of headers and framing"))

    def _finish(self) -> None:
        if not self.answer.done():
            self.answer.set_result(Answer(b"".join(self._body), self._packed, self._at))

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def _unreachable(detail: str) -> Refused:
    return Refused(FailureReason.UNREACHABLE, detail)
