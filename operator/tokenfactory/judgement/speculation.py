"""Speculation and multi-token prediction: drafts and what became of them (traps T22)."""

from __future__ import annotations

from tokenfactory.judgement.exhibits import (
    OBSERVED_DIGITS,
    Exhibit,
    Proof,
    explain_opaque,
    missing,
    prove_absence,
    source_of,
)
from tokenfactory.model import EngineEvidence, OptimizationState, Signal
from tokenfactory.units import significant

LEAST_ACCEPTANCE_LENGTH = 1.2
LEAST_DRAFTS = 50
LEAST_SHARE = 0.5
MTP = "mtp"


def prove_speculation(exhibit: Exhibit) -> Proof:
    """Drafts by any method; MTP's acceptance is credited to its own row."""
    proof = _prove_drafts(exhibit)
    if _method(exhibit) == MTP and proof.state is OptimizationState.ACTIVE:
        return Proof(state=proof.state, evidence=proof.evidence, observed="method=mtp")
    return proof


def prove_mtp(exhibit: Exhibit) -> Proof:
    """Counters can't tell MTP from other drafts: the method has to be declared or stated by the engine."""
    if _method(exhibit) == MTP and (exhibit.said or _drafting(exhibit.evidence)):
        return _prove_drafts(exhibit)
    seen = exhibit.evidence
    drafting = _drafting(seen)
    if exhibit.opaque and (drafting or seen is None or not seen.readable or _has_drafts(exhibit)):
        return Proof(state=OptimizationState.UNVERIFIABLE, evidence=explain_opaque(exhibit))
    if drafting:
        return Proof(
            state=OptimizationState.MISSING, evidence="drafts are made, but no flag asks for the method mtp"
        )
    return missing(exhibit)


def _method(exhibit: Exhibit) -> str:
    """The engine's own word (TensorRT-LLM's info gauge), else the declared method."""
    stated = exhibit.evidence.info.get("spec_method", "") if exhibit.evidence is not None else ""
    return stated.lower() or exhibit.declaration.method


def _drafting(seen: EngineEvidence | None) -> bool:
    if seen is None:
        return False
    return (seen.drafts or 0.0) > 0 or (seen.drafts is None and (seen.acceptance_gauge or 0.0) > 0)


def _has_drafts(exhibit: Exhibit) -> bool:
    """The page carries the family: with it, no draft is a finding; without it, none was configured."""
    seen = exhibit.evidence
    return seen is not None and (seen.drafts is not None or exhibit.carries(Signal.DRAFTS))


def _prove_drafts(exhibit: Exhibit) -> Proof:
    seen = exhibit.evidence
    if seen is not None and seen.drafts is None and seen.draft_tokens:
        return _weigh_draft_tokens(exhibit, seen)
    if seen is not None and seen.drafts is None and seen.acceptance_gauge and exhibit.busy:
        return _weigh(
            exhibit, seen.acceptance_gauge, "the gauge of accepted tokens a step (no counter): drafts"
        )
    if seen is None or seen.drafts is None or seen.drafts <= 0:
        return prove_absence(exhibit, family=_has_drafts(exhibit), what="draft")
    if seen.accepted_tokens is None:
        return Proof(
            state=OptimizationState.UNVERIFIABLE, evidence="the page counts drafts but no accepted tokens"
        )
    length = 1.0 + seen.accepted_tokens / seen.drafts
    if length < _least(exhibit) and seen.drafts < LEAST_DRAFTS:
        return Proof(state=OptimizationState.UNKNOWN, evidence="too few drafts in the window to judge")
    return _weigh(exhibit, length, _what_was_counted(seen))


def _what_was_counted(seen: EngineEvidence) -> str:
    """Tokens that speculation emitted are its drafts and what was accepted of them."""
    emitted = (seen.drafts or 0.0) + (seen.accepted_tokens or 0.0)
    if emitted < LEAST_SHARE * seen.output_tokens:
        return "drafts and accepted tokens, for less than half of the output,"
    return "drafts and accepted tokens"


def _least(exhibit: Exhibit) -> float:
    return max(LEAST_ACCEPTANCE_LENGTH, exhibit.requirement.minimum_acceptance_length or 0.0)


def _weigh(exhibit: Exhibit, length: float, what: str) -> Proof:
    """Acceptance length, with the token that each step gives anyway: 1 + accepted tokens / drafts."""
    observed = f"acceptanceLength={significant(length, OBSERVED_DIGITS)}"
    least = _least(exhibit)
    if length >= least:
        return Proof(
            state=OptimizationState.ACTIVE,
            evidence=source_of(exhibit, what),
            observed=observed,
            acceptance_length=length,
        )
    return Proof(
        state=OptimizationState.INEFFECTIVE,
        evidence=f"the acceptance length is under {significant(least)}: use a better draft or remove it",
        observed=observed,
        acceptance_length=length,
    )


def _weigh_draft_tokens(exhibit: Exhibit, seen: EngineEvidence) -> Proof:
    """vLLM's V0 engine counts drafted and accepted tokens but no drafts: no acceptance length then."""
    if seen.accepted_tokens and exhibit.requirement.minimum_acceptance_length:
        return Proof(
            state=OptimizationState.UNVERIFIABLE,
            evidence="this engine version counts no drafts: the minimum acceptance length can't be judged",
        )
    if seen.accepted_tokens:
        return Proof(
            state=OptimizationState.ACTIVE,
            evidence=source_of(exhibit, "accepted tokens (this engine version does not count drafts)"),
        )
    return Proof(state=OptimizationState.INEFFECTIVE, evidence="tokens are drafted, and not one is accepted")
