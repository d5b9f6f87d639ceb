"""The shipped alert rules under the real promtool, and what has to be true of every one of them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hack import render_alerts

from tests.support.tools import provide_tools
from tokenfactory.publishing.alertrules import POOL_RULES
from tokenfactory.publishing.families import COUNTERS, GAUGES, PREFIX

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RULES = render_alerts.CHART_FILE
GROUPS = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
SHIPPED = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
SCENARIOS = sorted(HERE.glob("*.yaml"))
OF_THE_OPERATOR = {"tokenfactory_last_sweep_timestamp_seconds": frozenset[str]()}
LABELS = re.compile(r"(\w+)\s*!?=~?")
SELECTOR = re.compile(r"(tokenfactory_\w+)(?:\{([^}]*)\})?")


@pytest.fixture(scope="module")
def promtool() -> Path:
    return provide_tools("prometheus") / "promtool"


def run(promtool: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(promtool), *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def exported() -> dict[str, frozenset[str]]:
    """Every series that the rules may use, with its labels."""
    pool = frozenset({"namespace", "pool"})
    counters = {f"{PREFIX}{name}_total": pool | set(labels) for name, (_, labels) in COUNTERS.items()}
    gauges = {PREFIX + name: pool | set(labels) for name, (_, labels) in GAUGES.items()}
    return counters | gauges | OF_THE_OPERATOR


def selectors(text: str) -> list[tuple[str, set[str]]]:
    return [(name, set(LABELS.findall(inner or ""))) for name, inner in SELECTOR.findall(text)]


def test_the_rule_files_are_those_that_make_alerts_writes() -> None:
    for path, text in render_alerts.rendered().items():
        assert path.read_text(encoding="utf-8") == text, f"run `make alerts`: {path} lags"


def test_promtool_finds_nothing_wrong_with_the_rules(promtool: Path) -> None:
    answer = run(promtool, "check", "rules", "--lint-fatal", str(RULES))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{len(POOL_RULES)} rules found" in answer.stdout


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_the_scenario_goes_as_written(scenario: Path, promtool: Path) -> None:
    answer = run(promtool, "test", "rules", str(scenario))
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("name", SHIPPED)
def test_a_scenario_shows_that_the_rule_fires_and_survives_a_scrape_gap(name: str) -> None:
    tests = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))["tests"]
    for kind in ("fires", "survives"):
        samples = [
            sample
            for test in tests
            if test["name"].startswith(kind)
            for check in test["promql_expr_test"]
            for sample in check["exp_samples"]
        ]
        assert any(name in sample["labels"] and "firing" in sample["labels"] for sample in samples), kind


@pytest.mark.parametrize("rule", SHIPPED.values(), ids=lambda rule: rule["alert"])
def test_a_rule_uses_only_what_the_operator_exports(rule: dict[str, Any]) -> None:
    known = exported()
    texts = (rule["expr"], rule["annotations"]["cause"], rule["annotations"]["cost_per_hour"])
    used = [found for text in texts for found in selectors(text.replace("%s", ""))]
    assert used
    for name, labels in used:
        assert name in known, name
        assert labels <= known[name], f"{name} has no {labels - known[name]}"


@pytest.mark.parametrize("rule", SHIPPED.values(), ids=lambda rule: rule["alert"])
def test_a_rule_says_what_a_person_needs_and_links_to_its_runbook(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("TokenFactory")
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    annotations = rule["annotations"]
    assert set(annotations) == {
        "summary",
        "description",
        "cause",
        "cost_per_hour",
        "runbook_url",
        "dashboard_url",
    }
    assert annotations["dashboard_url"].startswith("{{ $externalURL }}/graph?g0.expr=tokenfactory_")
    runbook = (ROOT / annotations["runbook_url"]).read_text(encoding="utf-8")
    assert runbook.startswith(f"# {rule['alert']}\n\nSeverity: {rule['labels']['severity']}")
    headings = re.findall(r"^## (.*)$", runbook, re.MULTILINE)
    assert headings == ["Meaning", "Impact", "Diagnosis", "Mitigation"]


JUDGED = (
    "ThroughputCollapsed",
    "EngineStalled",
    "EfficiencyDegraded",
    "OptimizationLost",
    "SimulatedAcceptance",
)


@pytest.mark.parametrize("name", JUDGED)
def test_what_the_judge_debounced_waits_for_a_minute_at_most(name: str) -> None:
    assert SHIPPED[f"TokenFactory{name}"].get("for", "0m") in ("0m", "1m")


@pytest.mark.parametrize("rule", SHIPPED.values(), ids=lambda rule: rule["alert"])
def test_an_alert_outlives_two_minutes_without_a_page(rule: dict[str, Any]) -> None:
    assert int(rule["keep_firing_for"].removesuffix("m")) >= 2


def test_every_rule_has_its_runbook_and_every_runbook_its_rule() -> None:
    assert {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} == set(SHIPPED)


def test_the_texts_of_an_alert_are_filled_from_the_pools_series(promtool: Path, tmp_path: Path) -> None:
    """The annotations of a collapse, word by word: its causes in order, its cost and of what."""
    row = 'namespace="serving", pool="r1", instance="a"'
    labels = {"namespace": "serving", "pool": "r1", "severity": "critical"}
    expected = {
        "summary": "Pool serving/r1 makes far fewer tokens per GPU than it used to, and requests wait.",
        "description": "The output per GPU of pool serving/r1 fell under its collapse threshold, compared"
        " with the pool's own record at the same concurrency. Each token costs a multiple of what it did.",
        "cause": "OptimizationLost, PaidIdle",
        "cost_per_hour": "12.50 USD an hour for ThroughputCollapsed",
        "runbook_url": "docs/runbooks/TokenFactoryThroughputCollapsed.md",
        "dashboard_url": "http://prometheus.example/graph?g0.expr=tokenfactory_pool_efficiency_ratio"
        "%7Bnamespace%3D%22serving%22%2Cpool%3D%22r1%22%7D&g0.tab=0",
    }
    series = {
        f'denominator_state{{{row}, state="ThroughputCollapsed"}}': "1x10",
        f'findings{{{row}, cause="ThroughputCollapsed"}}': "1x10",
        f'findings{{{row}, cause="PaidIdle"}}': "1x10",
        f'findings{{{row}, cause="OptimizationLost"}}': "2x10",
        f'findings_cost_per_hour{{{row}, cause="ThroughputCollapsed", currency="USD"}}': "12.5x10",
        f'findings_cost_per_hour{{{row}, cause="PaidIdle", currency="USD"}}': "3x10",
    }
    scenario = {
        "rule_files": [str(RULES)],
        "tests": [
            {
                "interval": "15s",
                "external_url": "http://prometheus.example",
                "input_series": [
                    {"series": PREFIX + name, "values": values} for name, values in series.items()
                ],
                "alert_rule_test": [
                    {
                        "eval_time": "2m",
                        "alertname": "TokenFactoryThroughputCollapsed",
                        "exp_alerts": [{"exp_labels": labels, "exp_annotations": expected}],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "annotations.yaml"
    path.write_text(json.dumps(scenario))
    answer = run(promtool, "test", "rules", str(path))
    assert answer.returncode == 0, answer.stdout + answer.stderr
