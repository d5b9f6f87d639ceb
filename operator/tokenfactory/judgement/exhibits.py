"""One engine and one requirement: what was said, what was seen, and what it means that nothing was.

Every text is stable: no number that moves from cycle to cycle stands in `evidence`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenfactory.judgement.handovers import HandOvers
from tokenfactory.judgement.stores import Store
from tokenfactory.model import (
    Declaration,
    DeclarationState,
    EngineEvidence,
    OptimizationState,
    Requirement,
    Role,
    Signal,
)

LEAST_TOKENS = 1000.0
"""The token floor of docs/cost-model.md §15: with less traffic nothing is said to have no effect."""

OBSERVED_DIGITS = 2
NOT_READ = "the metrics page was not read this time"
NO_TRAFFIC = "no traffic yet"

_SAID = (DeclarationState.DECLARED, DeclarationState.BY_CHECKPOINT, DeclarationState.BY_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One engine and one requirement. `evidence` is None when costing knows nothing of the engine.

    `awaited`: it has a page that can be read, so a page never read is only not read yet. `page_fix` says
    what adds the families that its page is known to lack. `store` is what the server counted that keeps its
    blocks, where it has one that was read; `handed` what the orchestrators of a TensorRT-LLM pair counted.
    """

    requirement: Requirement
    declaration: Declaration
    role: Role
    evidence: EngineEvidence | None
    capability_major: int | None = None
    weight_only_forced: bool = False
    why_not: str = ""
    page_fix: str = ""
    awaited: bool = False
    store: Store | None = None
    handed: HandOvers | None = None

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
        """The engine made enough tokens in the window to show an effect."""
        seen = self.evidence
        return seen is not None and seen.output_tokens + seen.prompt_tokens >= LEAST_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    state: OptimizationState
    evidence: str
    observed: str = ""
    acceptance_length: float | None = None


def prove_absence(exhibit: Exhibit, *, family: bool, what: str) -> Proof:
    """No effect was seen: what that means depends on what was said, what can be read, and on traffic."""
    if not exhibit.said and not exhibit.opaque:
        return missing(exhibit)
    seen = exhibit.evidence
    if exhibit.awaited and (seen is None or not seen.readable):
        return Proof(state=OptimizationState.UNKNOWN, evidence=NOT_READ)
    if seen is None or (not seen.readable and seen.failure is None):
        return Proof(
            state=OptimizationState.UNVERIFIABLE,
            evidence=exhibit.why_not or "no metrics page can be read: turn the engine's metrics on",
        )
    if not seen.readable:
        return Proof(state=OptimizationState.UNKNOWN, evidence=NOT_READ)
    if exhibit.opaque and not family:
        return Proof(
            state=OptimizationState.MISSING,
            evidence=f"the page would count each {what} and has no such counter",
        )
    if not exhibit.busy:
        return Proof(state=OptimizationState.UNKNOWN, evidence=NO_TRAFFIC)
    return Proof(state=OptimizationState.INEFFECTIVE, evidence=f"there was traffic, and not one {what}")


def missing(exhibit: Exhibit) -> Proof:
    """Neither declared nor proven; the evidence says which of the ways."""
    why = exhibit.declaration.explanation
    texts = {
        DeclarationState.OFF: "turned off",
        DeclarationState.INVALID: "the declaration is invalid",
    }
    default = texts.get(exhibit.declaration.state, "not declared")
    return Proof(state=OptimizationState.MISSING, evidence=why or default)


def explain_opaque(exhibit: Exhibit) -> str:
    return exhibit.declaration.explanation or "the command can't be read: put the flags in plain args"


def source_of(exhibit: Exhibit, what: str) -> str:
    """What proved it, and whether it was declared at all."""
    return f"declared; {what} counted" if exhibit.said else f"counters only: {what}"
