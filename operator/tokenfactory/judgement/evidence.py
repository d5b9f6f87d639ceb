"""What judgement looks at: one pool, once."""

from __future__ import annotations

from dataclasses import dataclass

from tokenfactory.model import Economics, Fleet, Inspected, Pool, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One cycle of one pool as the earlier stages left it. `now` is Unix seconds."""

    pool: Pool
    terms: Terms
    fleet: Fleet
    inspected: tuple[Inspected, ...]
    economics: Economics
    now: float
