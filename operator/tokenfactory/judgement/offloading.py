"""KV-cache offloading: loads prove it; what is stored and never loaded only costs (traps T3, T23)."""

from __future__ import annotations

from tokenfactory.judgement.exhibits import OBSERVED_DIGITS, Exhibit, Proof, prove_absence, source_of
from tokenfactory.judgement.stores import Store
from tokenfactory.model import BY_SERVER, EngineEvidence, OptimizationState, Role, Signal
from tokenfactory.units import significant

NEVER_LOADED = "blocks are stored and never loaded: no prompt comes back after it left the GPU"
WITHOUT_SERVER = "let the pool select the pod of its LMCache server, too, and see that its page can be read"
OTHER_CONNECTOR = "use a connector and an engine version with them"
_FAMILIES = (
    Signal.OFFLOAD_LOADED_BYTES,
    Signal.OFFLOAD_STORED_BYTES,
    Signal.OFFLOAD_LOADED_TOKENS,
    Signal.OFFLOAD_STORED_TOKENS,
    Signal.OFFLOAD_LOADED_BLOCKS,
    Signal.OFFLOAD_STORED_BLOCKS,
    Signal.OFFLOAD_HIT_TOKENS,
)


def prove_offloading(exhibit: Exhibit) -> Proof:
    """By loads or by tokens that an outer tier served, in whatever unit the engine counts them."""
    seen = exhibit.evidence
    if exhibit.store is not None and exhibit.said:
        return _prove_by_server(exhibit, exhibit.store)
    if seen is None:
        return prove_absence(exhibit, family=False, what="load")
    if (seen.loaded or 0.0) > 0 or (seen.offload_hit_tokens or 0.0) > 0 or _hits_outside(exhibit, seen):
        return Proof(
            state=OptimizationState.ACTIVE,
            evidence=source_of(exhibit, "blocks loaded back"),
            observed=_describe_hits(seen),
        )
    if exhibit.busy and (seen.stored or 0.0) > 0:
        return Proof(
            state=OptimizationState.INEFFECTIVE,
            evidence=NEVER_LOADED,
        )
    family = _is_counted(exhibit, seen)
    countable = family or (exhibit.role is Role.AGGREGATED and seen.external_hit_tokens is not None)
    if exhibit.said and seen.readable and exhibit.busy and not countable:
        return Proof(
            state=OptimizationState.UNVERIFIABLE,
            evidence=f"the page has no offload counters: {_advise(exhibit)}",
        )
    return prove_absence(exhibit, family=family, what="load")


def _prove_by_server(exhibit: Exhibit, store: Store) -> Proof:
    """The server serves a node: an engine there that took nothing by its own count is not served by it."""
    seen = exhibit.evidence
    served = store.loaded > 0 or store.hit_tokens > 0
    if served and not (seen is not None and exhibit.busy and seen.external_hit_tokens == 0):
        return Proof(
            state=OptimizationState.ACTIVE,
            evidence="declared; blocks loaded back counted by the cache server of its node",
            observed=_describe_share(store.hit_tokens, store.prompt_tokens),
        )
    if not served and exhibit.busy and store.stored > 0:
        return Proof(state=OptimizationState.INEFFECTIVE, evidence=NEVER_LOADED)
    return prove_absence(exhibit, family=True, what="load")


def _advise(exhibit: Exhibit) -> str:
    if exhibit.declaration.method == BY_SERVER:
        return WITHOUT_SERVER
    return exhibit.page_fix or OTHER_CONNECTOR


def _is_counted(exhibit: Exhibit, seen: EngineEvidence) -> bool:
    counted = (seen.loaded, seen.stored, seen.offload_hit_tokens)
    if any(item is not None for item in counted) or exhibit.carries(*_FAMILIES):
        return True
    return (seen.offload_capacity or 0.0) > 0


def _hits_outside(exhibit: Exhibit, seen: EngineEvidence) -> bool:
    """Hits of a connector count only where it can't be the transfer from a prefill replica."""
    return exhibit.said and exhibit.role is Role.AGGREGATED and (seen.external_hit_tokens or 0.0) > 0


def _describe_hits(seen: EngineEvidence) -> str:
    return _describe_share(seen.offload_hit_tokens, seen.prompt_tokens)


def _describe_share(hits: float | None, prompt_tokens: float) -> str:
    if not hits or prompt_tokens <= 0:
        return ""
    return f"hitShare={significant(min(hits / prompt_tokens, 1.0), OBSERVED_DIGITS)}"
