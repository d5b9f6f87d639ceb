"""KVBM, Dynamo's block manager (1.6.1): on the worker's page or its own port (6880).

Counters have no `_total`. Its own port opens with DYN_KVBM_METRICS=true. Blocks, not tokens (traps T3):
only `matched_tokens` are tokens. d is the device, h the host; the second d of `_h2d` is the disk for what
is offloaded and the device for what is onboarded; `_d2d` is between device and disk directly. Sources:
prometheus_names.py of ai-dynamo-runtime, the metrics catalogue of Dynamo's documentation.
"""

from __future__ import annotations

from types import MappingProxyType

from tokenfactory.model import Signal
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.families import Families, Ranks, System, Term

KVBM_FAMILIES: Families = MappingProxyType(
    {
        # What left the device; host to disk would count a block twice.
        Signal.OFFLOAD_STORED_BLOCKS: ((Term("kvbm_offload_blocks_d2h"), Term("kvbm_offload_blocks_d2d")),),
        Signal.OFFLOAD_LOADED_BLOCKS: ((Term("kvbm_onboard_blocks_h2d"), Term("kvbm_onboard_blocks_d2d")),),
        Signal.OFFLOAD_HIT_TOKENS: ((Term("kvbm_matched_tokens"),),),
    }
)

KVBM = System(
    name="KVBM",
    families=KVBM_FAMILIES,
    levels=MappingProxyType({}),
    ranks=Ranks(own=""),
    required=frozenset({Signal.OFFLOAD_HIT_TOKENS}),
    advice="the page has no kvbm_ metrics: set DYN_KVBM_METRICS=true",
)

parse = EnginePage(KVBM).parse
