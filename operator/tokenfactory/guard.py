"""May this workload be applied? What pools require, against what its pod templates declare. Pure.

Discovery and inspection meet here as they meet in the line. Only what is certain is refused: what the
manifest can't tell is a warning, and a workload that runs already is never held up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tokenfactory.discovery.manifests import PodTemplate, read_templates
from tokenfactory.inspection.report import EngineReport, inspect_pod
from tokenfactory.model import (
    Declaration,
    DeclarationState,
    EngineKind,
    Guard,
    OptimizationName,
    Policy,
    Pool,
    Role,
    Terms,
)

MOST_TOLD = 8
LONGEST_TOLD = 240
GENERATING = frozenset({Role.AGGREGATED, Role.DECODE})
SERVING = frozenset({Role.AGGREGATED, Role.PREFILL, Role.DECODE})
LACKING: Mapping[DeclarationState, str] = MappingProxyType(
    {
        DeclarationState.NOT_DECLARED: "does not declare it",
        DeclarationState.OFF: "switches it off",
        DeclarationState.INVALID: "declares it in a way that can't work",
        DeclarationState.SIMULATED: "only simulates it",
    }
)
UNTOLD = "does not tell whether it does: it comes from a file, a variable or the image"
WEIGHT_ONLY = "has it for weights only: these GPUs have no FP4 arithmetic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What is said of a workload: `refusals` hold it up, `warnings` are shown. Each is one line."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Lack:
    line: str
    certain: bool
    guard: Guard


def examine(
    document: Mapping[str, Any],
    *,
    namespace: str,
    pools: Iterable[tuple[Pool, Terms]],
    before: Mapping[str, Any] | None = None,
) -> Ruling:
    """The ruling on a Deployment, StatefulSet, LeaderWorkerSet, Rollout or Pod that is about to be applied.

    `pools` are those of its namespace with the terms that hold for them. A pod template that is the same in
    `before` is passed over, so that scaling is never held up, and so is a pod that a controller made.
    """
    asking = tuple((pool, terms) for pool, terms in pools if _required(terms))
    if not asking or _is_controlled(document):
        return Ruling()
    known = tuple((template.part, template.pod) for template in _templates(before or {}, namespace))
    lacks = [
        lack
        for template in _templates(document, namespace)
        if (template.part, template.pod) not in known
        for lack in _lacks(template, tuple(item for item in asking if _selects(item[0], template)))
    ]
    refused = [lack.line for lack in lacks if lack.certain and lack.guard is Guard.DENY]
    told = [lack.line for lack in lacks if not (lack.certain and lack.guard is Guard.DENY)]
    return Ruling(refusals=_shorten(refused), warnings=_shorten(told))


def _templates(document: Mapping[str, Any], namespace: str) -> tuple[PodTemplate, ...]:
    metadata = document.get("metadata")
    named = {**metadata, "namespace": namespace} if isinstance(metadata, Mapping) else {}
    return read_templates(({**document, "metadata": named},)) if document else ()


def _is_controlled(document: Mapping[str, Any]) -> bool:
    metadata = document.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, Mapping) else None
    return isinstance(owners, list) and any(
        isinstance(owner, Mapping) and owner.get("controller") is True for owner in owners
    )


def _selects(pool: Pool, template: PodTemplate) -> bool:
    return pool.selector is not None and pool.selector.matches(template.pod.labels)


def _required(terms: Terms) -> frozenset[OptimizationName]:
    """What is required; nothing while the guard is off."""
    if terms.factory is None or terms.factory.guard is Guard.OFF:
        return frozenset()
    return frozenset(row.name for row in terms.requirements if row.policy is Policy.REQUIRED)


def _lacks(template: PodTemplate, asking: tuple[tuple[Pool, Terms], ...]) -> Iterator[_Lack]:
    """A template is inspected once, however many pools select it."""
    if not asking:
        return
    reports = inspect_pod(template.pod, files=template.files, capability_major=template.capability_major)
    serving = [item for item in reports if item.engine is not EngineKind.NONE and item.role in SERVING]
    for pool, terms in asking:
        guard, required = terms.factory.guard if terms.factory else Guard.OFF, _required(terms)
        for report in serving:
            for declaration in report.declarations:
                if declaration.optimization in required and _is_asked(declaration.optimization, report.role):
                    why, certain = _why_lacking(declaration, report)
                    if why:
                        yield _Lack(_tell(pool, report, declaration, why), certain, guard)


def _is_asked(name: OptimizationName, role: Role) -> bool:
    """Speculation is asked of whoever generates. One role offloads: which, a single workload can't tell."""
    if name in (OptimizationName.SPECULATIVE_DECODING, OptimizationName.MULTI_TOKEN_PREDICTION):
        return role in GENERATING
    return name is not OptimizationName.KV_CACHE_OFFLOADING or role is Role.AGGREGATED


def _why_lacking(declaration: Declaration, report: EngineReport) -> tuple[str, bool]:
    """What is wrong, empty when nothing is; and whether it is certain."""
    if declaration.state is DeclarationState.OPAQUE:
        return UNTOLD, False
    if declaration.state in LACKING:
        return LACKING[declaration.state], True
    if declaration.optimization is OptimizationName.FP4 and report.weight_only:
        return WEIGHT_ONLY, True
    return "", False


def _tell(pool: Pool, report: EngineReport, declaration: Declaration, why: str) -> str:
    fix = report.fixes.get(declaration.optimization, "")
    return (
        f'InferencePool "{pool.key.name}" requires {declaration.optimization.value}, and container '
        f"{report.container or 'unnamed'} {why}" + (f": {fix}" if fix else "")
    )


def _shorten(lines: Iterable[str]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(lines))
    return tuple(line[:LONGEST_TOLD] for line in unique[:MOST_TOLD])
