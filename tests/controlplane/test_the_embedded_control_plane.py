"""The ground that all other tests of this folder stand on."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tokenfactory.sandbox.accounts import User
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import AuditEvent
from tokenfactory.sandbox.controlplane import ControlPlane
from tokenfactory.sandbox.servers import ServerFailed

pytestmark = pytest.mark.controlplane


def find_processes(folder: Path) -> list[int]:
    """Processes whose command line names `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in command:
            found.append(int(entry.parent.name))
    return found


def wait_for_end(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while (folder.exists() or find_processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)


def requests_of(control_plane: ControlPlane, user: User, resource: str) -> list[AuditEvent]:
    return [
        event
        for event in control_plane.audit_events()
        if event.user == user.name and event.resource == resource
    ]


def wait_for_requests(
    control_plane: ControlPlane, user: User, *, resource: str, after: int, count: int
) -> list[AuditEvent]:
    """The requests beyond the first `after`: a line can enter the log a moment after the answer."""
    deadline = time.monotonic() + 60
    while len(requests_of(control_plane, user, resource)) < after + count and time.monotonic() < deadline:
        time.sleep(0.05)
    return requests_of(control_plane, user, resource)[after:]


def test_kubectl_and_the_api_server_say_the_same_released_version(control_plane: ControlPlane) -> None:
    answer = control_plane.kubectl("version", "-o", "json")
    assert answer.returncode == 0, answer.stderr
    versions = json.loads(answer.stdout)
    assert versions["clientVersion"]["gitVersion"] == "v1.37.2"
    assert versions["serverVersion"]["gitVersion"] == "v1.37.2"


def test_a_user_with_a_token_but_no_role_is_refused_and_the_audit_log_says_so(
    control_plane: ControlPlane, unprivileged_user: User
) -> None:
    before = len(requests_of(control_plane, unprivileged_user, "nodes"))
    answer = control_plane.kubectl("get", "nodes", user=unprivileged_user)
    assert answer.returncode == 1
    assert "system:serviceaccount:nowhere:nobody" in answer.stderr
    assert "cannot list resource" in answer.stderr
    events = wait_for_requests(control_plane, unprivileged_user, resource="nodes", after=before, count=1)
    assert [(event.verb, event.code) for event in events] == [("list", 403)]


def test_a_role_grants_exactly_its_verbs(control_plane: ControlPlane, unprivileged_user: User) -> None:
    for command in (
        ("create", "namespace", "granted"),
        ("create", "role", "reader", "-n", "granted", "--verb=get", "--resource=configmaps"),
        ("create", "rolebinding", "r", "-n", "granted", "--role=reader", f"--user={unprivileged_user.name}"),
        ("create", "configmap", "notes", "-n", "granted", "--from-literal=a=b"),
    ):
        answer = control_plane.kubectl(*command)
        assert answer.returncode == 0, answer.stderr
    before = len(requests_of(control_plane, unprivileged_user, "configmaps"))
    allowed = control_plane.kubectl("get", "configmap", "notes", "-n", "granted", user=unprivileged_user)
    refused = control_plane.kubectl("delete", "configmap", "notes", "-n", "granted", user=unprivileged_user)
    assert allowed.returncode == 0, allowed.stderr
    assert "cannot delete resource" in refused.stderr
    events = wait_for_requests(control_plane, unprivileged_user, resource="configmaps", after=before, count=2)
    assert [(event.verb, event.namespace, event.name, event.code) for event in events] == [
        ("get", "granted", "notes", 200),
        ("delete", "granted", "notes", 403),
    ]


def test_a_service_account_gets_a_token_of_its_own_from_the_api_server(control_plane: ControlPlane) -> None:
    created = control_plane.kubectl("create", "serviceaccount", "worker")
    assert created.returncode == 0, created.stderr
    path = control_plane.issue_kubeconfig(namespace="default", service_account="worker")
    answer = control_plane.kubectl(f"--kubeconfig={path}", "auth", "whoami", "-o", "json")
    assert json.loads(answer.stdout)["status"]["userInfo"]["username"] == (
        "system:serviceaccount:default:worker"
    )


def test_a_token_for_an_absent_service_account_is_refused_with_its_name(control_plane: ControlPlane) -> None:
    with pytest.raises(ServerFailed, match="default/ghost"):
        control_plane.issue_kubeconfig(namespace="default", service_account="ghost")


def test_an_unknown_token_is_nobody(control_plane: ControlPlane, unprivileged_user: User) -> None:
    stranger = User(unprivileged_user.name, groups=unprivileged_user.groups)
    answer = control_plane.kubectl("get", "nodes", user=stranger)
    assert answer.returncode == 1
    assert "must be logged in" in answer.stderr


def test_files_with_tokens_are_readable_by_their_owner_only(control_plane: ControlPlane) -> None:
    assert stat.S_IMODE(control_plane.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(control_plane.kubeconfig().stat().st_mode) == 0o600


def test_stopping_kills_both_servers_and_removes_every_file(assets: Assets) -> None:
    with ControlPlane(assets) as running:
        folder = running.folder
        assert len(find_processes(folder)) == 3, "etcd, kube-apiserver and the guardian"
    assert not folder.exists()
    assert find_processes(folder) == []


def test_nothing_is_left_when_the_owner_is_killed_outright(assets: Assets) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tokenfactory.sandbox.assets import Assets\n"
        "from tokenfactory.sandbox.controlplane import ControlPlane\n"
        "plane = ControlPlane(Assets(*map(Path, sys.argv[1:])))\n"
        "plane.start()\n"
        "print(plane.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    paths = [str(path) for path in (assets.kube_apiserver, assets.etcd, assets.kubectl)]
    owner = subprocess.Popen([sys.executable, "-c", script, *paths], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    assert len(find_processes(folder)) == 3
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    wait_for_end(folder)
    assert not folder.exists()
    assert find_processes(folder) == []


def test_a_server_that_cannot_start_fails_with_the_end_of_its_log_and_leaves_nothing(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho 'the flux capacitor is missing' >&2\nexit 3\n")
    broken.chmod(0o755)
    plane = ControlPlane(Assets(kube_apiserver=broken, etcd=assets.etcd, kubectl=assets.kubectl))
    with pytest.raises(ServerFailed, match=r"(?s)ended with 3.*flux capacitor"):
        plane.start()
    assert list(tmp_path.iterdir()) == [broken]


def test_a_restarted_api_server_has_the_same_address_data_and_tokens(
    control_plane: ControlPlane, unprivileged_user: User
) -> None:
    created = control_plane.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    assert created.returncode == 0, created.stderr
    url, config = control_plane.url, control_plane.kubeconfig().read_text()
    control_plane.stop_api_server()
    try:
        lost = control_plane.kubectl("get", "configmap", "kept", "--request-timeout=5s")
    finally:
        control_plane.start_api_server()
    assert lost.returncode == 1
    assert "refused" in lost.stderr
    assert control_plane.url == url
    assert control_plane.kubeconfig().read_text() == config
    found = control_plane.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}")
    assert (found.returncode, found.stdout) == (0, "b")
    refused = control_plane.kubectl("get", "nodes", user=unprivileged_user)
    assert "cannot list resource" in refused.stderr
