"""etcd and kube-apiserver as child processes: their command lines, their logs, their end."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tokenfactory.errors import TokenFactoryError
from tokenfactory.sandbox.guardian import Guardian

LOOPBACK = "127.0.0.1"
_FIRST_PORT, _LAST_PORT = 20000, 32000  # below the range that outgoing connections are given
_LOG_TAIL_BYTES = 4000


class ServerFailed(TokenFactoryError):
    """A server of the sandbox ended or did not get ready; the message holds the end of its log."""


class Server:
    """One child process in a session of its own, with a log file."""

    def __init__(self, command: Sequence[str], *, log: Path, guardian: Guardian) -> None:
        self.name = Path(command[0]).name
        self._log = log
        self._guardian = guardian
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=log.parent,
                env={"HOME": str(log.parent), "PATH": os.defpath},
                start_new_session=True,
            )
        guardian.adopt(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def require_alive(self) -> None:
        """Raise ServerFailed when the process has ended."""
        if self._process.poll() is not None:
            raise self.describe_failure(f"ended with {self._process.returncode}")

    def describe_failure(self, what: str) -> ServerFailed:
        tail = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return ServerFailed(f"{self.name} {what}; the end of its log:\n{tail}")

    def kill(self) -> None:
        """End it at once, as a crash would; its connections are reset."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._guardian.release(self._process.pid)


def pick_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on and that no outgoing connection will be given."""
    for _ in range(1000):
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise ServerFailed(f"no free port between {_FIRST_PORT} and {_LAST_PORT}")


def compose_etcd(binary: Path, *, folder: Path, port: int) -> tuple[str, ...]:
    """The command line of an etcd that never waits for the disk: its data is thrown away anyway."""
    url = f"http://{LOOPBACK}:{port}"
    return (
        str(binary),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls=http://{LOOPBACK}:0",
        "--unsafe-no-fsync",
    )


def compose_kube_apiserver(binary: Path, *, folder: Path, port: int, etcd_port: int) -> tuple[str, ...]:
    """The command line of a kube-apiserver with real RBAC and no other part of Kubernetes around it.

    The advertised address is one of RFC 5737: a machine without a default route has no address to
    advertise and a loopback one is refused. There is no controller that makes ServiceAccounts, so their
    admission plugin is off.
    """
    key = folder / "signing.key"
    return (
        str(binary),
        f"--etcd-servers=http://{LOOPBACK}:{etcd_port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--authorization-mode=RBAC,Node",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
        "--profiling=false",
    )


def compose_audit(folder: Path) -> tuple[str, ...]:
    """The flags that have every request written to `folder`/audit.log, never rotated."""
    return (
        f"--audit-policy-file={folder / 'audit-policy.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--audit-log-maxsize=100000",
    )
