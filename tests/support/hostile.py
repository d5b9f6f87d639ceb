"""Metrics servers that no honest engine would be: raw sockets on loopback, each with its own malice."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

MIB = 1024 * 1024
Act = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"


@dataclass(slots=True)
class Post:
    """One listening address. `requests` holds the head of everything that was ever asked there."""

    ip: str
    port: int
    act: Act
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)


class HostileSite:
    """Serves any number of posts from one thread of its own. Use as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hostile-site", daemon=True)
        self._servers: list[asyncio.Server] = []
        self._talks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> HostileSite:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def add(self, ip: str, port: int, act: Act) -> Post:
        """Listens on (ip, port) and answers every connection with `act`."""
        post = Post(ip, port, act)
        asyncio.run_coroutine_threadsafe(self._listen(post), self._loop).result(timeout=10)
        return post

    async def _listen(self, post: Post) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._talks.add(task)
            post.connections += 1
            try:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                    post.requests.append(await reader.readuntil(b"\r\n\r\n"))
                    await post.act(writer)
            finally:
                self._talks.discard(task)
                writer.close()

        self._servers.append(await asyncio.start_server(talk, post.ip, post.port))

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        talks = tuple(self._talks)
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def say(
    body: bytes, *, kind: str = "text/plain; version=0.0.4", status: str = "200 OK", more: str = ""
) -> Act:
    """One whole answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode()

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(head + body)
        await writer.drain()

    return act


def say_raw(*pieces: bytes, pause: float = 0.0) -> Act:
    """Bytes as they are, `pause` seconds after each piece; then the connection ends."""

    async def act(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return act


def say_for_ever(page: bytes) -> Act:
    """The page, again and again, without an end."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(page)
            await writer.drain()

    return act


def drip(page: bytes) -> Act:
    """A byte at a time, each too soon for an idle time-out."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + f"Content-Length: {len(page)}\r\n\r\n".encode())
        for byte in page:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)

    return act


def keep_silent() -> Act:
    """Takes the request and never answers."""

    async def act(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    return act


def reset() -> Act:
    """Half an answer, then a TCP reset."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 100000\r\n\r\nvllm:prompt")
        await writer.drain()
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return act


def gzip_bomb(size: int) -> bytes:
    """Zeros by the megabyte in a thousandth of their size."""
    return gzip.compress(bytes(size), compresslevel=9)


def million_series(page: str, wanted: str, *, count: int) -> bytes:
    """The page with `count` more series of a family that is read."""
    return page.encode() + b"".join(_series(wanted, count))


def _series(wanted: str, count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b'%s{engine="%d"} 1\n' % (wanted.encode(), number)


def with_value(page: str, family: str, value: str) -> bytes:
    """The page with every sample of `family` at `value`."""
    lines = [
        f"{line.rpartition(' ')[0]} {value}" if line.startswith((f"{family}{{", f"{family} ")) else line
        for line in page.splitlines()
    ]
    return ("\n".join(lines) + "\n").encode()


def with_line(page: str, line: str | bytes) -> bytes:
    """The page with one more line at its end."""
    return page.encode() + (line.encode() if isinstance(line, str) else line) + b"\n"


def doubled(page: str, family: str) -> bytes:
    """The page with the samples of `family` twice."""
    lines = [line for line in page.splitlines() if line.startswith(f"{family}{{")]
    return page.encode() + ("\n".join(lines) + "\n").encode()
