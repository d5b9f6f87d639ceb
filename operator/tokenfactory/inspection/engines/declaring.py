"""Making declarations, one or five at a time."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.recognised import Declared, MetricsEndpoint, Recognised
from tokenfactory.inspection.speculation import MTP as MTP_METHOD
from tokenfactory.inspection.speculation import OTHER
from tokenfactory.model import Declaration, DeclarationState, OptimizationName, Role

S = DeclarationState
IN_EFFECT = frozenset({S.DECLARED, S.BY_CHECKPOINT, S.BY_DEFAULT})
NO_PAGE = MetricsEndpoint()


def say(
    name: OptimizationName,
    state: DeclarationState,
    explanation: str,
    *,
    source: str = "",
    method: str = "",
) -> Declaration:
    """One declaration; `source` is the name of a flag, variable or file key, never a value."""
    return Declaration(optimization=name, state=state, source=source, explanation=explanation, method=method)


def all_five(state: DeclarationState, explanation: str) -> tuple[Declaration, ...]:
    return tuple(say(name, state, explanation) for name in OptimizationName)


def unreadable(recognised: Recognised, why: str, *, metrics: MetricsEndpoint = NO_PAGE) -> Declared:
    """Five opaque declarations with one reason."""
    return Declared(declarations=all_five(S.OPAQUE, why), role=recognised.role, metrics=metrics)


def as_follower(declared: Declared) -> Declared:
    """A follower has GPUs and no server: what its group was told is said by the leader alone."""
    if declared.role is not Role.WORKER:
        return declared
    return Declared(
        declarations=all_five(S.OPAQUE, sentences.FOLLOWER),
        role=Role.WORKER,
        metrics=NO_PAGE,
        model=declared.model,
    )


def mtp_from(speculation: Declaration) -> Declaration:
    """MTP as the speculation says it: the same when its method is MTP or not known, else not declared."""
    name = OptimizationName.MULTI_TOKEN_PREDICTION
    if speculation.method == MTP_METHOD or speculation.state in (S.OPAQUE, S.OFF):
        state, why = speculation.state, speculation.explanation
        return say(name, state, why, source=speculation.source, method=speculation.method)
    if speculation.method == OTHER:
        why = "the method of speculation is not known here: it may be MTP"
        return say(name, S.OPAQUE, why, source=speculation.source)
    if not speculation.method:
        return say(name, S.NOT_DECLARED, speculation.explanation)
    why = sentences.RUNS_WITH.format(method=speculation.method)
    return say(name, S.NOT_DECLARED, why, source=speculation.source)


def fixes_of(declarations: tuple[Declaration, ...], family: str) -> Mapping[OptimizationName, str]:
    """What to do for each optimization that is not in effect."""
    return MappingProxyType(
        {item.optimization: _fix(item, family) for item in declarations if item.state not in IN_EFFECT}
    )


def _fix(declaration: Declaration, family: str) -> str:
    if declaration.state is S.SIMULATED:
        return sentences.REMOVE_SWITCH.format(source=declaration.source or "see the explanation")
    if declaration.state is S.OPAQUE:
        return sentences.READ_IT
    return sentences.fix_for(family, declaration.optimization)


def role_or(found: Role | None, recognised: Recognised) -> Role:
    """A follower stays one; otherwise the command line's word goes before the labels'."""
    return recognised.role if recognised.role is Role.WORKER or found is None else found
