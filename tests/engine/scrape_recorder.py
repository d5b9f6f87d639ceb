"""vLLM's own extension point, used as a witness: keeps each page that the operator was given, and when.

    vllm serve … --middleware scrape_recorder.Recorder      with this folder on PYTHONPATH

Runs in the engine's environment. The folder SCRAPES gets one file per page, named by Unix nanoseconds.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

OPERATOR = b"tokenfactory"


class Recorder:
    """ASGI middleware: everything goes through; answers to the operator are written down, too."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._folder = Path(os.environ["SCRAPES"])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked_by = dict(scope.get("headers") or ()).get(b"user-agent", b"")
        if asked_by != OPERATOR or not scope.get("path", "").startswith("/metrics"):
            await self._app(scope, receive, send)
            return
        body: list[bytes] = []

        async def note(message: Any) -> None:
            if message["type"] == "http.response.body":
                body.append(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, note)
        if page := b"".join(body):
            draft = self._folder / "draft"
            draft.write_bytes(page)
            draft.replace(self._folder / f"{time.time_ns()}.prom")
