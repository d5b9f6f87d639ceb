"""LMCache's multi-process server (0.5.6): a pod or sidecar of its own that keeps KV blocks for engines.

Its counters come by way of OpenTelemetry, so a family is absent until its first event: until a first request
there is no page of LMCache at all. Chunks, not blocks, and no bytes: it counts bytes in throughput histograms
only. What is written to the first tier comes from engines and, prefetched, from the second tier; a finished
store or retrieve need not have moved anything, so those are not read. Sources: lmcache/v1/mp_observability/.
"""

from __future__ import annotations

from types import MappingProxyType

from tokenfactory.model import Signal
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.families import Families, Ranks, System, Term

FAMILIES: Families = MappingProxyType(
    {
        # Tokens that a lookup found in host memory or behind it, for whatever engine asked.
        Signal.OFFLOAD_HIT_TOKENS: ((Term("lmcache_mp_lookup_hit_tokens"),),),
        Signal.OFFLOAD_STORED_BLOCKS: ((Term("lmcache_mp_l1_write_chunks"),),),
        # What engines took back.
        Signal.OFFLOAD_LOADED_BLOCKS: ((Term("lmcache_mp_num_chunks_loaded"),),),
    }
)

LMCACHE_SERVER = System(
    name="LMCache's server",
    families=FAMILIES,
    levels=MappingProxyType({}),
    ranks=Ranks(own=""),
    required=frozenset({Signal.OFFLOAD_HIT_TOKENS}),
    zeros=frozenset({Signal.OFFLOAD_HIT_TOKENS, Signal.OFFLOAD_STORED_BLOCKS, Signal.OFFLOAD_LOADED_BLOCKS}),
    lazy=(b"lmcache_mp_",),
    signs=("lmcache_mp_event_bus_queue_depth",),
    advice="the page has no lmcache_mp_ metrics: there are none before the first request",
)

parse = EnginePage(LMCACHE_SERVER).parse
