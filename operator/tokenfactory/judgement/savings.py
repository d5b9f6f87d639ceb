"""Which row a saving is credited to: only one that ran, and speculation's to one row only (design: api)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tokenfactory.measure import Known
from tokenfactory.model import OptimizationName, OptimizationRow, OptimizationState, Savings

_RAN = (OptimizationState.ACTIVE, OptimizationState.PARTIAL)


def credit(rows: Iterable[OptimizationRow], savings: Savings) -> tuple[OptimizationRow, ...]:
    """The rows with what they saved. MTP's row has speculation's saving when MTP runs, else speculation's."""
    judged = tuple(rows)
    ran = {row.name for row in judged if row.state in _RAN}
    mtp, any_draft = OptimizationName.MULTI_TOKEN_PREDICTION, OptimizationName.SPECULATIVE_DECODING
    found = {
        mtp if mtp in ran else any_draft: savings.speculation,
        OptimizationName.KV_CACHE_OFFLOADING: savings.offloading,
    }
    return tuple(
        replace(row, saving=found[row.name])
        if row.name in ran and isinstance(found.get(row.name), Known)
        else row
        for row in judged
    )
