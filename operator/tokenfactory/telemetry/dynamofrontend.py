"""NVIDIA Dynamo's frontend (1.6.1): what clients see of the workers behind it.

Its counters repeat the workers' (docs/cost-model.md §3): they are compared with them and never added. Time to
first token and between tokens are the client's: routing, queue, prefill and transfer are in them. A series is
created with its first request, so a page without them is a frontend that was not asked yet. The prefix of all
names can be changed (DYN_METRICS_PREFIX): such a page is not read. Sources: prometheus_names.py of
ai-dynamo-runtime, pages of the real frontend.
"""

from __future__ import annotations

from types import MappingProxyType

from tokenfactory.model import Histogram, Level, Signal
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.families import Families, Ranks, System, Term, buckets_of, sum_of
from tokenfactory.telemetry.owners import DYNAMO_FRONTEND as OWNER

FAMILIES: Families = MappingProxyType(
    {
        # As they stream out; the histogram, which older versions have alone, jumps when a request ends.
        Signal.OUTPUT_TOKENS: (
            (Term("dynamo_frontend_output_tokens"),),
            sum_of("dynamo_frontend_output_sequence_tokens"),
        ),
        Signal.PROMPT_TOKENS: (sum_of("dynamo_frontend_input_sequence_tokens"),),
        # What the workers report of their prefix caches for each request, at its end.
        Signal.CACHED_PROMPT_TOKENS: (sum_of("dynamo_frontend_cached_tokens"),),
        Signal.REQUESTS: ((Term("dynamo_frontend_requests"),),),
        Histogram.TIME_TO_FIRST_TOKEN: (buckets_of("dynamo_frontend_time_to_first_token_seconds"),),
        Histogram.INTER_TOKEN_LATENCY: (buckets_of("dynamo_frontend_inter_token_latency_seconds"),),
    }
)

DYNAMO_FRONTEND = System(
    name=OWNER,
    families=FAMILIES,
    levels=MappingProxyType(
        {
            Level.RUNNING: ("dynamo_frontend_active_requests", "dynamo_frontend_inflight_requests"),
            # Of the router in it. `queued_requests` have no first token yet, whether they wait or their
            # prefill runs: not read.
            Level.WAITING: ("dynamo_frontend_router_queue_pending_requests",),
        }
    ),
    ranks=Ranks(own="model"),
    required=frozenset({Signal.OUTPUT_TOKENS}),
    zeros=frozenset({Signal.OUTPUT_TOKENS, Signal.PROMPT_TOKENS, Signal.REQUESTS}),
    lazy=(b"dynamo_frontend_",),
    signs=("dynamo_frontend_disconnected_clients",),
    advice="the page has no dynamo_frontend_ metrics: remove DYN_METRICS_PREFIX",
)

parse = EnginePage(DYNAMO_FRONTEND).parse
