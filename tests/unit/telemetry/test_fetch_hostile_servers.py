"""A server that lies, stalls or floods gets a named failure and little else."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
import uvloop
from aiohttp import web

from tokenfactory.model import Endpoint, Failure, FailureReason
from tokenfactory.ports import Page
from tokenfactory.telemetry.address import AddressRules, LoopbackPolicy
from tokenfactory.telemetry.exposition import PageRefused, Refusal, Wanted, scan
from tokenfactory.telemetry.fetch import Fetcher
from tokenfactory.telemetry.limits import KIB, MIB, FetchLimits, ScanLimits
from tokenfactory.telemetry.slots import Slots

HOST = "127.0.0.9"
SANDBOX = AddressRules(loopback=LoopbackPolicy.SANDBOX)
LIMITS = FetchLimits()
PAGE = b'# TYPE vllm:a counter\nvllm:a{x="1"} 5\n'
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def fetcher(limits: FetchLimits = LIMITS, rules: AddressRules = SANDBOX) -> Fetcher:
    return Fetcher(limits=limits, rules=rules, wall=lambda: 1000.0, monotonic=lambda: 0.0)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Endpoint]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield Endpoint(ip=HOST, port=runner.addresses[0][1], path="/metrics", namespace="team-a")
    finally:
        await runner.cleanup()


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[Endpoint]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield Endpoint(ip=HOST, port=port, path="/metrics", namespace="team-a")
    finally:
        server.close()


def saying(*parts: bytes) -> Talk:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)

    return talk


def answering(body: bytes, **options: object) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, **options)  # type: ignore[arg-type]

    return answer


def failure(result: Page | Failure) -> FailureReason:
    assert isinstance(result, Failure), result
    assert result.at == 1000.0
    return result.reason


async def fetch_once(endpoint: Endpoint, limits: FetchLimits = LIMITS) -> Page | Failure:
    async with fetcher(limits) as client:
        return await client.fetch(endpoint, timeout=5)


async def test_a_page_comes_back_as_it_is_with_its_time() -> None:
    async with serving(answering(PAGE)) as endpoint:
        assert await fetch_once(endpoint) == Page(PAGE, 1000.0)


async def test_the_request_says_little_and_carries_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    seen: list[dict[str, str]] = []

    async def record(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.Response(body=PAGE, headers={"Set-Cookie": "session=canary"})

    async with serving(record) as endpoint, fetcher() as client:
        for _ in range(2):
            assert isinstance(await client.fetch(endpoint, timeout=5), Page)
    for headers in seen:
        assert set(headers) <= {"Host", "Accept", "Accept-Encoding", "User-Agent", "Connection"}
        assert headers["Accept"] == "text/plain;version=0.0.4"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
async def test_a_page_that_was_compressed_unasked_is_unpacked(encoding: str) -> None:
    body = PAGE * 30_000
    async with serving(answering(gzip.compress(body), headers={"Content-Encoding": encoding})) as endpoint:
        assert await fetch_once(endpoint) == Page(body, 1000.0)


async def test_a_gzip_bomb_is_dropped_at_the_limit() -> None:
    bomb = gzip.compress(bytes(512 * MIB // 8))
    assert len(bomb) < 100 * KIB
    async with (
        serving(answering(bomb, headers={"Content-Encoding": "gzip"})) as endpoint,
        fetcher() as client,
    ):
        tracemalloc.start()
        try:
            result = await client.fetch(endpoint, timeout=5)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert failure(result) is FailureReason.TOO_LARGE
    assert peak < 12 * MIB


async def test_an_endless_body_is_dropped_at_the_limit() -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(4096):
            await response.write(b"x 1\n" * (16 * KIB))
            sent += 64 * KIB
        return response

    async with serving(flood) as endpoint:
        assert failure(await fetch_once(endpoint)) is FailureReason.TOO_LARGE
    assert sent < 32 * MIB


async def test_a_long_compressed_body_is_dropped_at_its_own_limit() -> None:
    limits = replace(LIMITS, compressed_bytes=1000)
    noise = zlib.compress(bytes(range(256)), wbits=31, level=0) + bytes(800)
    async with serving(answering(noise, headers={"Content-Encoding": "gzip"})) as endpoint:
        assert failure(await fetch_once(endpoint, limits)) is FailureReason.TOO_LARGE


@pytest.mark.parametrize(("size", "accepted"), [(4096, True), (4097, False)], ids=["at it", "over it"])
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "identity"])
async def test_the_limit_of_the_body_is_exact(size: int, accepted: bool, packed: bool) -> None:
    limits = replace(LIMITS, body_bytes=4096)
    body = gzip.compress(b"x" * size) if packed else b"x" * size
    headers = {"Content-Encoding": "gzip"} if packed else {}
    async with serving(answering(body, headers=headers)) as endpoint:
        result = await fetch_once(endpoint, limits)
    assert isinstance(result, Page) is accepted
    assert accepted or failure(result) is FailureReason.TOO_LARGE


async def test_an_announced_length_over_the_limit_is_not_waited_for() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"
    async with talking(saying(head, PAGE)) as endpoint:
        assert failure(await fetch_once(endpoint)) is FailureReason.TOO_LARGE


async def test_a_million_series_are_refused_by_the_scanner_if_they_fit_the_body() -> None:
    body = b"".join(b'a{x="%d"} 1\n' % number for number in range(300_000))
    async with serving(answering(body)) as endpoint:
        page = await fetch_once(endpoint)
    assert isinstance(page, Page)
    with pytest.raises(PageRefused) as refused:
        scan(page.body, Wanted(frozenset({"a"})), ScanLimits())
    assert refused.value.reason is Refusal.TOO_MANY_LINES


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
async def test_a_redirect_is_not_followed(status: int) -> None:
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": f"http://{request.host}/elsewhere"})

    async with serving(redirect) as endpoint:
        assert failure(await fetch_once(endpoint)) is FailureReason.REDIRECTED
    assert asked == ["/metrics"]


@pytest.mark.parametrize("status", [201, 204, 400, 401, 403, 404, 429, 500, 503])
async def test_any_other_status_than_200_is_a_failure_that_names_it(status: int) -> None:
    async with serving(answering(b"hunter2", status=status)) as endpoint:
        result = await fetch_once(endpoint)
    assert failure(result) is FailureReason.HTTP_STATUS
    assert isinstance(result, Failure)
    assert result.detail == f"HTTP {status}"


async def test_an_empty_answer_is_a_failure() -> None:
    async with serving(answering(b"")) as endpoint:
        assert failure(await fetch_once(endpoint)) is FailureReason.EMPTY_PAGE


async def test_a_slow_drip_ends_at_the_deadline() -> None:
    dripped = 0

    async def drip(request: web.Request) -> web.StreamResponse:
        nonlocal dripped
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x")
            dripped += 1
            await asyncio.sleep(0.02)
        return response

    async with serving(drip) as endpoint:
        assert (
            failure(await fetch_once(endpoint, replace(LIMITS, deadline_seconds=0.3)))
            is FailureReason.TIMED_OUT
        )
    assert dripped < 100


async def test_a_caller_may_shorten_the_deadline() -> None:
    async def stall(_: web.Request) -> web.Response:
        await asyncio.sleep(2)
        return web.Response(body=PAGE)

    async with serving(stall) as endpoint, fetcher(replace(LIMITS, deadline_seconds=60)) as client:
        assert failure(await client.fetch(endpoint, timeout=0.1)) is FailureReason.TIMED_OUT


BAD_ENCODINGS = {
    "not gzip at all": (PAGE, "gzip"),
    "gzip cut short": (gzip.compress(PAGE * 100)[:-9], "gzip"),
    "gzip with a wrong checksum": (gzip.compress(PAGE)[:-8] + bytes(8), "gzip"),
    "data after the gzip stream": (gzip.compress(PAGE) + b"more", "gzip"),
    "two gzip streams": (gzip.compress(PAGE) * 2, "gzip"),
    "deflate": (zlib.compress(PAGE), "deflate"),
    "an encoding of encodings": (gzip.compress(gzip.compress(PAGE)), "gzip, gzip"),
    "brotli": (b"\x0b\x02\x80hunter2\x03", "br"),
}


@pytest.mark.parametrize(("body", "encoding"), BAD_ENCODINGS.values(), ids=BAD_ENCODINGS.keys())
async def test_a_bad_encoding_is_named(body: bytes, encoding: str) -> None:
    async with serving(answering(body, headers={"Content-Encoding": encoding})) as endpoint:
        assert failure(await fetch_once(endpoint)) is FailureReason.BAD_ENCODING


OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "a body cut short": (OK + b"Content-Length: 900\r\n\r\n", PAGE),
    "chunks cut short": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"20\r\nvllm:a 1\n"),
    "a chunk size that is no number": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"hunter2\r\n"),
    "no answer": (b"",),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.9 hunter2\r\n",),
    "binary": (bytes(range(256)) * 4,),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 900\r\n\r\n", PAGE),
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_unreachable_and_not_quoted(parts: tuple[bytes, ...]) -> None:
    async with talking(saying(*parts)) as endpoint:
        result = await fetch_once(endpoint)
    assert failure(result) is FailureReason.UNREACHABLE
    assert "hunter2" not in str(result)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n26\r\n" + PAGE + b"\r\n"
LONG_HEADS = {
    "one header": (OK + b"X: " + b"a" * 20_000 + b"\r\n\r\n", PAGE),
    "one that never ends": (OK + b"X: ", *(b"a" * 1000 for _ in range(100))),
    "the status line": (b"HTTP/1.1 200 " + b"a" * 20_000 + b"\r\n\r\n", PAGE),
    "headers without end": (OK, *(b"X-%d: a\r\n" % number for number in range(5000))),
    "the sum of short ones": (
        OK,
        *(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(30)),
        b"\r\n",
    ),
    "many in one read": (OK + b"".join(b"X-%d: a\r\n" % n for n in range(3000)) + b"\r\n" + PAGE,),
    "hints without end": tuple(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 for _ in range(20)),
    "one behind the body that never ends": (CHUNKED + b"0\r\nX: ", *(b"a" * 10_000 for _ in range(100))),
    "a chunk's size that never ends": (CHUNKED + b"1;x=", *(b"a" * 10_000 for _ in range(100))),
    "one name again and again": (OK, *(b"X: %s\r\n" % (b"a" * 1000) for _ in range(30)), b"\r\n"),
}


@pytest.mark.parametrize("parts", LONG_HEADS.values(), ids=LONG_HEADS.keys())
async def test_a_head_over_its_limit_is_dropped(parts: tuple[bytes, ...]) -> None:
    async with talking(saying(*parts)) as endpoint:
        assert failure(await fetch_once(endpoint)) is FailureReason.LIMIT_EXCEEDED


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK + b"Content-Length: 38\r\n\r\n", PAGE),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"26\r\n" + PAGE + b"\r\n0\r\n\r\n"),
        (CHUNKED, b"0\r\nContent-Encoding: gzip\r\n\r\n"),
        (OK + b"\r\n" + PAGE,),
        (OK + b"Content-Length: 38\r\n\r\n" + PAGE + OK + b"Content-Length: 5\r\n\r\nother",),
    ],
    ids=[
        "after a hint",
        "in chunks",
        "before other headers",
        "until the connection ends",
        "before another answer",
    ],
)
async def test_a_page_is_taken_however_it_is_framed(parts: tuple[bytes, ...]) -> None:
    assert len(PAGE) == 38
    async with talking(saying(*parts)) as endpoint:
        assert await fetch_once(endpoint) == Page(PAGE, 1000.0)


def test_the_operators_own_event_loop_fetches_alike() -> None:
    async def fetch() -> Page | Failure:
        async with serving(answering(PAGE)) as endpoint:
            return await fetch_once(endpoint)

    assert uvloop.run(fetch()) == Page(PAGE, 1000.0)


async def test_a_refused_connection_is_named() -> None:
    async with serving(answering(PAGE)) as endpoint:
        pass
    result = await fetch_once(endpoint)
    assert failure(result) is FailureReason.CONNECTION_REFUSED
    assert isinstance(result, Failure)
    assert result.detail == "ECONNREFUSED"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"a": 1}\n'),
        ("text/html", b"<html></html>\n"),
        ("image/png", b"\x89PNG\r\n\x1a\n\0\n"),
    ],
)
async def test_a_wrong_kind_of_document_is_left_to_the_scanner(content_type: str, body: bytes) -> None:
    async with serving(answering(body, content_type=content_type)) as endpoint:
        page = await fetch_once(endpoint)
    assert isinstance(page, Page)
    with pytest.raises(PageRefused, match="NotExposition"):
        scan(page.body, Wanted(frozenset({"a"})), ScanLimits())


REFUSED = {
    "loopback outside the sandbox": (AddressRules(), Endpoint(HOST, 80, "/metrics")),
    "metadata": (SANDBOX, Endpoint("169.254.169.254", 80, "/latest")),
    "a name": (SANDBOX, Endpoint("localhost", 80, "/metrics")),
    "a path with a query": (SANDBOX, Endpoint(HOST, 80, "/metrics?x=1")),
    "a path with a line end": (SANDBOX, Endpoint(HOST, 80, "/metrics\r\nX: y")),
}


@pytest.mark.parametrize(("rules", "endpoint"), REFUSED.values(), ids=REFUSED.keys())
async def test_no_socket_is_opened_for(
    rules: AddressRules, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    async with fetcher(rules=rules) as client:
        monkeypatch.setattr("socket.socket.connect", opened.append)
        assert failure(await client.fetch(endpoint, timeout=5)) is FailureReason.ADDRESS_REFUSED
    assert not opened


async def test_a_server_that_hangs_up_after_each_answer_is_connected_to_anew() -> None:
    answer = OK + b"Content-Length: %d\r\n\r\n" % len(PAGE)
    async with talking(saying(answer, PAGE)) as endpoint, fetcher() as client:
        for _ in range(5):
            assert await client.fetch(endpoint, timeout=5) == Page(PAGE, 1000.0)


@dataclass
class Door:
    """A server that holds every request until it is opened, and counts."""

    entered: int = 0
    most: int = 0
    inside: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    change: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def hold(self, _: web.Request) -> web.Response:
        self.entered += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        async with self.change:
            self.change.notify_all()
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return web.Response(body=PAGE)

    async def holds(self, number: int) -> None:
        async with self.change:
            await self.change.wait_for(lambda: self.inside >= number)


async def fetch_in_turn(client: Fetcher, endpoint: Endpoint, slots: Slots) -> Page | Failure:
    async with slots.take(endpoint.namespace):
        return await client.fetch(endpoint, timeout=5)


async def test_a_namespace_of_slow_targets_takes_its_share_and_no_more() -> None:
    door, slots = Door(), Slots(LIMITS)
    async with serving(door.hold) as slow, serving(answering(PAGE)) as quick, fetcher() as client:
        stuck = [asyncio.create_task(fetch_in_turn(client, slow, slots)) for _ in range(40)]
        await door.holds(8)
        quick = replace(quick, namespace="team-b")
        pages = await asyncio.gather(*(fetch_in_turn(client, quick, slots) for _ in range(40)))
        assert all(isinstance(page, Page) for page in pages)
        assert door.most == 8
        door.open.set()
        assert all(isinstance(page, Page) for page in await asyncio.gather(*stuck))
    assert (door.most, door.entered) == (8, 40)


async def test_all_namespaces_together_stay_under_the_common_limit() -> None:
    door, slots = Door(), Slots(replace(LIMITS, in_flight=5, in_flight_per_namespace=2))
    async with serving(door.hold) as endpoint, fetcher() as client:
        names = [f"team-{number % 6}" for number in range(30)]
        tasks = [
            asyncio.create_task(fetch_in_turn(client, replace(endpoint, namespace=name), slots))
            for name in names
        ]
        await door.holds(5)
        door.open.set()
        assert all(isinstance(page, Page) for page in await asyncio.gather(*tasks))
    assert door.most == 5


async def test_callers_at_one_time_share_one_request_and_one_page() -> None:
    door = Door()
    async with serving(door.hold) as endpoint, fetcher() as client:
        tasks = [asyncio.create_task(client.page(endpoint, max_age=0, timeout=5)) for _ in range(10)]
        await door.holds(1)
        door.open.set()
        pages = await asyncio.gather(*tasks)
    assert door.entered == 1
    assert all(page is pages[0] for page in pages)


async def test_one_caller_that_gives_up_does_not_take_the_page_from_the_others() -> None:
    door = Door()
    async with serving(door.hold) as endpoint, fetcher() as client:
        impatient, patient = (asyncio.create_task(client.page(endpoint, max_age=0, timeout=5)) for _ in "ab")
        await door.holds(1)
        impatient.cancel()
        door.open.set()
        assert isinstance(await patient, Page)
    assert impatient.cancelled()
    assert door.entered == 1


async def test_a_page_is_shared_until_it_is_too_old_for_the_caller() -> None:
    now = 50.0
    bodies = (b"a %d\n" % number for number in count())

    async def number(_: web.Request) -> web.Response:
        return web.Response(body=next(bodies))

    client = Fetcher(limits=LIMITS, rules=SANDBOX, wall=lambda: 1000.0, monotonic=lambda: now)
    async with serving(number) as endpoint, client:
        first = await client.page(endpoint, max_age=4, timeout=5)
        now = 54.0
        assert await client.page(endpoint, max_age=4, timeout=5) == first
        now = 54.5
        second = await client.page(endpoint, max_age=4, timeout=5)
        assert isinstance(second, Page)
        assert second.body == b"a 1\n"
        assert await client.page(replace(endpoint, path="/other"), max_age=4, timeout=5) != second


async def test_a_failure_is_shared_like_a_page() -> None:
    asked = 0

    async def fail(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=500)

    async with serving(fail) as endpoint, fetcher() as client:
        results = [await client.page(endpoint, max_age=1, timeout=5) for _ in range(3)]
    assert asked == 1
    assert all(failure(result) is FailureReason.HTTP_STATUS for result in results)


async def test_a_closed_fetcher_leaves_nothing_running_behind() -> None:
    door = Door()
    async with serving(door.hold) as endpoint:
        async with fetcher() as client:
            waiting = asyncio.create_task(client.page(endpoint, max_age=0, timeout=5))
            await door.holds(1)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(RuntimeError, match="not open"):
            await client.fetch(endpoint, timeout=5)
