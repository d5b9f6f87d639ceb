"""Asking is bounded: in time, bytes, series and trust. Served by a small HTTP server that misbehaves."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tokenfactory.model import Failure, FailureReason, PrometheusTerms
from tokenfactory.ports import Credential
from tokenfactory.telemetry.limits import QueryLimits
from tokenfactory.telemetry.promql import Prometheus

LIMITS = QueryLimits(answer_bytes=100_000, series=50)
SECRET = "t0ken-of-the-platform-team"


@dataclass(slots=True)
class Answering:
    """What the server says next, and what it was asked."""

    status: int = 200
    body: bytes = b'{"status":"success","data":{"resultType":"matrix","result":[]}}'
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0.0
    together: threading.Barrier | None = None
    asked: list[tuple[str, dict[str, str], dict[str, list[str]]]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Answering]:
    state = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            state.asked.append((self.path, dict(self.headers), parse_qs(form)))
            if state.together is not None:
                state.together.wait(timeout=10)
            self.send_response(state.status)
            for name, value in {"Content-Length": str(len(state.body)), **state.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for start in range(0, len(state.body), 10 if state.drip else 1 << 16):
                    self.wfile.write(state.body[start : start + (10 if state.drip else 1 << 16)])
                    self.wfile.flush()
                    time.sleep(state.drip)
            except OSError:
                pass

        def log_message(self, *_: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{running.server_port}/prometheus"
    yield state
    running.shutdown()
    running.server_close()


class Mounted:
    def __init__(self, **found: Credential) -> None:
        self._found = found

    def find(self, name: str) -> Credential | None:
        return self._found.get(name)


async def ask(
    server: Answering,
    *,
    timeout: float = 3.0,
    credentials: Mounted | None = None,
    read: Callable[[Sequence[Any]], Any] = list,
    **terms: str,
) -> Any:
    prometheus = Prometheus(credentials or Mounted(), wall=lambda: 7.0, limits=LIMITS)
    try:
        return await prometheus.ask(
            PrometheusTerms(**{"url": server.url, **terms}), "up[3s]", timeout=timeout, read=read
        )
    finally:
        prometheus.close()


def reason(answer: Any) -> FailureReason:
    assert isinstance(answer, Failure), answer
    assert answer.at == 7.0
    return answer.reason


async def test_a_query_is_posted_in_the_body_with_its_limits(server: Answering) -> None:
    server.body = b'{"status":"success","data":{"result":[{"metric":{},"values":[]}]}}'
    assert await ask(server) == [{"metric": {}, "values": []}]
    path, headers, form = server.asked[0]
    assert path == "/prometheus/api/v1/query"
    assert form == {"query": ["up[3s]"], "timeout": ["3.000"], "limit": ["51"]}
    assert headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in headers
    assert "X-Scope-OrgID" not in headers


async def test_token_and_tenant_go_with_the_query(server: Answering) -> None:
    await ask(
        server,
        credentials=Mounted(prometheus=Credential(token=SECRET)),
        credentials_name="prometheus",
        tenant="a|b",
    )
    headers = server.asked[0][1]
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["X-Scope-OrgID"] == headers["THANOS-TENANT"] == "a|b"


async def test_a_credential_that_is_not_mounted_asks_nothing(server: Answering) -> None:
    assert reason(await ask(server, credentials_name="prometheus")) is FailureReason.CREDENTIAL_MISSING
    assert server.asked == []


async def test_a_ca_that_is_no_certificate_is_named_as_such(server: Answering, tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("nonsense")
    answer = await ask(
        server,
        url=server.url.replace("http:", "https:"),
        credentials=Mounted(prometheus=Credential(ca_file=str(authority))),
        credentials_name="prometheus",
    )
    assert reason(answer) is FailureReason.PROMETHEUS_UNTRUSTED


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, FailureReason.PROMETHEUS_DENIED),
        (403, FailureReason.PROMETHEUS_DENIED),
        (302, FailureReason.PROMETHEUS_FAILED),
        (404, FailureReason.PROMETHEUS_FAILED),
        (422, FailureReason.PROMETHEUS_FAILED),
        (503, FailureReason.PROMETHEUS_FAILED),
    ],
)
async def test_a_status_that_is_not_200_is_a_failure_at_once(
    server: Answering, status: int, expected: FailureReason
) -> None:
    server.status = status
    server.headers = {"Location": f"{server.url}/elsewhere"}
    assert reason(await ask(server)) is expected
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"data":{"result":"x"}}',
        b'{"data":{"result":{}}}',
        b'{"data":[]}',
        b"[" * 90_000,
        b"\xff\xfe",
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_an_answer_that_is_not_a_prometheus_is_a_failure(server: Answering, body: bytes) -> None:
    server.body = body
    assert reason(await ask(server)) is FailureReason.PROMETHEUS_FAILED


async def test_an_answer_over_the_bytes_is_too_large(server: Answering) -> None:
    server.body = b" " * (LIMITS.answer_bytes + 1)
    assert reason(await ask(server)) is FailureReason.PROMETHEUS_TOO_LARGE


async def test_an_answer_over_the_series_is_too_large_and_not_cut(server: Answering) -> None:
    result = [{"metric": {}, "values": []}] * (LIMITS.series + 1)
    server.body = json.dumps({"data": {"result": result}}).encode()
    assert reason(await ask(server)) is FailureReason.PROMETHEUS_TOO_LARGE


async def test_an_encoding_that_was_not_asked_for_is_not_unpacked(server: Answering) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    assert reason(await ask(server)) is FailureReason.PROMETHEUS_FAILED


async def test_a_dripping_answer_ends_with_the_time_out(server: Answering) -> None:
    server.drip = 0.05
    server.body = b" " * 10_000
    assert reason(await ask(server, timeout=0.3)) is FailureReason.PROMETHEUS_TIMED_OUT


async def test_one_that_hangs_holds_up_nobody_elses_queries(server: Answering) -> None:
    """Ten questions to a server that says nothing, more than it has threads, then one to another."""
    silent = socket.create_server(("127.0.0.1", 0))
    prometheus = Prometheus(Mounted(), wall=lambda: 7.0, limits=LIMITS)
    hanging = PrometheusTerms(url=f"http://127.0.0.1:{silent.getsockname()[1]}")
    waiting = [asyncio.create_task(prometheus.ask(hanging, "up", timeout=3.0, read=list)) for _ in range(10)]
    await asyncio.sleep(0)
    try:
        assert await prometheus.ask(PrometheusTerms(url=server.url), "up", timeout=3.0, read=list) == []
        assert not any(task.done() for task in waiting)
    finally:
        prometheus.close()
        silent.close()
        found = await asyncio.gather(*waiting, return_exceptions=True)
    assert {item.reason for item in found if isinstance(item, Failure)} <= {
        FailureReason.PROMETHEUS_TIMED_OUT,
        FailureReason.PROMETHEUS_UNREACHABLE,
    }


async def test_many_wait_for_their_answers_at_a_time_and_two_are_read(server: Answering) -> None:
    """Fifty namespaces behind a slow store are one wait, not twenty-five."""
    server.together = threading.Barrier(6)
    prometheus = Prometheus(Mounted(), wall=lambda: 7.0, limits=LIMITS)
    lock, reading, most = threading.Lock(), 0, 0

    def read(result: Sequence[Any]) -> int:
        nonlocal reading, most
        with lock:
            reading += 1
            most = max(most, reading)
        time.sleep(0.01)
        with lock:
            reading -= 1
        return len(result)

    terms = PrometheusTerms(url=server.url)
    asked = [prometheus.ask(terms, "up", timeout=5.0, read=read) for _ in range(6)]
    assert await asyncio.gather(*asked) == [0] * 6
    assert most <= 2
    prometheus.close()


async def test_a_turn_is_given_back_whatever_the_answer_was(server: Answering) -> None:
    prometheus = Prometheus(Mounted(), wall=lambda: 7.0, limits=LIMITS)
    terms = PrometheusTerms(url=server.url)
    good = server.body
    for body in (b"<html>", b"[]", b'{"data":{"result":"x"}}', b"{}"):
        server.body = body
        for _ in range(3):
            assert isinstance(await prometheus.ask(terms, "up", timeout=3.0, read=list), Failure)
    server.body = good
    assert await prometheus.ask(terms, "up", timeout=3.0, read=list) == []
    prometheus.close()


async def test_servers_that_come_and_go_leave_no_threads_behind(server: Answering) -> None:
    prometheus = Prometheus(Mounted(), wall=lambda: 7.0, limits=LIMITS)
    for number in range(30):
        terms = PrometheusTerms(url=f"{server.url}/{number}")
        assert await prometheus.ask(terms, "up", timeout=3.0, read=list) == []
    lanes = [thread for thread in threading.enumerate() if thread.name.startswith("prometheus")]
    assert len(lanes) <= 8 * 8 + 1
    prometheus.close()


async def test_nobody_there_is_unreachable(server: Answering) -> None:
    answer = await ask(server, url="http://127.0.0.1:1")
    assert reason(answer) is FailureReason.PROMETHEUS_UNREACHABLE


async def test_proxies_of_the_environment_are_not_used(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert await ask(server) == []


async def test_no_failure_repeats_what_the_server_or_the_credential_says(server: Answering) -> None:
    server.status, server.body = 500, b"secret of a tenant"
    answer = await ask(
        server, credentials=Mounted(prometheus=Credential(token=SECRET)), credentials_name="prometheus"
    )
    assert "tenant" not in repr(answer)
    assert SECRET not in repr(answer)


def test_an_operator_that_reads_pages_itself_does_not_load_the_client() -> None:
    code = (
        "import sys, tokenfactory.runtime.wiring;"
        "print(sorted({'prometheus_api_client', 'dateparser', 'regex'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
