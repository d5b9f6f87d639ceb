"""One condition, two judges: the operator's own alerts and the shipped rules, on the same scenes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hack import render_alerts

from tests.support import subjects
from tests.support.tools import provide_tools
from tokenfactory.measure import Absence, Missing
from tokenfactory.model import DenominatorState, Finding, OptimizationState, Truth
from tokenfactory.publishing import dayuse
from tokenfactory.publishing.alertrules import POOL_RULES, SYMPTOMS
from tokenfactory.publishing.expressions import look_at
from tokenfactory.publishing.families import GAUGES, PREFIX
from tokenfactory.publishing.samples import samples
from tokenfactory.publishing.status import Subject

AT = 30 * 60
EXPRESSIONS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load(render_alerts.CHART_FILE.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}


def scene(*, at: float = AT, **changes: Any) -> Subject:
    found = subjects.subject(economics=subjects.economics(at=at), **changes)
    return replace(found, now=float(AT))


def with_condition(kind: str, status: Truth, reason: str) -> Subject:
    verdict = subjects.verdict()
    conditions = tuple(
        subjects.condition(kind, status, reason) if item.type == kind else item for item in verdict.conditions
    )
    return scene(verdict=replace(verdict, conditions=conditions))


def simulated() -> Subject:
    rows = tuple(replace(row, state=OptimizationState.SIMULATED) for row in subjects.rows()[:1])
    return scene(verdict=subjects.verdict(rows=rows + subjects.rows()[1:]))


def energy(coverage: float) -> Subject:
    few = Missing(Absence.INCOMPLETE_COVERAGE)
    measured = replace(subjects.energy(watts=1.0, rate=1.0), watts=few, coverage=subjects.known(coverage))
    return scene_with(measured=measured)


def scene_with(**figures: Any) -> Subject:
    return replace(subjects.subject(), economics=subjects.economics(at=float(AT), **figures), now=float(AT))


def cost_objective(met: bool | None, state: DenominatorState) -> Subject:
    return scene(verdict=subjects.verdict(state, objectives=(subjects.objective("cost", met),)))


SCENES: dict[str, tuple[Subject, set[str]]] = {
    "all is well": (scene(), set()),
    **{
        f"the verdict is {state.value}": (
            scene(verdict=subjects.verdict(state)),
            {state.value} & set(SYMPTOMS),
        )
        for state in DenominatorState
    },
    "the cost is above the objective": (
        cost_objective(False, DenominatorState.HEALTHY),
        {"CostAboveObjective"},
    ),
    "the cost is above the objective on a quiet night": (
        cost_objective(False, DenominatorState.LOW_DEMAND),
        set(),
    ),
    "the objective is met": (cost_objective(True, DenominatorState.HEALTHY), set()),
    "the objective can't be judged": (cost_objective(None, DenominatorState.HEALTHY), set()),
    "a Required optimization is missing": (
        with_condition("OptimizationsActive", Truth.FALSE, "Missing"),
        {"OptimizationLost"},
    ),
    "an optimization can't be verified": (
        with_condition("OptimizationsActive", Truth.UNKNOWN, "Unverifiable"),
        set(),
    ),
    "acceptance is simulated": (simulated(), {"SimulatedAcceptance"}),
    "a page fails": (
        with_condition("TelemetryHealthy", Truth.FALSE, "ScrapeFailed"),
        {"TelemetryMissing"},
    ),
    "no price is known": (with_condition("PriceKnown", Truth.FALSE, "NoPrice"), {"PriceUnknown"}),
    "half of the GPUs' energy is read": (energy(0.5), {"EnergyInvalid"}),
    "no GPU's energy is read": (energy(0.0), set()),
    "a bug in every cycle": (with_condition("Ready", Truth.UNKNOWN, "InternalError"), {"OperatorStale"}),
    "looked at a quarter of an hour ago": (scene(at=AT - 900), set()),
    "not looked at for longer": (scene(at=AT - 901), {"OperatorStale"}),
    "the pool is suspended": (subjects.closed("Suspended"), set()),
    "findings that cost money are no alert by themselves": (
        scene(verdict=subjects.verdict(findings=(Finding(cause="PaidIdle", message=""),))),
        set(),
    ),
}


def told_by_operator(subject: Subject) -> set[str]:
    sight = look_at(samples(subject), now=float(AT))
    return {rule.name for rule in POOL_RULES if rule.expression.holds(sight)}


def series_of(subject: Subject) -> list[dict[str, str]]:
    found = [{"series": "tokenfactory_last_sweep_timestamp_seconds", "values": "0+60x40"}]
    for family, values, value in samples(subject):
        labels = {"namespace": "serving", "pool": "r1", **dict(zip(GAUGES[family][1], values, strict=True))}
        row = ",".join(f'{name}="{text}"' for name, text in labels.items())
        found.append({"series": f"{PREFIX}{family}{{{row}}}", "values": f"{value!r}x40"})
    return found


def expect(names: set[str], *, at: str) -> list[dict[str, Any]]:
    """That of all rules exactly these hold."""
    return [
        {
            "expr": f"count by (namespace, pool) ({text})",
            "eval_time": at,
            "exp_samples": [{"labels": '{namespace="serving", pool="r1"}', "value": 1}]
            if alert.removeprefix("TokenFactory") in names
            else [],
        }
        for alert, text in EXPRESSIONS.items()
    ]


def ask_prometheus(tests: list[dict[str, Any]], folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "scenes.yaml"
    path.write_text(json.dumps({"rule_files": [], "tests": tests}))
    command = [str(provide_tools("prometheus") / "promtool"), "test", "rules", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", SCENES)
def test_the_operator_raises_what_the_scene_deserves(name: str) -> None:
    subject, deserved = SCENES[name]
    assert told_by_operator(subject) == deserved


def test_prometheus_raises_the_same_on_every_scene(tmp_path: Path) -> None:
    tests = [
        {
            "name": name,
            "interval": "1m",
            "input_series": series_of(subject),
            "promql_expr_test": expect(told_by_operator(subject), at="30m"),
        }
        for name, (subject, _) in SCENES.items()
    ]
    answer = ask_prometheus(tests, tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_comparison_would_see_a_rule_that_drifted(tmp_path: Path) -> None:
    subject, _ = SCENES["acceptance is simulated"]
    test = {
        "interval": "1m",
        "input_series": series_of(subject),
        "promql_expr_test": expect(set(), at="30m"),
    }
    assert ask_prometheus([test], tmp_path).returncode == 1


def test_every_rule_about_a_pool_is_raised_by_some_scene() -> None:
    raised = set().union(*(deserved for _, deserved in SCENES.values()))
    assert raised | {"PaidIdle"} == {rule.name for rule in POOL_RULES}


DAYS: dict[str, tuple[tuple[float, ...], set[str]]] = {
    "idle for fourteen hours of a day": ((1.0,) * 14 + (0.0,) * 11, {"PaidIdle"}),
    "idle for a night of eight hours": ((0.0,) * 17 + (1.0,) * 8, set()),
    "a third idle all day": ((0.3,) * 25, set()),
    "new and idle": ((1.0,) * 20, set()),
}


@pytest.mark.parametrize("name", DAYS)
def test_a_day_of_idle_gpus_is_the_same_day_for_both(name: str, tmp_path: Path) -> None:
    hours, deserved = DAYS[name]
    idle = serving = 0.0
    day: dayuse.DayUse = ()
    counters: dict[str, list[str]] = {"idle": [], "serving": []}
    for step in range(len(hours) * 12):
        share = hours[step // 12]
        added = {"idle": 300 * share, "serving": 300 * (1 - share)}
        idle, serving = idle + added["idle"], serving + added["serving"]
        day = dayuse.add(day, added, now=step * 300.0)
        counters["idle"].append(repr(idle))
        counters["serving"].append(repr(serving))
    now = (len(hours) * 12 - 1) * 300
    sight = look_at((), now=float(now), unused_of_day=dayuse.unused_share(day, now=float(now)))
    assert {rule.name for rule in POOL_RULES if rule.expression.holds(sight)} == deserved
    row = 'namespace="serving",pool="r1"'
    series = [
        {"series": f'{PREFIX}gpu_seconds_total{{{row},share="{share}"}}', "values": " ".join(values)}
        for share, values in counters.items()
    ]
    steady = f"0+300x{len(hours) * 12}"
    series += [
        {"series": f"{PREFIX}last_observation_timestamp_seconds{{{row}}}", "values": steady},
        {"series": "tokenfactory_last_sweep_timestamp_seconds", "values": steady},
    ]
    test = {
        "interval": "5m",
        "input_series": series,
        "promql_expr_test": expect(deserved, at=f"{now // 60}m"),
    }
    answer = ask_prometheus([test], tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
