"""`tokenfactory run` imports what it uses; seen in processes of their own, as pytest imported everything."""

from __future__ import annotations

import subprocess
import sys

OPERATOR = """
import sys
from tokenfactory.runtime.lean import lean_imports
with lean_imports():
    import tokenfactory.runtime.logs, tokenfactory.runtime.wiring
print(*sorted({name.partition(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("kubernetes.")))
"""
AFTERWARDS = """
from kubernetes import client, config
from kubernetes.aio import client as asynchronous
import rich
print(client.V1Pod.__module__, asynchronous.V1Pod.__module__, config.load_kube_config.__module__)
"""


def output_of(code: str) -> list[str]:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def test_the_operator_brings_neither_the_synchronous_client_nor_a_terminal_library() -> None:
    packages, clients = (set(line.split()) for line in output_of(OPERATOR))
    assert {"kopf", "structlog", "aiohttp", "tokenfactory"} <= packages
    assert packages.isdisjoint({"requests", "oauthlib", "charset_normalizer", "rich", "pygments", "numpy"})
    assert all(name.startswith("kubernetes.aio") for name in clients)


def test_after_the_lean_imports_everything_imports_as_ever() -> None:
    *_, modules = output_of(OPERATOR + AFTERWARDS)
    assert modules.split() == [
        "kubernetes.client.models.v1_pod",
        "kubernetes.aio.client.models.v1_pod",
        "kubernetes.config.kube_config",
    ]
