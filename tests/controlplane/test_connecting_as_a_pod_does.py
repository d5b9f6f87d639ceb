"""In a cluster: the API server from the environment, token and CA from the ServiceAccount's files."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes.aio import config

from tokenfactory.errors import Unavailable
from tokenfactory.runtime.kube import Kube, connect
from tokenfactory.sandbox.controlplane import ControlPlane

pytestmark = pytest.mark.controlplane


class Silent:
    def count_request(self, verb: str, resource: str, code: str) -> None:
        return


@pytest.fixture
def pod_files(control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the kubelet would mount and set, for a ServiceAccount of the real API server."""
    made = control_plane.kubectl("create", "serviceaccount", "in-cluster", "--namespace=default")
    assert made.returncode == 0 or "AlreadyExists" in made.stderr
    kubeconfig = yaml.safe_load(
        control_plane.issue_kubeconfig(namespace="default", service_account="in-cluster").read_text()
    )
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text(user["token"])
    authority.write_bytes(b64decode(cluster["certificate-authority-data"]))
    where = urlsplit(cluster["server"])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(where.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(where.port))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(config.incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(config.incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    return {"server": cluster["server"], "token": user["token"], "ca": str(authority)}


async def test_a_pod_connects_with_its_service_account(pod_files: dict[str, str]) -> None:
    kube = Kube(await connect("", ""), Silent())
    try:
        document = await kube.discover("/api/v1")
        known = await kube.credentials()
    finally:
        await kube.close()
    assert "pods" in json.dumps(document)
    assert (known.server, known.token, known.ca_path) == (
        pod_files["server"],
        pod_files["token"],
        pod_files["ca"],
    )


async def test_without_a_kubeconfig_and_outside_of_a_pod_the_error_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="kubeconfig"):
        await connect(str(tmp_path / "none.yaml"), "")
