"""What the GPUs do to an FP4 declaration: below capability 10 the arithmetic is wider than the weights."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.declaring import IN_EFFECT
from tokenfactory.inspection.engines.recognised import Declared
from tokenfactory.model import Declaration, OptimizationName

NATIVE = 10


def consider_gpu(declared: Declared, capability_major: int | None) -> Declared:
    """The same declaration, said to be weight-only where a kernel, the checkpoint or the GPU makes it so."""
    fp4 = next((item for item in declared.declarations if item.optimization is OptimizationName.FP4), None)
    if fp4 is None or fp4.state not in IN_EFFECT:
        return declared
    older = capability_major is not None and capability_major < NATIVE
    if older:
        said = sentences.WEIGHT_ONLY_GPU.format(said=fp4.explanation, major=capability_major)
        return _weight_only(declared, fp4, said, fix=sentences.FEWER_BITS_HERE)
    if declared.weight_only:
        said = sentences.WEIGHT_ONLY_KERNEL.format(said=fp4.explanation)
        return _weight_only(declared, fp4, said, fix=sentences.NATIVE_KERNEL)
    return declared


def _weight_only(declared: Declared, fp4: Declaration, said: str, *, fix: str) -> Declared:
    found = tuple(replace(item, explanation=said) if item is fp4 else item for item in declared.declarations)
    fixes = MappingProxyType({**declared.fixes, OptimizationName.FP4: fix})
    return replace(declared, declarations=found, fixes=fixes, weight_only=True)
