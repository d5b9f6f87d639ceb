"""KVBM, Dynamo's block manager: its connector stores nothing until a tier has a size."""

from __future__ import annotations

from collections.abc import Mapping

from tokenfactory.inspection.command import ANY_VARIABLE
from tokenfactory.inspection.engines.declaring import S, say
from tokenfactory.inspection.transfer import KVBM_SIZES
from tokenfactory.model import Declaration, OptimizationName

LITERAL = KVBM_SIZES[:-2]
INDIRECT = KVBM_SIZES[-2:]


def check_kvbm(env: Mapping[str, str], unknown: frozenset[str], *, source: str) -> Declaration:
    """Declared with a size above 0 in the environment, invalid without, opaque when that can't be told."""
    name = OptimizationName.KV_CACHE_OFFLOADING
    if any(_above_zero(env.get(key, "")) for key in LITERAL):
        return say(name, S.DECLARED, "KVBM keeps KV blocks outside of the GPU", source=source)
    hidden = any(key in unknown or (ANY_VARIABLE in unknown and key not in env) for key in KVBM_SIZES)
    if hidden or any(key in env for key in INDIRECT):
        return say(name, S.OPAQUE, "the size of KVBM's tiers is not in the pod", source=source)
    why = "no tier of KVBM has a size (DYN_KVBM_CPU_CACHE_GB): nothing is offloaded"
    return say(name, S.INVALID, why, source=source)


def _above_zero(written: str) -> bool:
    try:
        return 0 < float(written) < float("inf")
    except ValueError:
        return False
