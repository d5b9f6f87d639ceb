"""TensorRT-LLM's orchestrator (`trtllm-serve disaggregated`, main of 2026): requests by side.

The servers of a pair count no transfer on their own pages (looked up on 2026-11-26 in metrics/collector.py
and serve/: no family of transfers, only /perf_metrics, which reading empties). The orchestrator counts
requests that context servers completed, each of which is handed over to a generation server, and those that
generation servers completed. Source: serve/perf_metrics.py, serve/openai_disagg_server.py.
"""

from __future__ import annotations

from types import MappingProxyType

from tokenfactory.model import Signal
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.families import Families, Ranks, System, Term
from tokenfactory.telemetry.owners import ORCHESTRATOR as OWNER

FAMILIES: Families = MappingProxyType(
    {
        # Filled by a context server and handed over: a short prompt may go to generation at once instead.
        Signal.TRANSFERS: ((Term("ctx_completed_requests"),),),
        Signal.REQUESTS: ((Term("gen_completed_requests"),),),
    }
)

TRTLLM_ORCHESTRATOR = System(
    name=OWNER,
    families=FAMILIES,
    levels=MappingProxyType({}),
    ranks=Ranks(own=""),
    required=frozenset({Signal.TRANSFERS, Signal.REQUESTS}),
    advice="the page has no ctx_ and gen_ metrics of an orchestrator",
)

parse = EnginePage(TRTLLM_ORCHESTRATOR).parse
