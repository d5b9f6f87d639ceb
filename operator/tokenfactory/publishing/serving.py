"""Who serves, with which optimizations, and what to look at: the parts of a status that are words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from tokenfactory.model import (
    INSIDE,
    Economics,
    EngineEvidence,
    EngineKind,
    Finding,
    Fleet,
    Inspected,
    OptimizationName,
    OptimizationRow,
    OptimizationState,
    Policy,
    Verdict,
    id_of,
)
from tokenfactory.publishing.text import clean, number, present

FINDINGS_SHOWN = 20
FINDING_BYTES = 512
ROW_BYTES = 384
NAME_BYTES = 128
SPECULATION = (OptimizationName.MULTI_TOKEN_PREDICTION, OptimizationName.SPECULATIVE_DECODING)
HARMLESS = re.compile(r"[A-Za-z0-9/._:+ -]{1,256}", re.ASCII)


def serving(
    fleet: Fleet | None, inspected: Sequence[Inspected], economics: Economics | None
) -> dict[str, Any]:
    """`status.serving`: engine, model, speculation, replicas by role and coverage such as `7/8`."""
    if fleet is None:
        return {}
    evidence = economics.evidence if economics else ()
    return present(
        {
            "engine": ", ".join(sorted(_layers(fleet, inspected, evidence))),
            "engineVersion": _agreed(found.version for found in evidence),
            "model": _agreed(found.model for found in evidence) or _agreed(item.model for item in inspected),
            "method": _agreed(_methods(inspected)),
            "roles": [
                {"name": share.role.value, "replicas": share.replicas, "gpus": number(share.gpus) or "0"}
                for share in (economics.roles if economics else ())
            ],
            "replicas": len(fleet.replicas),
            "coverage": _coverage(economics),
        }
    )


def _layers(
    fleet: Fleet, inspected: Iterable[Inspected], evidence: Iterable[EngineEvidence]
) -> frozenset[str]:
    """What serves, the outermost first: `dynamo/vllm`, `llm-d/sglang`, `nim/vllm`, or just `vllm`."""
    wrappers = {(item.pod_uid, item.container): item.wrapper for item in inspected}
    inside = {row.id: row.info.get(INSIDE, "") for row in evidence}
    return frozenset(
        "/".join(
            filter(
                None,
                (
                    wrappers.get((replica.pod.uid, engine.container.name), engine.wrapper),
                    engine.kind.value,
                    inside.get(id_of(replica.pod, engine), ""),
                ),
            )
        )
        for replica in fleet.replicas
        for engine in replica.engines
        if engine.kind is not EngineKind.NONE
    )


def _coverage(economics: Economics | None) -> str | None:
    if economics is None or economics.coverage.expected <= 0:
        return None
    return f"{economics.coverage.scraped}/{economics.coverage.expected}"


def _methods(inspected: Iterable[Inspected]) -> Iterable[str]:
    for item in inspected:
        yield from (declared.method for declared in item.declarations if declared.optimization in SPECULATION)


def _agreed(names: Iterable[str]) -> str:
    """The names that were found, sorted; without those that could carry a credential or a control code."""
    found = {name.strip() for name in names if name and HARMLESS.fullmatch(name.strip())}
    return clean(", ".join(sorted(name for name in found if name and "://" not in name)), limit=NAME_BYTES)


def optimizations(rows: Sequence[OptimizationRow]) -> list[dict[str, Any]]:
    """`status.optimizations`: declared, proven and seen, a row for each optimization."""
    return [
        present(
            {
                "name": row.name.value,
                "policy": row.policy.value,
                "declared": clean(row.declared, limit=ROW_BYTES),
                "state": row.state.value,
                "evidence": clean(row.evidence, limit=ROW_BYTES),
                "observed": clean(row.observed, limit=ROW_BYTES),
                "replicas": f"{row.replicas_active}/{row.replicas_applicable}"
                if row.replicas_applicable
                else None,
                "savingPerMillionTokens": number(row.saving),
            }
        )
        for row in rows[: len(OptimizationName)]
    ]


def optimizations_active(rows: Sequence[OptimizationRow]) -> str | None:
    """Active rows over rows whose policy is not Ignored, such as `4/5`; None when nothing is counted."""
    counted = [row for row in rows if row.policy is not Policy.IGNORED]
    active = sum(row.state is OptimizationState.ACTIVE for row in counted)
    return f"{active}/{len(counted)}" if counted else None


def findings(verdict: Verdict, *, limit: int = FINDINGS_SHOWN) -> list[dict[str, Any]]:
    """`status.findings`: the most expensive first, those without a price last, at most `limit`."""
    ordered = sorted(verdict.findings, key=by_cost)
    return [finding_row(finding) for finding in ordered[:limit]]


def by_cost(finding: Finding) -> tuple[Decimal, str, str]:
    """Sorts the most expensive finding first, and equals always in one order."""
    cost = finding.cost_per_hour if finding.cost_per_hour is not None else Decimal(-1)
    return (-cost if cost.is_finite() else Decimal(1), finding.cause, finding.message)


def finding_row(finding: Finding) -> dict[str, Any]:
    """One finding as it stands in a status."""
    return present(
        {
            "cause": clean(finding.cause, limit=64),
            "message": clean(finding.message, limit=FINDING_BYTES),
            "costPerHour": number(finding.cost_per_hour),
        }
    )
