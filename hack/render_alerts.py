#!/usr/bin/env python3
"""Write the alert rules for Prometheus from tokenfactory.publishing.alertrules: `make alerts` runs it.

They go into manifests/components/monitoring/ as a PrometheusRule, and into the chart as the file that its
template shows. Both are committed; a test fails when they lag.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tokenfactory.publishing.alertrules import POOL_RULES, SYMPTOMS, AlertRule
from tokenfactory.publishing.alerts import NOT_KNOWN, RUNBOOKS, cost_basis
from tokenfactory.publishing.families import PREFIX

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ROOT / "manifests" / "components" / "monitoring" / "prometheusrule.yaml"
CHART_FILE = ROOT / "charts" / "tokenfactory" / "files" / "alertrules.yaml"
HEADER = "# Generated from operator/tokenfactory/publishing/alertrules.py by `make alerts`.\n"
POOL = "{{ $labels.namespace }}/{{ $labels.pool }}"
OF_POOL = "{namespace=%q,pool=%q%s}"
METADATA = {
    "name": "tokenfactory-operator",
    "namespace": "tokenfactory-system",
    "labels": {"app.kubernetes.io/name": "tokenfactory-operator"},
}


def _ask(query: str, *, matchers: str = "") -> str:
    """The template action that asks Prometheus about the pool of the alert. `%s` takes the selector."""
    asked = query % OF_POOL
    return f"query (printf `{asked}` $labels.namespace $labels.pool `{matchers}`)"


def _cause() -> str:
    asked = _ask(f"max by (cause) ({PREFIX}findings%s)", matchers=f',cause!~"{"|".join(SYMPTOMS)}"')
    asked += ' | sortByLabel "cause"'
    listed = "{{ if $i }}, {{ end }}{{ $found.Labels.cause }}"
    return f"{{{{ range $i, $found := {asked} }}}}{listed}{{{{ else }}}}{NOT_KNOWN}{{{{ end }}}}"


def _cost(rule: AlertRule) -> str:
    shown, basis = '{{ printf "%.2f" .Value }} {{ .Labels.currency }}', cost_basis(rule)
    asked = _ask(f"max by (currency) ({PREFIX}cost_per_hour%s)")
    if rule.finding:
        cause = f',cause="{rule.finding}"'
        asked = _ask(f"max by (currency) ({PREFIX}findings_cost_per_hour%s)", matchers=cause)
    return f"{{{{ range {asked} }}}}{shown} {basis}{{{{ else }}}}{NOT_KNOWN}{{{{ end }}}}"


def _graph(family: str) -> str:
    """A link into the Prometheus that raised the alert: the one dashboard that is always there."""
    left = quote(f'{PREFIX}{family}{{namespace="', safe="")
    middle, right = quote('",pool="', safe=""), quote('"}', safe="")
    address = f"{left}{{{{ $labels.namespace }}}}{middle}{{{{ $labels.pool }}}}{right}"
    return f"{{{{ $externalURL }}}}/graph?g0.expr={address}&g0.tab=0"


def _duration(seconds: int) -> str:
    return f"{seconds // 60}m"


def _expression(rule: AlertRule) -> str:
    return f"{rule.expression.promql()}\nor {rule.beyond.promql}" if rule.beyond else rule.expression.promql()


def _about(text: str, beyond: str) -> str:
    """The text about the pool; another one where the alert has none."""
    told = text.format(pool=POOL)
    return f"{{{{ if $labels.pool }}}}{told}{{{{ else }}}}{beyond}{{{{ end }}}}" if beyond else told


def _rule(rule: AlertRule) -> dict[str, Any]:
    return {
        "alert": rule.alertname,
        "expr": _expression(rule),
        **({"for": _duration(rule.for_seconds)} if rule.for_seconds else {}),
        "keep_firing_for": _duration(rule.keep_firing_seconds),
        "labels": {"severity": rule.severity.value},
        "annotations": {
            "summary": _about(rule.summary, rule.beyond.summary if rule.beyond else ""),
            "description": _about(rule.description, rule.beyond.description if rule.beyond else ""),
            "cause": _cause(),
            "cost_per_hour": _cost(rule),
            "runbook_url": f"{RUNBOOKS}/{rule.alertname}.md",
            "dashboard_url": _graph(rule.graph),
        },
    }


def groups() -> dict[str, Any]:
    """The rule file, as Prometheus reads it."""
    return {"groups": [{"name": "tokenfactory", "rules": [_rule(rule) for rule in POOL_RULES]}]}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, in the order in which people read a rule."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _dump(body: dict[str, Any]) -> str:
    return HEADER + yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=1000)


def rendered() -> dict[Path, str]:
    """File → text of everything that is made of the rules."""
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": METADATA,
        "spec": groups(),
    }
    return {MANIFEST: _dump(manifest), CHART_FILE: _dump(groups())}


def main() -> None:
    for path, text in rendered().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
