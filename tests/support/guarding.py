"""The workload guard of a scene: its certificate, and the shipped webhook at an address on this machine."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import trustme
import yaml

from tests.support.installed import MANIFESTS
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.servers import pick_port

NAME = "tokenfactory-guard"


class Guarding:
    """A certificate in a folder, as a mounted Secret has it, and the port at which the guard answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = pick_port()
        self._authority = trustme.CA()
        self.issue()

    def issue(self) -> None:
        """A new certificate of the same authority in the place of the last one."""
        certificate = self._authority.issue_cert("127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(self.folder / "tls.crt")
        certificate.private_key_pem.write_to_path(self.folder / "tls.key")

    @property
    def environment(self) -> dict[str, str]:
        """What an operator has to be started with."""
        return {
            "TOKENFACTORY_GUARD_DIRECTORY": str(self.folder),
            "TOKENFACTORY_GUARD_PORT": str(self.port),
        }

    def install(self, scene: Scene) -> None:
        """The shipped webhook; the API server needs a moment to hear of it."""
        body = yaml.safe_load((MANIFESTS / "components" / "guard" / "webhook.yaml").read_text())
        bundle = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        body["webhooks"][0]["clientConfig"] = {
            "url": f"https://127.0.0.1:{self.port}/guard",
            "caBundle": bundle,
        }
        assert try_to_apply(scene, body).returncode == 0


def try_to_apply(scene: Scene, body: dict[str, Any], *arguments: str) -> CompletedProcess[str]:
    """`kubectl apply` of one object: how it ended and what it said."""
    return scene.plane.kubectl("apply", *arguments, "-f", "-", input=json.dumps(body))
