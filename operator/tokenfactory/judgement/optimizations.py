"""The five rows of `status.optimizations`: what each replica proves, put together for the pool.

Applicable roles: speculation and MTP on decode and aggregated replicas, offloading on one role entirely,
disaggregation on both of its roles, FP4 on all that serve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from tokenfactory.judgement.evidence import Evidence
from tokenfactory.judgement.exhibits import OBSERVED_DIGITS, Exhibit, Proof
from tokenfactory.judgement.handovers import find_handovers
from tokenfactory.judgement.proofs import prove
from tokenfactory.judgement.simulation import Sample, is_simulated, sample_acceptance
from tokenfactory.judgement.stores import find_stores
from tokenfactory.model import (
    Declaration,
    DeclarationState,
    Engine,
    EngineId,
    EngineKind,
    Inspected,
    MetricsState,
    OptimizationName,
    OptimizationRow,
    OptimizationState,
    Policy,
    Replica,
    Requirement,
    Role,
    id_of,
)
from tokenfactory.units import significant

TEXT_LIMIT = 300

_GENERATING = frozenset({Role.DECODE, Role.AGGREGATED})
_SERVING = frozenset({Role.DECODE, Role.AGGREGATED, Role.PREFILL})
_SPLIT = frozenset({Role.DECODE, Role.PREFILL})
_APPLICABLE: Mapping[OptimizationName, frozenset[Role]] = MappingProxyType(
    {
        OptimizationName.FP4: _SERVING,
        OptimizationName.SPECULATIVE_DECODING: _GENERATING,
        OptimizationName.KV_CACHE_OFFLOADING: _SERVING,
        OptimizationName.MULTI_TOKEN_PREDICTION: _GENERATING,
        OptimizationName.DISAGGREGATED_SERVING: _SERVING,
    }
)
WORST_FIRST = (
    OptimizationState.SIMULATED,
    OptimizationState.UNSUPPORTED,
    OptimizationState.MISSING,
    OptimizationState.INEFFECTIVE,
    OptimizationState.PARTIAL,
    OptimizationState.UNVERIFIABLE,
    OptimizationState.UNKNOWN,
    OptimizationState.ACTIVE,
)
_DRAFTING = (OptimizationName.SPECULATIVE_DECODING, OptimizationName.MULTI_TOKEN_PREDICTION)
_DAMPED = (OptimizationState.UNKNOWN, OptimizationState.INEFFECTIVE, OptimizationState.PARTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A row as last judged; `doubted_since` is when an Active row was first contradicted (Unix seconds).

    `samples` are acceptance ratios of the last windows, on speculation's row alone.
    """

    row: OptimizationRow
    doubted_since: float | None = None
    samples: tuple[Sample, ...] = ()


def judge_optimizations(evidence: Evidence) -> tuple[OptimizationRow, ...]:
    """One row for each of the five; what the pool doesn't list is Ignored, and judged all the same."""
    asked = {item.name: item for item in evidence.terms.requirements}
    return tuple(
        judge_row(evidence, asked.get(name, Requirement(name=name, policy=Policy.IGNORED)))
        for name in OptimizationName
    )


def judge_row(evidence: Evidence, requirement: Requirement) -> OptimizationRow:
    """The row of one requirement over all applicable replicas."""
    exhibits = _collect(evidence, requirement)
    if not exhibits:
        return OptimizationRow(
            name=requirement.name,
            policy=requirement.policy,
            state=OptimizationState.UNKNOWN,
            declared="",
            evidence="no replica that serves is there",
        )
    if requirement.name is OptimizationName.KV_CACHE_OFFLOADING:
        roles = sorted({item.role for _, item in exhibits})
        rows = [_sum_up(requirement, [pair for pair in exhibits if pair[1].role is role]) for role in roles]
        return max(rows, key=lambda row: WORST_FIRST.index(row.state))
    if requirement.name is OptimizationName.DISAGGREGATED_SERVING:
        return _sum_up_pair(requirement, exhibits)
    return _sum_up(requirement, exhibits)


def steady(evidence: Evidence, marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """All rows, and none that flaps: an Active row stays until the contrary has held for one window.

    Only for what a thin window can show by chance (no traffic, no effect, some replicas); a changed
    declaration counts at once. Acceptance that never varies is Simulated.
    """
    now, window = evidence.now, float(evidence.terms.window_seconds)
    before = {mark.row.name: mark for mark in marks}
    known = before.get(OptimizationName.SPECULATIVE_DECODING)
    samples = sample_acceptance(
        evidence.economics.evidence, known.samples if known else (), now=now, window=window
    )
    fiction = is_simulated(samples)
    rows = (_unmask(row) if fiction else row for row in judge_optimizations(evidence))
    settled = (_steady_one(row, before.get(row.name), now=now, window=window) for row in rows)
    return tuple(
        replace(mark, samples=samples)
        if mark.row.name is OptimizationName.SPECULATIVE_DECODING
        else replace(mark, samples=())
        for mark in settled
    )


def _unmask(row: OptimizationRow) -> OptimizationRow:
    """A row whose evidence are drafts that are always accepted alike."""
    if row.name not in _DRAFTING or row.state is not OptimizationState.ACTIVE:
        return row
    why = "the acceptance ratio is the same to the last digit in three windows: something forces it"
    return replace(row, state=OptimizationState.SIMULATED, evidence=why, replicas_active=0)


def _steady_one(row: OptimizationRow, mark: Mark | None, *, now: float, window: float) -> Mark:
    if (
        mark is None
        or mark.row.state is not OptimizationState.ACTIVE
        or row.state not in _DAMPED
        or row.declared != mark.row.declared
        or row.replicas_applicable == 0
    ):
        return Mark(row=row)
    since = now if mark.doubted_since is None else mark.doubted_since
    if now - since >= window:
        return Mark(row=row)
    return Mark(row=replace(mark.row, policy=row.policy), doubted_since=since)


def _collect(evidence: Evidence, requirement: Requirement) -> list[tuple[EngineId, Exhibit]]:
    replicas = {replica.pod.uid: replica for replica in evidence.fleet.replicas}
    seen = {item.id: item for item in evidence.economics.evidence}
    offloading = requirement.name is OptimizationName.KV_CACHE_OFFLOADING
    stores = find_stores(evidence) if offloading else {}
    pair = requirement.name is OptimizationName.DISAGGREGATED_SERVING
    handed = find_handovers(evidence) if pair else None
    pairs = []
    for item in evidence.inspected:
        if item.role not in _APPLICABLE[requirement.name]:
            continue
        engine_id = EngineId(item.pod_uid, item.container, item.instance)
        replica = replicas.get(item.pod_uid)
        engine = _find_engine(replica, engine_id)
        exhibit = Exhibit(
            requirement=requirement,
            declaration=_declaration_of(item, requirement.name),
            role=item.role,
            evidence=seen.get(engine_id),
            capability_major=replica.node.capability_major if replica and replica.node else None,
            weight_only_forced=item.weight_only_forced,
            why_not=engine.why_not if engine else "",
            page_fix=item.metrics.fix if item.metrics.state is MetricsState.PARTIAL else "",
            awaited=engine is not None and engine.endpoint is not None and engine.problem is None,
            store=stores.get(engine_id),
            handed=handed if item.kind is EngineKind.TENSORRT_LLM else None,
        )
        pairs.append((engine_id, exhibit))
    return sorted(pairs, key=lambda pair: pair[0])


def _declaration_of(item: Inspected, name: OptimizationName) -> Declaration:
    for declaration in item.declarations:
        if declaration.optimization is name:
            return declaration
    return Declaration(
        optimization=name,
        state=DeclarationState.OPAQUE,
        explanation="this engine is not supported yet: its flags are not read",
    )


def _find_engine(replica: Replica | None, engine_id: EngineId) -> Engine | None:
    if replica is None:
        return None
    return next((item for item in replica.engines if id_of(replica.pod, item) == engine_id), None)


def _both_roles(exhibits: list[tuple[EngineId, Exhibit]]) -> bool:
    return {exhibit.role for _, exhibit in exhibits} >= _SPLIT


def _sum_up_pair(requirement: Requirement, exhibits: list[tuple[EngineId, Exhibit]]) -> OptimizationRow:
    """Disaggregation works only as far as both of its sides do: the weaker side decides."""
    if not _both_roles(exhibits):
        return _sum_up_alone(requirement, exhibits)
    row = _sum_up(requirement, exhibits)
    sides = [
        _sum_up(requirement, [pair for pair in exhibits if pair[1].role is role]) for role in sorted(_SPLIT)
    ]
    weaker = min(sides, key=lambda side: WORST_FIRST.index(side.state))
    if weaker.state in (OptimizationState.ACTIVE, OptimizationState.PARTIAL, OptimizationState.UNKNOWN):
        return row
    return replace(row, state=weaker.state, declared=weaker.declared, evidence=weaker.evidence)


def _sum_up_alone(requirement: Requirement, exhibits: list[tuple[EngineId, Exhibit]]) -> OptimizationRow:
    """Disaggregation where only one kind of replica is there."""
    row = _sum_up(requirement, exhibits)
    if row.state in (OptimizationState.SIMULATED, OptimizationState.UNVERIFIABLE):
        return row
    explained = next((item.declaration.explanation for _, item in exhibits if not item.said), "")
    return replace(
        row,
        state=OptimizationState.MISSING,
        evidence=_cut(explained) or "prefill and decode replicas are both needed: one role is not there",
        observed="",
        replicas_active=0,
    )


def _sum_up(requirement: Requirement, exhibits: list[tuple[EngineId, Exhibit]]) -> OptimizationRow:
    judged = [(engine_id, exhibit, prove(exhibit)) for engine_id, exhibit in exhibits]
    by_pod: dict[str, OptimizationState] = {}
    for engine_id, _, proof in judged:
        states = (proof.state, by_pod.get(engine_id.pod_uid, OptimizationState.ACTIVE))
        by_pod[engine_id.pod_uid] = min(states, key=WORST_FIRST.index)
    state = combine(by_pod.values())
    telling = _most_telling(state, [(exhibit, proof) for _, exhibit, proof in judged])
    length = _acceptance_of([(exhibit, proof) for _, exhibit, proof in judged])
    return OptimizationRow(
        name=requirement.name,
        policy=requirement.policy,
        state=state,
        declared=_describe(telling[0].declaration),
        evidence=_cut(telling[1].evidence),
        observed=f"acceptanceLength={significant(length, OBSERVED_DIGITS)}"
        if length
        else telling[1].observed,
        replicas_active=sum(item is OptimizationState.ACTIVE for item in by_pod.values()),
        replicas_applicable=len(by_pod),
        acceptance_length=length,
    )


def combine(states: Iterable[OptimizationState]) -> OptimizationState:
    """The pool's state from its replicas'.

    Replicas that can't be judged now (Unknown: no traffic, a lost scrape) don't turn an Active pool Partial.
    """
    present = set(states)
    if OptimizationState.SIMULATED in present:
        return OptimizationState.SIMULATED
    if OptimizationState.ACTIVE not in present:
        return min(present, key=WORST_FIRST.index)
    if present <= {OptimizationState.ACTIVE, OptimizationState.UNKNOWN}:
        return OptimizationState.ACTIVE
    return OptimizationState.PARTIAL


def _most_telling(state: OptimizationState, judged: list[tuple[Exhibit, Proof]]) -> tuple[Exhibit, Proof]:
    """The replica whose evidence explains `state`: the first of that state, for Partial the worst."""
    for exhibit, proof in judged:
        if proof.state is state:
            return exhibit, proof
    exhibit, proof = min(judged, key=lambda pair: WORST_FIRST.index(pair[1].state))
    return exhibit, replace(proof, evidence=f"on some replicas: {proof.evidence}")


def _acceptance_of(judged: list[tuple[Exhibit, Proof]]) -> float | None:
    """1 + accepted / drafts over all replicas that credit their acceptance to this row.

    Where no engine counts drafts, the mean of what their gauges say.
    """
    drafts = accepted = 0.0
    lengths: list[float] = []
    for exhibit, proof in judged:
        if proof.acceptance_length is not None and exhibit.evidence is not None:
            lengths.append(proof.acceptance_length)
            drafts += exhibit.evidence.drafts or 0.0
            accepted += exhibit.evidence.accepted_tokens or 0.0
    if drafts > 0:
        return 1.0 + accepted / drafts
    return sum(lengths) / len(lengths) if lengths else None


def _describe(declaration: Declaration) -> str:
    text = declaration.state.value
    return _cut(f"{text} ({declaration.source})" if declaration.source else text)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"
