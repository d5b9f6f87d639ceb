"""Whether what is required holds for everything that was given, role by role."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from tokenfactory.model import DeclarationState, EngineKind, OptimizationName, Role
from tokenfactory.publishing.checkreport import SERVING, CheckedEngine, Row, Verdict
from tokenfactory.publishing.sarif import FULFILLED

GENERATING = frozenset({Role.AGGREGATED, Role.DECODE})
NO_ENGINE = "no serving engine was found"
NO_GENERATOR = "no decode or aggregated engine was found"
WEIGHT_ONLY = "FP4 weights would be multiplied in wider numbers here"
EXPLAINED = MappingProxyType(
    {
        DeclarationState.OPAQUE: "can't be read from the manifests",
        DeclarationState.OFF: "is switched off",
        DeclarationState.INVALID: "is declared in a way that can't work",
        DeclarationState.SIMULATED: "is simulated",
        DeclarationState.NOT_DECLARED: "is not declared",
    }
)


def judge(
    engines: tuple[CheckedEngine, ...], required: Iterable[OptimizationName]
) -> tuple[dict[tuple[int, OptimizationName], bool], tuple[Verdict, ...]]:
    """What is met, by position of the engine, and one verdict for each requirement.

    Speculation and multi-token prediction are asked of decode and aggregated engines, offloading of one
    role entirely, disaggregation of both roles without any aggregated engine, FP4 of all.
    """
    rows: dict[tuple[int, OptimizationName], bool] = {}
    verdicts: list[Verdict] = []
    serving = [item for item in enumerate(engines) if _serves(item[1])]
    for name in required:
        applicable = _applicable(serving, name)
        held = {position: _holds(engine, name) for position, engine in applicable}
        met, reason = _together(applicable, held, name)
        verdicts.append(Verdict(name=name, met=met, reason="" if met else reason))
        excused = met and name is OptimizationName.KV_CACHE_OFFLOADING
        rows |= {(position, name): True if excused else value for position, value in held.items()}
    return rows, tuple(verdicts)


def _serves(engine: CheckedEngine) -> bool:
    return engine.engine is not EngineKind.NONE and engine.role in SERVING


def _applicable(
    serving: list[tuple[int, CheckedEngine]], name: OptimizationName
) -> list[tuple[int, CheckedEngine]]:
    if name in (OptimizationName.SPECULATIVE_DECODING, OptimizationName.MULTI_TOKEN_PREDICTION):
        return [item for item in serving if item[1].role in GENERATING]
    return serving


def _holds(engine: CheckedEngine, name: OptimizationName) -> bool:
    row = _row(engine, name)
    if row is None or row.declaration.state not in FULFILLED:
        return False
    return not (name is OptimizationName.FP4 and engine.weight_only)


def _row(engine: CheckedEngine, name: OptimizationName) -> Row | None:
    return next((row for row in engine.rows if row.declaration.optimization is name), None)


def _together(
    applicable: list[tuple[int, CheckedEngine]], held: dict[int, bool], name: OptimizationName
) -> tuple[bool, str]:
    if not applicable:
        return False, NO_GENERATOR if name is not OptimizationName.FP4 else NO_ENGINE
    if name is OptimizationName.KV_CACHE_OFFLOADING:
        roles = {engine.role for _, engine in applicable}
        full = [
            role
            for role in roles
            if all(held[position] for position, engine in applicable if engine.role is role)
        ]
        if full and (Role.AGGREGATED in full or Role.AGGREGATED not in roles):
            return True, ""
    if name is OptimizationName.DISAGGREGATED_SERVING:
        missing = {Role.PREFILL, Role.DECODE} - {engine.role for _, engine in applicable}
        if missing and all(held.values()):
            return False, f"no {min(missing)} engine was found"
    failing = next((engine for position, engine in applicable if not held[position]), None)
    return (True, "") if failing is None else (False, _reason(failing, name))


def _reason(engine: CheckedEngine, name: OptimizationName) -> str:
    row = _row(engine, name)
    subject = f"{engine.place.workload}, container {engine.container or 'unnamed'}"
    if row is None:
        return f"{subject}: nothing is known of this engine"
    if row.declaration.state in FULFILLED:
        return f"{subject}: {WEIGHT_ONLY}"
    fix = f"; fix: {row.fix}" if row.fix else ""
    return f"{subject}: it {EXPLAINED[row.declaration.state]}{fix}"
