"""Disaggregated serving: transfers on the side that counts them, and what both sides no longer do.

vLLM counts what the decode side pulls in, SGLang what the prefill side sends, a Dynamo worker of TensorRT-LLM
either; outside of Dynamo TensorRT-LLM's orchestrator counts the requests that it handed over. A decode
replica that computes most of its prompts itself has no prefill replica behind it.
"""

from __future__ import annotations

from tokenfactory.judgement.exhibits import (
    NO_TRAFFIC,
    Exhibit,
    Proof,
    explain_opaque,
    missing,
    prove_absence,
    source_of,
)
from tokenfactory.model import EngineEvidence, EngineKind, OptimizationState, Role

MOST_COMPUTED_SHARE = 0.5
MOST_FAILED_SHARE = 0.01
FAILURES = "more than 1 % of the transfers fail: look at the network between the replicas"
NO_COUNTER = (
    "this engine counts no transfer: select the pod of its orchestrator (trtllm-serve disaggregated), too,"
    " or serve it by Dynamo with --publish-metrics"
)
HANDED_OVER = "requests handed over by the orchestrator"
NEVER_FILLED = "the orchestrator hands requests to decode alone: no prefill server completed one"
OWN_PREFILL = "decode replicas compute their prompts themselves: look at the router and the transfer backend"
_SENDERS = frozenset({EngineKind.SGLANG})


def prove_disaggregation(exhibit: Exhibit) -> Proof:
    """One replica's part in a pair; whether both roles are there is the pool's matter."""
    if exhibit.role is Role.PREFILL:
        return _prove_prefill(exhibit)
    return _prove_decode(exhibit)


def _prove_prefill(exhibit: Exhibit) -> Proof:
    """A sender shows its transfers. Where only the receiver counts, traffic of a prefill's kind is enough."""
    seen = exhibit.evidence
    if seen is not None and _has_moved(exhibit, seen):
        return _active(exhibit, "transfers to decode replicas")
    if not exhibit.said and not exhibit.opaque:
        return missing(exhibit)
    if exhibit.opaque:
        return Proof(state=OptimizationState.UNVERIFIABLE, evidence=explain_opaque(exhibit))
    if seen is None or not exhibit.busy:
        return Proof(state=OptimizationState.UNKNOWN, evidence=NO_TRAFFIC)
    if seen.kind in _SENDERS:
        return prove_absence(exhibit, family=True, what="transfer")
    if exhibit.handed is not None and exhibit.handed.filled > 0:
        return _active(exhibit, HANDED_OVER)
    return Proof(state=OptimizationState.ACTIVE, evidence="declared as prefill")


def _prove_decode(exhibit: Exhibit) -> Proof:
    seen = exhibit.evidence
    if seen is not None and _has_received(exhibit, seen):
        if exhibit.busy and _computes_prompts(seen):
            return Proof(state=OptimizationState.INEFFECTIVE, evidence=OWN_PREFILL)
        return _active(exhibit, "prompt tokens received from prefill replicas")
    if not exhibit.said and not exhibit.opaque:
        return missing(exhibit)
    if seen is not None and seen.kind is EngineKind.TENSORRT_LLM and seen.transfers is None and seen.readable:
        return _ask_orchestrator(exhibit)
    if seen is not None and seen.kind in _SENDERS and exhibit.said and exhibit.busy:
        return _follow_senders(exhibit, seen)
    moved = seen is not None and (seen.external_hit_tokens is not None or seen.transfers is not None)
    return prove_absence(exhibit, family=moved, what="transfer")


def _ask_orchestrator(exhibit: Exhibit) -> Proof:
    """Servers that count no transfer themselves: a request that both sides completed was handed over."""
    handed = exhibit.handed
    if handed is None:
        return Proof(state=OptimizationState.UNVERIFIABLE, evidence=NO_COUNTER)
    if handed.filled > 0 and handed.completed > 0:
        return _active(exhibit, HANDED_OVER)
    if handed.completed > 0 and exhibit.busy:
        return Proof(state=OptimizationState.INEFFECTIVE, evidence=NEVER_FILLED)
    return Proof(state=OptimizationState.UNKNOWN, evidence=NO_TRAFFIC)


def _follow_senders(exhibit: Exhibit, seen: EngineEvidence) -> Proof:
    """The receiving side of an engine whose sender counts: it must not compute its prompts."""
    if _computes_prompts(seen):
        return Proof(state=OptimizationState.INEFFECTIVE, evidence=OWN_PREFILL)
    return _active(exhibit, "prompts that it did not compute itself")


def _has_moved(exhibit: Exhibit, seen: EngineEvidence) -> bool:
    """SGLang up to 0.5.9 has a gauge of the last transfers, no counter: stale without traffic (T12)."""
    if seen.transfers is not None:
        return seen.transfers > 0
    return exhibit.busy and (seen.transfer_gauge or 0.0) > 0


def _has_received(exhibit: Exhibit, seen: EngineEvidence) -> bool:
    """Where transfers are counted they alone decide: a connector's hits may be an offload tier's (T1)."""
    if exhibit.role is not Role.DECODE and not exhibit.said and not exhibit.opaque:
        return False
    if seen.transfers is not None:
        return seen.transfers > 0
    return (seen.external_hit_tokens or 0.0) > 0


def _computes_prompts(seen: EngineEvidence) -> bool:
    computed = seen.computed_prompt_tokens or 0.0
    return seen.prompt_tokens > 0 and computed > MOST_COMPUTED_SHARE * seen.prompt_tokens


def _fails_often(seen: EngineEvidence) -> bool:
    failed = seen.transfer_failures or 0.0
    return failed > MOST_FAILED_SHARE * ((seen.transfers or 0.0) + failed)


def _active(exhibit: Exhibit, what: str) -> Proof:
    often = exhibit.evidence is not None and _fails_often(exhibit.evidence)
    text = f"{source_of(exhibit, what)}; {FAILURES}" if often else source_of(exhibit, what)
    return Proof(state=OptimizationState.ACTIVE, evidence=text)
