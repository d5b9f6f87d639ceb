"""Asks a running operator for an explanation, through kubectl and the rights of whoever calls."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tokenfactory.errors import UnreadableInput

SECONDS = 30
LARGEST_ANSWER = 64 * 1024 * 1024
POD_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) ->")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where the operator runs, and by which context kubectl reaches it (empty: the current one)."""

    namespace: str
    lease_name: str
    port: int
    context: str = ""


def ask(url: str, *, namespace: str, pool: str) -> dict[str, Any] | None:
    """The explanation from an operator's /explain; None when it has none. Raises UnreadableInput.

    No proxy of the environment is used: the address is this machine's end of a port-forward.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise UnreadableInput("--operator is an http or https URL")
    query = urllib.parse.urlencode({"namespace": namespace, "pool": pool})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url.rstrip('/')}/explain?{query}", timeout=SECONDS) as answer:
            found: dict[str, Any] = json.loads(answer.read(LARGEST_ANSWER))
            return found
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise UnreadableInput(f"the operator answered {error.code}") from None
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"the operator can't be asked: {type(error).__name__}") from None


@contextmanager
def forwarded(where: Installation) -> Iterator[str]:
    """The URL of a port-forward to the leader, ended on exit. Raises UnreadableInput with kubectl's word."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise UnreadableInput("kubectl is not on the PATH: forward the port yourself and give --operator")
    base = [kubectl, *(("--context", where.context) if where.context else ()), "-n", where.namespace]
    leader = _find_leader(base, where)
    process = subprocess.Popen(  # noqa: S603
        [*base, "port-forward", f"pod/{leader}", f":{where.port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        found = FORWARDING.match(process.stdout.readline())
        if found is None:
            process.terminate()
            raise UnreadableInput(f"kubectl port-forward pod/{leader}: {_said(process.communicate()[1])}")
        yield f"http://127.0.0.1:{int(found[1])}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def current_namespace(context: str) -> str:
    """The namespace of the kubeconfig's context, empty when it names none or there is no kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return ""
    chosen = ["--context", context] if context else []
    done = subprocess.run(  # noqa: S603
        [kubectl, *chosen, "config", "view", "--minify", "-o", "jsonpath={..namespace}"],
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def _find_leader(base: list[str], where: Installation) -> str:
    """The pod that holds the Lease: its identity is the pod's name in the shipped manifests."""
    done = subprocess.run(  # noqa: S603
        [*base, "get", "lease", where.lease_name, "-o", "jsonpath={.spec.holderIdentity}"],
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise UnreadableInput(f"kubectl get lease {where.lease_name}: {_said(done.stderr)}")
    leader = done.stdout.decode(errors="replace").strip()
    if not POD_NAME.fullmatch(leader):
        raise UnreadableInput("no replica of the operator leads: its Lease names no pod")
    return leader


def _said(text: bytes) -> str:
    """kubectl's last line, printable and short."""
    lines = text.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return "".join(letter if letter.isprintable() else " " for letter in lines[-1])[:300]
