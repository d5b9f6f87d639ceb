"""Is an optimization at work in one engine? Declaration against counters, one small rule each.

Sources: docs/cost-model.md §12 and the states of an optimization in the API reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tokenfactory.judgement.disaggregation import prove_disaggregation
from tokenfactory.judgement.exhibits import Exhibit, Proof
from tokenfactory.judgement.offloading import prove_offloading
from tokenfactory.judgement.precision import prove_fp4
from tokenfactory.judgement.speculation import prove_mtp, prove_speculation
from tokenfactory.model import DeclarationState, OptimizationName, OptimizationState


def prove(exhibit: Exhibit) -> Proof:
    """The state of one optimization in one engine."""
    if exhibit.declaration.state is DeclarationState.SIMULATED:
        switch = exhibit.declaration.source or "a benchmark switch"
        return Proof(
            state=OptimizationState.SIMULATED,
            evidence=f"{switch} forces the result, so the numbers are fiction: remove it",
        )
    return _RULES[exhibit.requirement.name](exhibit)


_RULES: Mapping[OptimizationName, Callable[[Exhibit], Proof]] = MappingProxyType(
    {
        OptimizationName.FP4: prove_fp4,
        OptimizationName.SPECULATIVE_DECODING: prove_speculation,
        OptimizationName.MULTI_TOKEN_PREDICTION: prove_mtp,
        OptimizationName.KV_CACHE_OFFLOADING: prove_offloading,
        OptimizationName.DISAGGREGATED_SERVING: prove_disaggregation,
    }
)
