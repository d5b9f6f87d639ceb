"""LMCache's names (0.5.6) on the page of the engine that it works for: `lmcache:` on vLLM's own.

Source: lmcache/observability.py. Its counters can be reset by its own API while the process goes on: a fall
is read as a restart. Tokens all, never blocks or chunks.
"""

from __future__ import annotations

from types import MappingProxyType

from tokenfactory.model import Signal
from tokenfactory.telemetry.families import Families, Term

LMCACHE_FAMILIES: Families = MappingProxyType(
    {
        # Tokens that a lookup found and that were loaded instead of computed, whatever the tier.
        Signal.OFFLOAD_HIT_TOKENS: ((Term("lmcache:num_hit_tokens"),),),
        Signal.OFFLOAD_STORED_TOKENS: ((Term("lmcache:num_stored_tokens"),),),
    }
)
