"""`tokenfactory explain` against a running operator: the numbers that it publishes, and their inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.scenes import figure, small_plan, tells_truth
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.fleet import NAMESPACE
from tokenfactory.sandbox.scene import Scene

pytestmark = pytest.mark.controlplane
PLAN = small_plan("explained", replicas=2)


def ask(port: int, pool: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "tokenfactory.cli.main", "explain", pool, "-n", NAMESPACE),
            *("--operator", f"http://127.0.0.1:{port}", "-o", "json"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_leader_explains_what_it_publishes_and_the_pods_add_up(assets: Assets) -> None:
    with Scene(assets, plans=(PLAN,), window_seconds=30) as scene:
        operator = scene.start_operator()
        scene.wait_for("the truth", lambda: tells_truth(operator, PLAN), seconds=90)
        done = ask(operator.explain_port, PLAN.name)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        rows = {row["name"]: row for row in document["figures"]}
        published = figure(operator, "cost_per_million_tokens", PLAN.name, basis="total")
        assert published is not None
        assert float(rows["cost.perMillionTokens"]["value"]) == pytest.approx(published, rel=0.01)
        assert len(document["pods"]) == 2
        inputs = {row["name"]: float(row["value"]) for row in document["inputs"]}
        total = sum(float(pod["inputs"]["outputTokens"]) for pod in document["pods"])
        assert total == pytest.approx(inputs["outputTokens"])
        assert {pod["pod"] for pod in document["pods"]} == set(scene.fleet.engines)
        assert ask(operator.explain_port, "another").returncode == 1
