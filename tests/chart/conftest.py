"""A real Helm and an API server with nothing on it, for the chart's tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tools import provide_tools
from tokenfactory.sandbox.assets import provide_assets
from tokenfactory.sandbox.controlplane import ControlPlane

CHART = Path(__file__).parents[2] / "charts" / "tokenfactory"


@dataclass(frozen=True, slots=True)
class Helm:
    """Runs helm with a home of its own, so that nothing of this machine's configuration is seen."""

    binary: Path
    home: Path

    def run(self, *arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.home), "PATH": os.environ.get("PATH", os.defpath)}
        if kubeconfig is not None:
            environment["KUBECONFIG"] = str(kubeconfig)
        return subprocess.run(
            [str(self.binary), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def succeed(self, *arguments: str, kubeconfig: Path | None = None) -> str:
        answer = self.run(*arguments, kubeconfig=kubeconfig)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def template(self, *arguments: str, namespace: str = "tokenfactory-system") -> str:
        return self.succeed("template", "tokenfactory", str(CHART), "--namespace", namespace, *arguments)


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(provide_tools("helm") / "helm", tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def empty_cluster() -> Iterator[ControlPlane]:
    with ControlPlane(provide_assets()) as running:
        yield running
