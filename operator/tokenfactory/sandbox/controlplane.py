"""A real Kubernetes API for the demo and the tests: etcd and kube-apiserver on loopback, no containers.

No scheduler, kubelet or controller manager runs: pods are created with a `nodeName`, their status is
patched, nothing is garbage collected and a deleted namespace stays.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from tokenfactory.sandbox.accounts import (
    User,
    create_admin,
    render_kubeconfig,
    render_signing_key,
    render_token_file,
)
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import POLICY, Audit, AuditEvent, read_audit_log
from tokenfactory.sandbox.guardian import Guardian
from tokenfactory.sandbox.servers import (
    LOOPBACK,
    Server,
    ServerFailed,
    compose_audit,
    compose_etcd,
    compose_kube_apiserver,
    pick_port,
)

READY_SECONDS = 180.0
KUBECTL_SECONDS = 180.0
_ATTEMPTS = 3


class ControlPlane:
    """Started by `start` or `with`; every method may be called from any thread, one at a time.

    `users` get a token each, next to the admin. All files live in one temporary folder, which `stop`
    removes; a guardian process does the same should this process die without a chance to.
    """

    def __init__(self, assets: Assets, *, users: Iterable[User] = (), audit: Audit = Audit.OFF) -> None:
        self.admin = create_admin()
        self._assets = assets
        self._users = tuple(users)
        self._audit = audit
        self._folder: Path | None = None
        self._guardian: Guardian | None = None
        self._etcd: Server | None = None
        self._api_server: Server | None = None
        self._port = self._etcd_port = 0

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """The temporary folder (mode 0700) of this control plane; raises ServerFailed when not started."""
        if self._folder is None:
            raise ServerFailed("the control plane is not running: call start() first")
        return self._folder

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self._port}"

    @property
    def guardian(self) -> Guardian:
        """Whoever starts further processes on this control plane can have them watched, too."""
        assert self._guardian is not None
        return self._guardian

    def start(self) -> None:
        """Start both servers and wait until the API is ready. Raises ServerFailed with a log's end."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start_once()
                return
            except ServerFailed as error:
                self.stop()
                if attempt == _ATTEMPTS or "address already in use" not in str(error):
                    raise
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Kill both servers and remove every file. Does nothing when not started."""
        for server in (self._api_server, self._etcd):
            if server is not None:
                server.kill()
        if self._guardian is not None:
            self._guardian.close()
        self._api_server = self._etcd = self._guardian = self._folder = None

    def stop_api_server(self) -> None:
        """Lose the API server as in a crash: connections are reset, etcd keeps the data."""
        if self._api_server is not None:
            self._api_server.kill()
            self._api_server = None

    def start_api_server(self) -> None:
        """Bring the API server back: same address, certificates, tokens and data."""
        folder = self.folder
        command = compose_kube_apiserver(
            self._assets.kube_apiserver, folder=folder, port=self._port, etcd_port=self._etcd_port
        )
        extra = compose_audit(folder) if self._audit is Audit.METADATA else ()
        log = folder / "kube-apiserver.log"
        self._api_server = Server((*command, *extra), log=log, guardian=self.guardian)
        self._wait_until_ready(self._api_server)

    def kubeconfig(self, user: User | None = None) -> Path:
        """The path of a kubeconfig for `user`, one of those given at the start; the admin's by default."""
        who = user or self.admin
        return self._write_kubeconfig(who.name, token=who.token)

    def issue_kubeconfig(self, *, namespace: str, service_account: str) -> Path:
        """A kubeconfig with a token, valid for a day, that the API server issues for a ServiceAccount.

        The ServiceAccount object has to exist; raises ServerFailed when the token is refused.
        """
        answer = self.kubectl(
            "create", "token", service_account, f"--namespace={namespace}", "--duration=24h"
        )
        if answer.returncode != 0:
            raise ServerFailed(f"no token for {namespace}/{service_account}: {answer.stderr.strip()}")
        name = f"issued:{namespace}:{service_account}"
        return self._write_kubeconfig(name, token=answer.stdout.strip())

    def kubectl(
        self, *arguments: str, user: User | None = None, input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as `user` (the admin by default) with a home of its own; never raises for its exit."""
        environment = {"HOME": str(self.folder / "home"), "PATH": os.environ.get("PATH", os.defpath)}
        return subprocess.run(
            [str(self._assets.kubectl), f"--kubeconfig={self.kubeconfig(user)}", *arguments],
            input=input,
            capture_output=True,
            text=True,
            env=environment,
            timeout=KUBECTL_SECONDS,
            check=False,
        )

    def audit_events(self) -> tuple[AuditEvent, ...]:
        """Every request so far. Raises ServerFailed when started without Audit.METADATA."""
        if self._audit is not Audit.METADATA:
            raise ServerFailed("this control plane keeps no audit log: start it with audit=Audit.METADATA")
        return read_audit_log(self.folder / "audit.log")

    def _start_once(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="tokenfactory-"))
        self._folder, self._guardian = folder, Guardian(folder)
        (folder / "home").mkdir()
        (folder / "kubeconfigs").mkdir()
        (folder / "tokens.csv").write_text(render_token_file((self.admin, *self._users)), encoding="utf-8")
        (folder / "signing.key").write_text(render_signing_key(), encoding="utf-8")
        (folder / "audit-policy.yaml").write_text(POLICY, encoding="utf-8")
        self._port, self._etcd_port = pick_port(), pick_port()
        self._etcd = Server(
            compose_etcd(self._assets.etcd, folder=folder, port=self._etcd_port),
            log=folder / "etcd.log",
            guardian=self._guardian,
        )
        self.start_api_server()

    def _wait_until_ready(self, server: Server) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not (self._answers("/readyz") and self._answers("/api/v1/namespaces/default")):
            server.require_alive()
            if self._etcd is not None:
                self._etcd.require_alive()
            if time.monotonic() > deadline:
                raise server.describe_failure(f"was not ready after {READY_SECONDS:.0f} s")
            time.sleep(0.1)

    def _answers(self, path: str) -> bool:
        """Whether the admin gets a 200 for `path`, over verified TLS."""
        certificate = self.folder / "certificates" / "apiserver.crt"
        try:
            context = ssl.create_default_context(cafile=str(certificate))
            connection = http.client.HTTPSConnection(LOOPBACK, self._port, timeout=5, context=context)
            try:
                connection.request("GET", path, headers={"Authorization": f"Bearer {self.admin.token}"})
                return connection.getresponse().status == http.client.OK
            finally:
                connection.close()
        except (OSError, http.client.HTTPException):
            return False

    def _write_kubeconfig(self, name: str, *, token: str) -> Path:
        authority = (self.folder / "certificates" / "apiserver.crt").read_bytes()
        file_name = re.sub(r"[^\w.-]", "-", name)
        path = self.folder / "kubeconfigs" / f"{file_name}.yaml"
        text = render_kubeconfig(server=self.url, authority=authority, user_name=name, token=token)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        return path
