"""The thin part of alerting: one POST to an Alertmanager's API v2, bounded in time and size.

No redirects, no cookies, no proxy of the environment, nothing that the server answered is read or quoted.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from tokenfactory.model import AlertmanagerTerms
from tokenfactory.ports import Credential, Credentials
from tokenfactory.publishing.alerts import Alert

PATH = "/api/v2/alerts"
SECONDS = 10.0
CONNECT_SECONDS = 3.0
FOR_GOOD = frozenset({400, 413, 422})


class Outcome(StrEnum):
    """`refused`: asking again would not help. `failed`: it is tried again."""

    TAKEN = "taken"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a post, and why it was not taken, in words of our own."""

    outcome: Outcome
    detail: str = ""


class Alertmanager:
    """Posts alerts to one server. Use it in one event loop."""

    def __init__(self, terms: AlertmanagerTerms, credentials: Credentials) -> None:
        self._terms = terms
        self._credentials = credentials

    async def post(self, alerts: Sequence[Alert]) -> Delivery:
        """Posts the alerts; whatever goes wrong comes back as a Delivery."""
        body = json.dumps([alert.body() for alert in alerts], separators=(",", ":")).encode()
        name = self._terms.credentials_name
        try:
            credential = await asyncio.to_thread(self._credentials.find, name) if name else Credential()
            if credential is None:
                return Delivery(Outcome.FAILED, "nothing is mounted under its credentialsName")
            return await self._send(body, credential)
        except TimeoutError:
            return Delivery(Outcome.FAILED, "no answer in time")
        except ssl.SSLError:
            return Delivery(Outcome.FAILED, "its certificate is not trusted, or ca.crt is none")
        except (ClientError, OSError, ValueError):
            return Delivery(Outcome.FAILED, "no connection, or it broke")

    async def _send(self, body: bytes, credential: Credential) -> Delivery:
        trust = await asyncio.to_thread(ssl.create_default_context, cafile=credential.ca_file or None)
        headers = {"Content-Type": "application/json", "User-Agent": "tokenfactory"}
        if credential.token:
            headers["Authorization"] = f"Bearer {credential.token}"
        async with (
            ClientSession(
                connector=TCPConnector(ssl=trust, force_close=True),
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=SECONDS, sock_connect=CONNECT_SECONDS),
                trust_env=False,
            ) as session,
            session.post(self._terms.url + PATH, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            answer.close()
            return _judge(answer.status)


def _judge(status: int) -> Delivery:
    if 200 <= status < 300:
        return Delivery(Outcome.TAKEN)
    if 300 <= status < 400:
        return Delivery(Outcome.FAILED, f"HTTP {status}: redirects are not followed")
    outcome = Outcome.REFUSED if status in FOR_GOOD else Outcome.FAILED
    return Delivery(outcome, f"HTTP {status}")
