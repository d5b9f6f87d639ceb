"""Asks a Prometheus, off the event loop. The only module that imports prometheus_api_client and requests.

Import it when there is a Prometheus to ask, and not before: it costs memory that an operator which reads
pages itself does not have to pay.

The server is the platform team's, its answers hold what tenants export: every query has a deadline, an
answer is bounded in bytes and series, redirects and the environment's proxies are not followed, and what
goes wrong comes back as a Failure without a byte of the answer in it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import requests
import urllib3
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect
from urllib3.util.retry import Retry

from tokenfactory.model import Failure, FailureReason, PrometheusTerms
from tokenfactory.ports import Credential, Credentials
from tokenfactory.telemetry.limits import KIB, QueryLimits
from tokenfactory.telemetry.rebuild import Oversized, Unreadable

T = TypeVar("T")

_LANES = 8
_THREADS = 8
_READERS = 2
_CONNECT_SECONDS = 2.0
_DENIED = (401, 403)
_TENANT_HEADERS = ("X-Scope-OrgID", "THANOS-TENANT")
_NOT_A_PROMETHEUS = (
    Unreadable,
    PrometheusApiClientException,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    RecursionError,
)


class Prometheus:
    """Fills `recorded.Asker`: one query, one connection, one of its server's threads.

    Each server has a lane of its own, so that one that hangs holds up nobody else's queries. Waiting for an
    answer costs nothing, reading one takes ten times its bytes: of a server's answers two are read at a time.
    """

    def __init__(self, credentials: Credentials, *, wall: Callable[[], float], limits: QueryLimits) -> None:
        self._credentials = credentials
        self._wall = wall
        self._limits = limits
        self._lanes: dict[str, _Lane] = {}

    async def ask(
        self,
        server: PrometheusTerms,
        query: str,
        *,
        timeout: float,
        read: Callable[[Sequence[Any]], T],
    ) -> T | Failure:
        """What `read` makes, in a thread, of the query's result. `timeout` counts from now on, in seconds."""
        lane = self._lane(server.url)
        work = lane.threads.submit(self._ask, server, query, turn=lane.turn, timeout=timeout, read=read)
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(work)
        except TimeoutError:
            return self._fail(FailureReason.PROMETHEUS_TIMED_OUT, "no complete answer in time")

    def close(self) -> None:
        """Starts no query any more; those under way end by their own deadline."""
        for lane in self._lanes.values():
            lane.threads.shutdown(wait=False, cancel_futures=True)

    def _lane(self, url: str) -> _Lane:
        """The server's own lane; that of the one that was named first goes when there are too many."""
        if url not in self._lanes:
            if len(self._lanes) >= _LANES:
                self._lanes.pop(next(iter(self._lanes))).threads.shutdown(wait=False)
            self._lanes[url] = _Lane()
        return self._lanes[url]

    def _ask(
        self,
        server: PrometheusTerms,
        query: str,
        *,
        turn: threading.BoundedSemaphore,
        timeout: float,
        read: Callable[[Sequence[Any]], T],
    ) -> T | Failure:
        try:
            credential = self._find_credential(server)
            deadline = time.monotonic() + timeout
            with _BoundedSession(self._limits, turn, deadline=deadline, seconds=timeout) as session:
                return read(_query(server, credential, query, session=session, limits=self._limits))
        except _Refused as refused:
            return self._fail(refused.reason, str(refused))
        except requests.exceptions.InvalidJSONError:
            return self._fail(FailureReason.PROMETHEUS_FAILED, "the answer is not JSON")
        except requests.exceptions.SSLError:
            return self._fail(FailureReason.PROMETHEUS_UNTRUSTED, "its certificate is not trusted")
        except (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError):
            return self._fail(FailureReason.PROMETHEUS_TIMED_OUT, "no complete answer in time")
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError):
            return self._fail(FailureReason.PROMETHEUS_UNREACHABLE, "no answer in HTTP")
        except Oversized:
            return self._fail(FailureReason.PROMETHEUS_TOO_LARGE, "more series than are read at once")
        except _NOT_A_PROMETHEUS:
            return self._fail(FailureReason.PROMETHEUS_FAILED, "the answer is not that of a Prometheus")
        except OSError:
            return self._fail(FailureReason.PROMETHEUS_UNTRUSTED, "the mounted ca.crt can't be used")

    def _find_credential(self, server: PrometheusTerms) -> Credential:
        if not server.credentials_name:
            return Credential()
        found = self._credentials.find(server.credentials_name)
        if found is None:
            raise _Refused(FailureReason.CREDENTIAL_MISSING, "no usable credential of that name is mounted")
        return found

    def _fail(self, reason: FailureReason, detail: str) -> Failure:
        return Failure(at=self._wall(), reason=reason, detail=detail)


class _Lane:
    """What one server's queries run on."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="prometheus")
        self.turn = threading.BoundedSemaphore(_READERS)


class _Refused(Exception):
    """An answer that is not used."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _query(
    server: PrometheusTerms,
    credential: Credential,
    query: str,
    *,
    session: _BoundedSession,
    limits: QueryLimits,
) -> Sequence[Any]:
    """The result of an instant query, one series more than is read at most, so that a cut one shows."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "tokenfactory"}
    if credential.token:
        headers["Authorization"] = f"Bearer {credential.token}"
    if server.tenant:
        headers |= dict.fromkeys(_TENANT_HEADERS, server.tenant)
    session.verify = credential.ca_file or True
    client = PrometheusConnect(
        url=server.url, headers=headers, session=session, method="POST", retry=Retry(0, redirect=0)
    )
    bounds = {"timeout": f"{session.seconds:.3f}", "limit": limits.series + 1}
    result = client.custom_query(query, params=bounds)
    if not isinstance(result, list):
        raise Unreadable
    if len(result) > limits.series:
        raise Oversized
    return result


class _BoundedSession(requests.Session):
    """A session that reads no more than it may, follows nothing and sends the query in the body.

    From the moment at which an answer begins to come until the session is closed, it is its `turn`.
    """

    def __init__(
        self, limits: QueryLimits, turn: threading.BoundedSemaphore, *, deadline: float, seconds: float
    ) -> None:
        super().__init__()
        self.trust_env = False
        self.seconds = seconds
        self._limits = limits
        self._turn = turn
        self._deadline = deadline
        self._held = ExitStack()

    def request(self, method: str, url: str, **arguments: Any) -> requests.Response:  # type: ignore[override]
        """As requests' own. Raises _Refused for an answer that is not a bounded 200 in time."""
        response = super().request(
            method,
            url,
            data=arguments["params"],
            headers=arguments["headers"],
            verify=arguments["verify"],
            timeout=(min(_CONNECT_SECONDS, self.seconds), self.seconds),
            allow_redirects=False,
            stream=True,
        )
        with response:
            _refuse_status(response.status_code)
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _Refused(FailureReason.PROMETHEUS_FAILED, "an encoding that was not asked for")
            self._take_turn()
            response._content = self._read(response)
            response._content_consumed = True
        return response

    def close(self) -> None:
        super().close()
        self._held.close()

    def _take_turn(self) -> None:
        if not self._turn.acquire(timeout=max(0.0, self._deadline - time.monotonic())):
            raise _Refused(FailureReason.PROMETHEUS_TIMED_OUT, "no complete answer in time")
        self._held.callback(self._turn.release)

    def _read(self, response: requests.Response) -> bytes:
        kept, size = list[bytes](), 0
        while piece := response.raw.read1(64 * KIB):
            size += len(piece)
            if size > self._limits.answer_bytes:
                raise Oversized
            if time.monotonic() > self._deadline:
                raise _Refused(FailureReason.PROMETHEUS_TIMED_OUT, "no complete answer in time")
            kept.append(piece)
        return b"".join(kept)


def _refuse_status(status: int) -> None:
    if status in _DENIED:
        raise _Refused(FailureReason.PROMETHEUS_DENIED, f"HTTP {status}")
    if status != 200:
        raise _Refused(FailureReason.PROMETHEUS_FAILED, f"HTTP {status}")
