"""Posting to an Alertmanager: what is sent, what is never sent, and how little of an answer is needed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tokenfactory.model import AlertmanagerTerms
from tokenfactory.ports import Credential
from tokenfactory.publishing import alertmanager
from tokenfactory.publishing.alertmanager import Alertmanager, Outcome
from tokenfactory.publishing.alerts import Alert

ALERT = Alert(
    labels=(("alertname", "TokenFactoryPriceUnknown"), ("pool", "r1")),
    annotations=(("summary", "Überraschung"),),
    starts_at=1_800_000_000.0,
    ends_at=1_800_000_300.5,
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Received:
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


class Mounted:
    """Credentials by name, as a Secret would hold them."""

    def __init__(self, **known: Credential) -> None:
        self._known = known

    def find(self, name: str) -> Credential | None:
        return self._known.get(name)


@contextlib.asynccontextmanager
async def listening(answer: bytes, *, hold: bool = False) -> AsyncIterator[tuple[str, Received]]:
    """A server that answers each request with these bytes; with `hold` it then keeps the connection."""
    received, ended = Received(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            received.heads.append(head)
            length = next(
                int(line.split(":")[1])
                for line in head.splitlines()
                if line.lower().startswith("content-length")
            )
            received.bodies.append(await reader.readexactly(length))
            writer.write(answer)
            await writer.drain()
            if hold:
                await ended.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", received
    finally:
        ended.set()
        server.close()


async def post(url: str, *, mounted: Mounted | None = None, name: str = "") -> alertmanager.Delivery:
    terms = AlertmanagerTerms(url=url, credentials_name=name)
    return await Alertmanager(terms, mounted or Mounted()).post((ALERT,))


async def test_the_alerts_are_sent_as_json_to_the_api_below_the_given_path() -> None:
    async with listening(OK) as (url, received):
        assert (await post(f"{url}/behind/a/route")).outcome is Outcome.TAKEN
    assert received.heads[0].startswith("POST /behind/a/route/api/v2/alerts HTTP/1.1\r\n")
    assert json.loads(received.bodies[0]) == [
        {
            "labels": {"alertname": "TokenFactoryPriceUnknown", "pool": "r1"},
            "annotations": {"summary": "Überraschung"},
            "startsAt": "2027-01-15T08:00:00.000Z",
            "endsAt": "2027-01-15T08:05:00.500Z",
        }
    ]


async def test_the_mounted_token_is_sent_and_nothing_secret_without_one() -> None:
    async with listening(OK) as (url, received):
        await post(url, mounted=Mounted(am=Credential(token="s3cret")), name="am")
        await post(url)
    assert "Authorization: Bearer s3cret\r\n" in received.heads[0]
    assert "authorization" not in received.heads[1].lower()
    assert "cookie" not in received.heads[1].lower()


async def test_a_credential_that_is_not_mounted_is_no_post_at_all() -> None:
    async with listening(OK) as (url, received):
        delivery = await post(url, name="missing")
    assert delivery.outcome is Outcome.FAILED
    assert received.heads == []


async def test_a_redirect_is_not_followed_and_takes_no_token_elsewhere() -> None:
    async with listening(OK) as (elsewhere, other):
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere}/api/v2/alerts\r\nContent-Length: 0\r\n\r\n"
        async with listening(moved.encode()) as (url, _):
            delivery = await post(url, mounted=Mounted(am=Credential(token="s3cret")), name="am")
    assert delivery.outcome is Outcome.FAILED
    assert other.heads == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(OK) as (proxy, seen), listening(OK) as (url, received):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        assert (await post(url)).outcome is Outcome.TAKEN
    assert (len(seen.heads), len(received.heads)) == (0, 1)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (202, Outcome.TAKEN),
        (400, Outcome.REFUSED),
        (413, Outcome.REFUSED),
        (401, Outcome.FAILED),
        (404, Outcome.FAILED),
        (429, Outcome.FAILED),
        (503, Outcome.FAILED),
    ],
)
async def test_the_status_decides_and_the_servers_words_are_not_quoted(status: int, outcome: Outcome) -> None:
    answer = f"HTTP/1.1 {status} hunter2\r\nContent-Length: 7\r\n\r\nhunter2"
    async with listening(answer.encode()) as (url, _):
        delivery = await post(url)
    assert delivery.outcome is outcome
    assert "hunter2" not in delivery.detail


async def test_an_endless_answer_is_not_read() -> None:
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10\r\n" + b"x" * 16 + b"\r\n"
    async with listening(endless, hold=True) as (url, _):
        assert (await post(url)).outcome is Outcome.TAKEN


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager, "SECONDS", 0.2)
    async with listening(b"", hold=True) as (url, _):
        assert await post(url) == alertmanager.Delivery(Outcome.FAILED, "no answer in time")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", id="endless headers"),
    ],
)
async def test_a_broken_answer_is_a_failure_and_no_exception(answer: bytes) -> None:
    async with listening(answer) as (url, _):
        assert (await post(url)).outcome is Outcome.FAILED


async def test_nobody_listening_is_a_failure_and_no_exception() -> None:
    async with listening(OK) as (url, _):
        pass
    assert (await post(url)).outcome is Outcome.FAILED


async def test_a_certificate_that_nobody_signed_for_us_is_refused() -> None:
    async with listening(OK) as (url, received):
        delivery = await post(url.replace("http://", "https://"))
    assert delivery.outcome is Outcome.FAILED
    assert received.heads == []
