"""Servers of the monitoring world for tests: on loopback, killed and started again at will."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.tools import provide_tools
from tokenfactory.sandbox.guardian import Guardian
from tokenfactory.sandbox.servers import LOOPBACK, Server, pick_port

READY_SECONDS = 30.0


class MonitoringServer(ABC):
    """Use as a context manager. `folder` outlives a restart, and so do the port and what is stored."""

    tool: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"{LOOPBACK}:{pick_port()}"
        self.url = f"http://{self.address}"
        self._binary = provide_tools(self.tool) / self.tool
        self._guardian = Guardian(folder / "guarded")
        self._server: Server | None = None

    @abstractmethod
    def flags(self) -> tuple[str, ...]:
        """Its command line behind the program."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._guardian.close()

    def start(self) -> None:
        """Starts it and waits until it says that it is ready."""
        command = (
            str(self._binary),
            *self.flags(),
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        )
        self._server = Server(command, log=self.folder / f"{self.tool}.log", guardian=self._guardian)
        deadline = time.monotonic() + READY_SECONDS
        while self.get("/-/ready") is None:
            self._server.require_alive()
            if time.monotonic() > deadline:
                raise self._server.describe_failure("did not get ready")
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    def get(self, path: str) -> str | None:
        """The text of one of its pages; None when there is none."""
        try:
            with urlopen(self.url + path, timeout=5) as answer:
                return str(answer.read().decode())
        except (URLError, OSError):
            return None
