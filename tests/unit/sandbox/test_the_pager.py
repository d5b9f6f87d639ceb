"""The demo's pager takes posts as Alertmanager does, and knows what fires."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tokenfactory.sandbox.pager import PATH, Pager

NOW = 1_795_000_000.0


def alert(*, ends: str, pool: str = "deepseek") -> dict[str, Any]:
    return {
        "labels": {"alertname": "ThroughputCollapsed", "pool": pool, "severity": "critical"},
        "annotations": {"summary": "far fewer tokens", "message": "since revision 501b936f"},
        "startsAt": "2026-11-18T10:00:00.000Z",
        "endsAt": ends,
    }


def post(url: str, body: object) -> int:
    request = urllib.request.Request(url, data=json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


def test_an_alert_fires_until_its_end_and_is_replaced_by_the_next_post() -> None:
    with Pager(clock=lambda: NOW) as pager:
        assert pager.pages("deepseek") == ()
        assert post(pager.url + PATH, [alert(ends="2026-11-18T12:00:00.000Z")]) == 200
        (page,) = pager.pages("deepseek")
        assert (page.name, page.severity, page.message, page.firing) == (
            "ThroughputCollapsed",
            "critical",
            "since revision 501b936f",
            True,
        )
        post(pager.url + PATH, [alert(ends="2026-11-18T11:00:00.000Z")])
        assert [page.firing for page in pager.pages("deepseek")] == [False]
        assert pager.pages("another") == ()


def test_nothing_else_is_served() -> None:
    with Pager() as pager, pytest.raises(urllib.error.HTTPError, match="404"):
        post(pager.url + "/api/v1/alerts", [alert(ends="2026-11-18T12:00:00.000Z")])
