"""Is an optimization at work in one engine? Declaration against counters, one small rule each.

Sources: docs/cost-model.md §12 and the states of an optimization in the API reference. Every text is stable:
no number that moves from cycle to cycle stands in `evidence`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tokenfactory.model import (
    Declaration,
    DeclarationState,
    EngineEvidence,
    OptimizationName,
    OptimizationState,
    Requirement,
    Role,
    Signal,
)
from tokenfactory.units import significant

LEAST_ACCEPTANCE_LENGTH = 1.2
LEAST_DRAFTS = 50
NATIVE_FP4_CAPABILITY = 10
CAPABILITY_LABEL = "nvidia.com/gpu.compute.major"
OBSERVED_DIGITS = 2

_SAID = (DeclarationState.DECLARED, DeclarationState.BY_CHECKPOINT, DeclarationState.BY_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One engine and one requirement. `evidence` is None when costing knows nothing of the engine.

    `awaited`: it has a page that can be read, so a page never read is only not read yet.
    """

    requirement: Requirement
    declaration: Declaration
    role: Role
    evidence: EngineEvidence | None
    capability_major: int | None = None
    weight_only_forced: bool = False
    why_not: str = ""
    awaited: bool = False

    @property
    def said(self) -> bool:
        return self.declaration.state in _SAID

    @property
    def opaque(self) -> bool:
        return self.declaration.state is DeclarationState.OPAQUE

    def carries(self, *signals: Signal) -> bool:
        """The engine's page carries one of these counters, whether it moved or not."""
        return self.evidence is not None and not self.evidence.families.isdisjoint(signals)

    @property
    def busy(self) -> bool:
        """The engine made tokens in the window."""
        seen = self.evidence
        return seen is not None and (seen.output_tokens > 0 or seen.prompt_tokens > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    state: OptimizationState
    evidence: str
    observed: str = ""
    acceptance_length: float | None = None


def prove(exhibit: Exhibit) -> Proof:
    """The state of one optimization in one engine."""
    if exhibit.declaration.state is DeclarationState.SIMULATED:
        switch = exhibit.declaration.source or "a benchmark switch"
        return Proof(
            state=OptimizationState.SIMULATED,
            evidence=f"{switch} forces the result, so the numbers are fiction: remove it",
        )
    return _RULES[exhibit.requirement.name](exhibit)


def _prove_fp4(exhibit: Exhibit) -> Proof:
    """No engine counter shows FP4: the checkpoint or flag and the GPU generation decide (grade estimated)."""
    if exhibit.opaque:
        return Proof(state=OptimizationState.UNVERIFIABLE, evidence=_explain_opaque(exhibit))
    if not exhibit.said:
        return _missing(exhibit)
    if exhibit.capability_major is None:
        return Proof(
            state=OptimizationState.UNVERIFIABLE,
            evidence=f"the GPU's compute capability is not known: label the node with {CAPABILITY_LABEL}",
        )
    if exhibit.capability_major < NATIVE_FP4_CAPABILITY:
        return Proof(
            state=OptimizationState.UNSUPPORTED,
            evidence="this GPU generation has no FP4 arithmetic: the weights run weight-only",
        )
    if exhibit.weight_only_forced:
        return Proof(
            state=OptimizationState.INEFFECTIVE,
            evidence="a weight-only kernel is forced: remove the backend flag",
        )
    return Proof(
        state=OptimizationState.ACTIVE,
        evidence="checkpoint or flag, on a GPU with FP4 arithmetic (estimated: no counter shows it)",
    )


def _prove_speculation(exhibit: Exhibit) -> Proof:
    proof = _prove_drafts(exhibit)
    if exhibit.declaration.method == "mtp" and proof.state is OptimizationState.ACTIVE:
        return Proof(state=proof.state, evidence=proof.evidence, observed="method=mtp")
    return proof


def _prove_mtp(exhibit: Exhibit) -> Proof:
    """Counters can't tell MTP from other drafts: only the declared method `mtp` and the counters together."""
    seen = exhibit.evidence
    drafting = seen is not None and seen.drafts is not None and seen.drafts > 0
    if exhibit.said and exhibit.declaration.method == "mtp":
        return _prove_drafts(exhibit)
    if exhibit.opaque and (drafting or seen is None or not seen.readable or _has_drafts(exhibit)):
        return Proof(state=OptimizationState.UNVERIFIABLE, evidence=_explain_opaque(exhibit))
    if drafting:
        return Proof(
            state=OptimizationState.MISSING,
            evidence="drafts are made, but not by the declared method mtp",
        )
    return _missing(exhibit)


def _prove_drafts(exhibit: Exhibit) -> Proof:
    seen = exhibit.evidence
    if seen is not None and seen.drafts is None and seen.draft_tokens:
        return _weigh_draft_tokens(exhibit, seen)
    if seen is None or seen.drafts is None or seen.drafts <= 0:
        return _prove_absence(exhibit, family=_has_drafts(exhibit), what="draft")
    return _weigh_acceptance(exhibit, seen)


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
            evidence=_source_of(exhibit, "accepted tokens (this engine version does not count drafts)"),
        )
    return Proof(state=OptimizationState.INEFFECTIVE, evidence="tokens are drafted, and not one is accepted")


def _has_drafts(exhibit: Exhibit) -> bool:
    seen = exhibit.evidence
    return seen is not None and (seen.drafts is not None or exhibit.carries(Signal.DRAFTS))


def _weigh_acceptance(exhibit: Exhibit, seen: EngineEvidence) -> Proof:
    """Acceptance length = 1 + accepted tokens / drafts."""
    if seen.drafts is None or seen.accepted_tokens is None:
        return Proof(
            state=OptimizationState.UNVERIFIABLE, evidence="the page counts drafts but no accepted tokens"
        )
    length = 1.0 + seen.accepted_tokens / seen.drafts
    asked = exhibit.requirement.minimum_acceptance_length
    least = max(LEAST_ACCEPTANCE_LENGTH, asked or 0.0)
    observed = f"acceptanceLength={significant(length, OBSERVED_DIGITS)}"
    if length >= least:
        return Proof(
            state=OptimizationState.ACTIVE,
            evidence=_source_of(exhibit, "drafts and accepted tokens"),
            observed=observed,
            acceptance_length=length,
        )
    if seen.drafts < LEAST_DRAFTS:
        return Proof(state=OptimizationState.UNKNOWN, evidence="too few drafts in the window to judge")
    return Proof(
        state=OptimizationState.INEFFECTIVE,
        evidence=f"the acceptance length is under {significant(least)}: use a better draft or remove it",
        observed=observed,
        acceptance_length=length,
    )


def _prove_offloading(exhibit: Exhibit) -> Proof:
    """Loads prove it; what is stored and never loaded only costs (reference: trap T23)."""
    seen = exhibit.evidence
    if seen is None:
        return _prove_absence(exhibit, family=False, what="load")
    if (seen.loaded_bytes or 0.0) > 0 or (seen.offload_hit_tokens or 0.0) > 0 or _hits_outside(exhibit, seen):
        return Proof(
            state=OptimizationState.ACTIVE,
            evidence=_source_of(exhibit, "blocks loaded back"),
            observed=_describe_hits(seen),
        )
    if exhibit.busy and (seen.stored_bytes or 0.0) > 0:
        return Proof(
            state=OptimizationState.INEFFECTIVE,
            evidence="blocks are stored and never loaded: no prompt comes back after it left the GPU",
        )
    counted = (seen.loaded_bytes, seen.stored_bytes, seen.offload_hit_tokens)
    family = any(item is not None for item in counted) or exhibit.carries(
        Signal.OFFLOAD_LOADED_BYTES, Signal.OFFLOAD_STORED_BYTES, Signal.OFFLOAD_HIT_TOKENS
    )
    countable = family or (exhibit.role is Role.AGGREGATED and seen.external_hit_tokens is not None)
    if exhibit.said and seen.readable and exhibit.busy and not countable:
        return Proof(
            state=OptimizationState.UNVERIFIABLE,
            evidence="the page has no offload counters: use a connector and an engine version with them",
        )
    return _prove_absence(exhibit, family=family, what="load")


def _hits_outside(exhibit: Exhibit, seen: EngineEvidence) -> bool:
    """Hits of a connector count only where it can't be the transfer from a prefill replica."""
    return exhibit.said and exhibit.role is Role.AGGREGATED and (seen.external_hit_tokens or 0.0) > 0


def _describe_hits(seen: EngineEvidence) -> str:
    hits = seen.offload_hit_tokens
    if not hits or seen.prompt_tokens <= 0:
        return ""
    return f"hitShare={significant(min(hits / seen.prompt_tokens, 1.0), OBSERVED_DIGITS)}"


def _prove_disaggregation(exhibit: Exhibit) -> Proof:
    """Transfers show on the decode side; a prefill replica follows what it was told."""
    seen = exhibit.evidence
    if not exhibit.said and not exhibit.opaque:
        return _missing(exhibit)
    if exhibit.role is Role.PREFILL:
        if exhibit.opaque:
            return Proof(state=OptimizationState.UNVERIFIABLE, evidence=_explain_opaque(exhibit))
        return Proof(
            state=OptimizationState.ACTIVE if exhibit.busy else OptimizationState.UNKNOWN,
            evidence="declared as prefill" if exhibit.busy else "no traffic yet",
        )
    moved = seen.external_hit_tokens if seen is not None else None
    if moved is not None and moved > 0:
        return Proof(
            state=OptimizationState.ACTIVE,
            evidence=_source_of(exhibit, "prompt tokens received from prefill replicas"),
        )
    return _prove_absence(exhibit, family=moved is not None, what="transfer")


def _prove_absence(exhibit: Exhibit, *, family: bool, what: str) -> Proof:
    """No effect was seen: what that means depends on what was said, what can be read, and on traffic."""
    if not exhibit.said and not exhibit.opaque:
        return _missing(exhibit)
    seen = exhibit.evidence
    if exhibit.awaited and (seen is None or not seen.readable):
        return Proof(state=OptimizationState.UNKNOWN, evidence="the metrics page was not read this time")
    if seen is None or (not seen.readable and seen.failure is None):
        return Proof(
            state=OptimizationState.UNVERIFIABLE,
            evidence=exhibit.why_not or "no metrics page can be read: turn the engine's metrics on",
        )
    if not seen.readable:
        return Proof(state=OptimizationState.UNKNOWN, evidence="the metrics page was not read this time")
    if exhibit.opaque and not family:
        return Proof(
            state=OptimizationState.MISSING,
            evidence=f"the page would count each {what} and has no such counter",
        )
    if not exhibit.busy:
        return Proof(state=OptimizationState.UNKNOWN, evidence="no traffic yet")
    return Proof(state=OptimizationState.INEFFECTIVE, evidence=f"there was traffic, and not one {what}")


def _missing(exhibit: Exhibit) -> Proof:
    why = exhibit.declaration.explanation
    texts = {
        DeclarationState.OFF: "turned off",
        DeclarationState.INVALID: "the declaration is invalid",
    }
    default = texts.get(exhibit.declaration.state, "not declared")
    return Proof(state=OptimizationState.MISSING, evidence=why or default)


def _explain_opaque(exhibit: Exhibit) -> str:
    return exhibit.declaration.explanation or "the command can't be read: put the flags in plain args"


def _source_of(exhibit: Exhibit, what: str) -> str:
    return f"declared; {what} counted" if exhibit.said else f"counters only: {what}"


_RULES: Mapping[OptimizationName, Callable[[Exhibit], Proof]] = MappingProxyType(
    {
        OptimizationName.FP4: _prove_fp4,
        OptimizationName.SPECULATIVE_DECODING: _prove_speculation,
        OptimizationName.MULTI_TOKEN_PREDICTION: _prove_mtp,
        OptimizationName.KV_CACHE_OFFLOADING: _prove_offloading,
        OptimizationName.DISAGGREGATED_SERVING: _prove_disaggregation,
    }
)
