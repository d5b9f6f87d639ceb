"""FP4: no counter shows it. Checkpoint or flag, the engine's info gauge and the GPU decide (traps T21)."""

from __future__ import annotations

from tokenfactory.judgement.exhibits import Exhibit, Proof, explain_opaque, missing
from tokenfactory.model import OptimizationState
from tokenfactory.model.capabilities import capability_of

NATIVE_FP4_CAPABILITY = 10
CAPABILITY_LABEL = "nvidia.com/gpu.compute.major"


def prove_fp4(exhibit: Exhibit) -> Proof:
    """The grade is estimated: kernels are picked when the engine loads, and it says nothing of them.

    Where the engine states its weights in an info gauge (TensorRT-LLM), that outranks what was declared.
    """
    stated = _stated_weights(exhibit)
    if stated and not _is_fp4(stated):
        if not exhibit.said:
            return missing(exhibit)
        return Proof(state=OptimizationState.MISSING, evidence="the engine states other weights than FP4")
    if not stated and exhibit.opaque:
        return Proof(state=OptimizationState.UNVERIFIABLE, evidence=explain_opaque(exhibit))
    if not stated and not exhibit.said:
        return missing(exhibit)
    return _weigh_hardware(exhibit, stated=stated)


def _weigh_hardware(exhibit: Exhibit, *, stated: str) -> Proof:
    major = exhibit.capability_major
    if major is None and exhibit.evidence is not None:
        major = capability_of(exhibit.evidence.info.get("gpu_type"))
    if major is None:
        return Proof(
            state=OptimizationState.UNVERIFIABLE,
            evidence=f"the GPU's compute capability is not known: label the node with {CAPABILITY_LABEL}",
        )
    if major < NATIVE_FP4_CAPABILITY:
        return Proof(
            state=OptimizationState.UNSUPPORTED,
            evidence="this GPU generation has no FP4 arithmetic: the weights run weight-only",
        )
    if exhibit.weight_only_forced:
        return Proof(
            state=OptimizationState.INEFFECTIVE,
            evidence="a weight-only kernel is forced: remove the backend flag",
        )
    source = "checkpoint or flag" if exhibit.said else "the engine's info gauge alone"
    if exhibit.said and stated:
        source = "checkpoint or flag, and the engine's info gauge"
    return Proof(
        state=OptimizationState.ACTIVE,
        evidence=f"{source}, on a GPU with FP4 arithmetic (estimated: no counter shows it)",
    )


def _stated_weights(exhibit: Exhibit) -> str:
    said = exhibit.evidence.info.get("quantization", "") if exhibit.evidence is not None else ""
    return "" if said.lower() in ("", "none", "auto", "unknown") else said.lower()


def _is_fp4(stated: str) -> bool:
    return any(mark in stated for mark in ("fp4", "w4a4"))
