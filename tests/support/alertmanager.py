"""A real Alertmanager for tests, and the receiver that it notifies: what a pager would have shown."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.support.monitoring import MonitoringServer
from tokenfactory.sandbox.servers import LOOPBACK


class Pager:
    """Keeps every notification: (status, the alert's labels, its annotations), in the order they came."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, str], dict[str, str]]] = []
        notes = self.notes

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    notes.append((alert["status"], alert["labels"], alert["annotations"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Pager:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def statuses(self, alertname: str) -> list[str]:
        return [status for status, labels, _ in self.notes if labels["alertname"] == alertname]


class AlertmanagerServer(MonitoringServer):
    """It notifies a pager of every alert by itself."""

    tool = "alertmanager"

    def __init__(self, folder: Path, pager: Pager) -> None:
        super().__init__(folder)
        route = {"receiver": "pager", "group_by": ["..."], "group_wait": "1s", "group_interval": "1s"}
        receiver = {"name": "pager", "webhook_configs": [{"url": pager.url, "send_resolved": True}]}
        settings = {"route": {**route, "repeat_interval": "1h"}, "receivers": [receiver]}
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(settings))

    def flags(self) -> tuple[str, ...]:
        return (
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            "--cluster.listen-address=",
        )

    def alerts(self) -> dict[str, dict[str, Any]]:
        """What fires now, by alert name."""
        text = self.get("/api/v2/alerts?active=true")
        return {alert["labels"]["alertname"]: alert for alert in json.loads(text or "[]")}


def wait_for(what: str, holds: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """The first truthy answer. Fails naming `what`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = holds()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")
