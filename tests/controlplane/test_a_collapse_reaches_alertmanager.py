"""End to end: a real API server, the operator, a real Prometheus with the shipped rules, real Alertmanagers.

A replayed pool loses the acceptance of its drafts at the same concurrency. One Alertmanager hears of it from
Prometheus, another from the operator itself. The tests tell one story and run in order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hack import render_alerts

from tests.support.alertmanager import AlertmanagerServer, Pager
from tests.support.prometheus import PrometheusServer, scrape_job
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.fleet import NAMESPACE, PoolPlan
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.servers import LOOPBACK
from tokenfactory.sandbox.workload import Workload

pytestmark = pytest.mark.controlplane

CAUSE = "AcceptanceFell"
ALERT = "TokenFactoryThroughputCollapsed"
WINDOW = 30
WELL = Workload(
    model="llama-3.3-70b",
    uncached_input=3000.0,
    output=1200.0,
    requests=6.0,
    concurrency=16.0,
    drafts=400.0,
    draft_tokens=1200.0,
    accepted_tokens=800.0,
    waiting=2.0,
)
SICK = replace(WELL, uncached_input=900.0, output=360.0, requests=1.8, drafts=352.0, accepted_tokens=8.0)
PLAN = PoolPlan(
    name="llama-spec",
    product="NVIDIA-H200",
    gpus_per_pod=2,
    replicas=2,
    per_gpu_hour=Decimal("1.41"),
    watts_per_gpu=525.0,
    args=(
        "--model=meta-llama/Llama-3.3-70B-Instruct",
        "--tensor-parallel-size=2",
        '--speculative-config={"method":"eagle3","model":"llama-eagle3","num_speculative_tokens":3}',
    ),
    required=("SpeculativeDecoding",),
    workload=WELL,
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs. `heard` and `told` are what came by Prometheus, and from the operator itself."""

    scene: Scene
    operator: OperatorProcess
    by_prometheus: AlertmanagerServer
    by_operator: AlertmanagerServer
    heard: Pager
    told: Pager

    def work(self, workload: Workload) -> None:
        now = time.time()
        for engine in self.scene.fleet.engines.values():
            engine.odometer.change(workload, now=now)

    def state(self) -> str:
        return str(self.scene.condition(PLAN.name, "DenominatorHealthy").get("reason", ""))


def cause_at(server: AlertmanagerServer) -> str:
    """The cause that an Alertmanager knows by now: a later word on an alert replaces the annotations."""
    return str(server.alerts().get(ALERT, {}).get("annotations", {}).get("cause", ""))


def prometheus_of(folder: Path, *, operator: int, alertmanager: str) -> PrometheusServer:
    """The shipped rules, but a collapse is kept firing for ten seconds instead of two minutes."""
    rules = render_alerts.CHART_FILE.read_text(encoding="utf-8")
    (folder / "alertrules.yaml").write_text(rules.replace("keep_firing_for: 2m", "keep_firing_for: 10s"))
    target = (f"{LOOPBACK}:{operator}", {"namespace": "tokenfactory-system"})
    receivers = [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]
    return PrometheusServer(
        folder,
        [scrape_job("tokenfactory", [target], honor_labels=True)],
        rule_files=["alertrules.yaml"],
        alerting={"alertmanagers": receivers},
    )


@pytest.fixture(scope="module")
def stage(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second", "prometheus")]
    with (
        Pager() as heard,
        Pager() as told,
        AlertmanagerServer(folders[0], heard) as by_prometheus,
        AlertmanagerServer(folders[1], told) as by_operator,
        Scene(assets, (PLAN,), window_seconds=WINDOW) as scene,
    ):
        spec = yaml.safe_dump({"spec": {"alertmanagers": [{"url": by_operator.url}]}})
        scene.kubectl("patch", "tfactory", "default", "--type=merge", "-p", spec)
        operator = scene.start_operator()
        with prometheus_of(folders[2], operator=operator.port, alertmanager=by_prometheus.url):
            yield Stage(scene, operator, by_prometheus, by_operator, heard, told)


def test_a_healthy_pool_raises_nothing(stage: Stage) -> None:
    stage.scene.wait_for("a verdict", lambda: stage.state() in ("Healthy", "Saturated"), seconds=240)
    assert stage.heard.notes == []
    assert stage.told.notes == []


def test_the_collapse_reaches_both_alertmanagers_with_its_cause_and_its_cost(stage: Stage) -> None:
    stage.work(SICK)
    stage.scene.wait_for("the collapse", lambda: ALERT in stage.by_prometheus.alerts(), seconds=120)
    for server in (stage.by_prometheus, stage.by_operator):
        stage.scene.wait_for("its cause", lambda: CAUSE in cause_at(server), seconds=90)  # noqa: B023
    found, posted = stage.by_prometheus.alerts()[ALERT], stage.by_operator.alerts()[ALERT]
    assert (
        found["labels"]
        == posted["labels"]
        == {
            "alertname": ALERT,
            "namespace": NAMESPACE,
            "pool": PLAN.name,
            "severity": "critical",
        }
    )
    for alert in (found, posted):
        assert "USD an hour for ThroughputCollapsed" in alert["annotations"]["cost_per_hour"]
        assert alert["annotations"]["runbook_url"].endswith(f"{ALERT}.md")
    for name in ("summary", "description", "runbook_url"):
        assert found["annotations"][name] == posted["annotations"][name]
    assert posted["annotations"]["message"]
    stage.scene.wait_for("the page", lambda: stage.heard.statuses(ALERT) == ["firing"], seconds=15)


def test_it_resolves_when_the_throughput_is_back(stage: Stage) -> None:
    stage.work(WELL)
    stage.scene.wait_for("the end", lambda: ALERT not in stage.by_prometheus.alerts(), seconds=180)
    stage.scene.wait_for(
        "the page's end", lambda: stage.heard.statuses(ALERT) == ["firing", "resolved"], seconds=15
    )


def test_a_deleted_pool_ends_what_the_operator_posted_of_it(stage: Stage) -> None:
    stage.scene.kubectl("delete", "tfpool", PLAN.name, "-n", NAMESPACE)
    stage.scene.wait_for("the end", lambda: stage.told.statuses(ALERT) == ["firing", "resolved"], seconds=30)
