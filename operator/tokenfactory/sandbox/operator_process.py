"""The operator as a separate process, under the ServiceAccount that the manifests grant."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tokenfactory.sandbox.guardian import Guardian
from tokenfactory.sandbox.servers import pick_port

OPERATOR_NAMESPACE = "tokenfactory-system"
SERVICE_ACCOUNT = "tokenfactory-operator"
STOP_SECONDS = 15.0


class OperatorProcess:
    """`tokenfactory run` as a child. Use as a context manager; `log` is a file with its stderr."""

    def __init__(
        self,
        kubeconfig: Path,
        *,
        log: Path,
        guardian: Guardian | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._guardian = guardian
        self._environment = dict(environment or {})
        self.log = log
        self.port = pick_port()
        self.explain_port = pick_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OperatorProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the process; it isn't ready yet."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TOKENFACTORY_")},
            "KUBECONFIG": str(self._kubeconfig),
            "TOKENFACTORY_KUBECONFIG": str(self._kubeconfig),
            "TOKENFACTORY_PORT": str(self.port),
            "TOKENFACTORY_EXPLAIN_PORT": str(self.explain_port),
            "TOKENFACTORY_BIND_ADDRESS": "127.0.0.1",
            "TOKENFACTORY_LOOPBACK": "sandbox",
            "TOKENFACTORY_LEASE_NAMESPACE": OPERATOR_NAMESPACE,
            **self._environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tokenfactory.cli.main", "run"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._guardian is not None:
            self._guardian.adopt(self.process.pid)

    def stop(self) -> int | None:
        """SIGTERM, then SIGKILL when it does not end. Returns the exit code."""
        process = self.process
        if process is None:
            return None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            code = process.wait()
        if self._guardian is not None:
            self._guardian.release(process.pid)
        self.process = None
        return code

    def kill(self) -> None:
        """SIGKILL, as a node failure would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its own endpoints; (0, "") while nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Returns when /readyz says so. Raises RuntimeError with the log's tail otherwise."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.get("/readyz")[0] == 200:
                return
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(0.2)
        raise RuntimeError("the operator did not become ready:\n" + self.log.read_text()[-4000:])
