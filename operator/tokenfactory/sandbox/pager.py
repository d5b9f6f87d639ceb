"""A pager for the demo: it takes what the operator posts, as Alertmanager's API v2 does, and shows it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/api/v2/alerts"
LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """One alert as last posted. `firing` until its `endsAt`."""

    name: str
    pool: str
    severity: str
    message: str
    firing: bool


class Pager:
    """Listens on a loopback address of its own while it is entered."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._posted: dict[str, Mapping[str, Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, name="sandbox-pager", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Pager:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def take(self, alerts: list[Mapping[str, Any]]) -> None:
        """An alert of the same labels replaces the one before."""
        with self._lock:
            for alert in alerts:
                self._posted[json.dumps(alert["labels"], sort_keys=True)] = alert

    def pages(self, pool: str) -> tuple[Page, ...]:
        """What was posted about a pool, by name."""
        with self._lock:
            posted = [alert for alert in self._posted.values() if alert["labels"].get("pool") == pool]
        pages = [_read(alert, now=self._clock()) for alert in posted]
        return tuple(sorted(pages, key=lambda page: page.name))


def _read(alert: Mapping[str, Any], *, now: float) -> Page:
    labels, notes = alert["labels"], alert.get("annotations", {})
    return Page(
        name=labels["alertname"],
        pool=labels.get("pool", ""),
        severity=labels.get("severity", ""),
        message=notes.get("message") or notes.get("summary", ""),
        firing=datetime.fromisoformat(alert["endsAt"]).timestamp() > now,
    )


def _handler(pager: Pager) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            known = self.path == PATH and 0 < length <= LARGEST
            if known:
                pager.take(json.loads(self.rfile.read(length)))
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the demo's screen is for the story."""

    return Handler
