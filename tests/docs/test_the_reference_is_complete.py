"""What exists in the code is documented, and what is documented exists."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any

import pytest
import typer
from hack import render_api_reference, render_metrics_reference
from hack.render_metrics_reference import operator_rows

from tests.support.documents import codes, read, rows, section
from tokenfactory.agent.settings import AgentSettings
from tokenfactory.api.conditions import REASONS, ConditionType
from tokenfactory.cli.main import COMMANDS, build
from tokenfactory.judgement.reasons import Cause
from tokenfactory.model import CostBasis, FailureReason, PrometheusReason
from tokenfactory.publishing.families import COUNTERS, GAUGES, PREFIX, UNITS
from tokenfactory.publishing.operator_metrics import OUTCOMES
from tokenfactory.publishing.samples import BASES, OBJECTIVES
from tokenfactory.runtime.settings import Settings

METRICS = read("docs/reference/metrics.md")
SETTINGS = read("docs/reference/settings.md")
QUICKSTART = read("docs/quickstart.md")
JUDGE = read("docs/judge.md")
FROM_PROMETHEUS = read("docs/how-to/read-from-prometheus.md")

Shape = tuple[str, frozenset[str]]


def documented_metrics(heading: str) -> dict[str, Shape]:
    found = [row for row in rows(section(METRICS, heading)) if len(row) == 5]
    shapes = {codes(name)[0]: (kind, frozenset(codes(labels))) for name, kind, labels, _, _ in found}
    assert len(shapes) == len(found), "a metric is documented twice"
    return shapes


def test_every_metric_of_a_pool_is_documented_with_its_labels_and_no_other_is() -> None:
    counters = {
        f"{PREFIX}{name}_total": ("counter", frozenset(labels)) for name, (_, labels) in COUNTERS.items()
    }
    gauges = {f"{PREFIX}{name}": ("gauge", frozenset(labels)) for name, (_, labels) in GAUGES.items()}
    assert documented_metrics("## Pools") == counters | gauges


def test_every_metric_of_the_operator_is_documented_with_its_labels_and_no_other_is() -> None:
    exported = {name: (kind, frozenset(labels)) for name, kind, labels, _, _ in operator_rows()}
    assert documented_metrics("## Operator") == exported


def test_every_outcome_of_a_scrape_is_documented_and_no_other_is() -> None:
    listed = {codes(row[0])[0] for row in rows(section(METRICS, "### Outcomes of a scrape"))}
    assert listed == {reason.value for reason in FailureReason} | {"ok"}


def test_the_reference_of_the_metrics_is_what_the_code_renders() -> None:
    assert read("docs/reference/metrics.md") == render_metrics_reference.render(), (
        "run .venv/bin/python hack/render_metrics_reference.py"
    )


def test_every_family_has_a_unit_and_no_unit_is_without_its_family() -> None:
    assert set(UNITS) == {*COUNTERS, *GAUGES}


def test_every_cause_has_a_row_that_explains_it() -> None:
    explained = [name for row in rows(section(JUDGE, "## Causes")) for name in codes(row[0])]
    assert sorted(explained) == sorted(cause.value for cause in Cause)


def test_every_cause_basis_and_outcome_of_a_write_is_in_the_reference() -> None:
    told = set(codes(section(METRICS, "## Pools"))) | set(codes(section(METRICS, "## Operator")))
    assert {cause.value for cause in Cause} | set(BASES.values()) | OBJECTIVES | set(OUTCOMES) <= told
    assert len(BASES) == len(CostBasis)


@pytest.mark.parametrize(
    ("command", "settings", "prefix"),
    [("run", Settings, "TOKENFACTORY_"), ("agent", AgentSettings, "TOKENFACTORY_AGENT_")],
)
def test_every_setting_is_documented_with_its_variable_and_default_and_no_other_is(
    command: str, settings: type[Settings | AgentSettings], prefix: str
) -> None:
    listed = [row for row in rows(section(SETTINGS, f"## `tokenfactory {command}`")) if len(row) == 4]
    documented = {codes(flag)[0]: (codes(variable)[0], default) for flag, variable, default, _ in listed}
    assert documented == {
        f"--{name.replace('_', '-')}": (f"{prefix}{name.upper()}", shown(field.default))
        for name, field in settings.model_fields.items()
    }


def shown(default: object) -> str:
    value = default.value if isinstance(default, StrEnum) else default
    if value in ("", ()):
        return "empty"
    return f"`{json.dumps(value) if isinstance(value, tuple) else value}`"


@pytest.mark.parametrize("kind", list(ConditionType))
def test_every_reason_of_a_condition_is_explained_and_no_other_is(kind: ConditionType) -> None:
    listed = [codes(row[0])[0] for row in rows(section(QUICKSTART, f"### {kind.value}"))]
    assert sorted(listed) == sorted(reason.value for reason in REASONS[kind])


def test_every_reason_of_a_factorys_prometheus_is_explained_and_no_other_is() -> None:
    listed = [codes(row[0])[0] for row in rows(section(FROM_PROMETHEUS, "## When it does not work"))]
    of_pages = {
        FailureReason.NOT_IN_PROMETHEUS,
        FailureReason.DOWN_IN_PROMETHEUS,
        FailureReason.SELDOM_IN_PROMETHEUS,
        FailureReason.NO_ENGINE_METRICS,
    }
    assert sorted(listed) == sorted([*PrometheusReason, *of_pages])


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(build(COMMANDS))
    return dict(group.commands)


def test_every_command_has_its_section_and_no_other_has() -> None:
    assert set(re.findall(r"^## `tokenfactory (\w+)`$", SETTINGS, re.MULTILINE)) == set(commands())


@pytest.mark.parametrize("name", sorted(set(commands()) - {"run", "agent"}))
def test_every_option_of_a_command_is_documented_and_no_other_is(name: str) -> None:
    known = {option for parameter in commands()[name].params for option in parameter.opts} - {"--help"}
    listed = {
        option for row in rows(section(SETTINGS, f"## `tokenfactory {name}`")) for option in codes(row[0])
    }
    assert listed == known


def test_the_reference_of_the_resources_is_what_the_models_render() -> None:
    assert read("docs/reference/api.md") == render_api_reference.render(), (
        "run .venv/bin/python hack/render_api_reference.py"
    )
