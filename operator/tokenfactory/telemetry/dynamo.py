"""NVIDIA Dynamo (1.6.1): a worker's page is its engine's, beside families of Dynamo's own.

The engine's families appear with the first request, so a page without them and without a request on the
endpoint `generate` is an idle worker (internal endpoints count requests of their own). Token counters come
from the engine alone: Dynamo counts requests and bytes. Frontends and routers repeat what their workers
count (the router counts a request of a disaggregated pool twice), so they are recognised and never counted.
Source: prometheus_names.py of ai-dynamo-runtime.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.families import System
from tokenfactory.telemetry.kvbm import KVBM_FAMILIES
from tokenfactory.telemetry.sglang import SGLANG
from tokenfactory.telemetry.trtllm import TRTLLM
from tokenfactory.telemetry.vllm import VLLM

WORKER = b"dynamo_component_"
_GENERATED = re.compile(
    rb'\ndynamo_component_requests_total\{[^\n}]*dynamo_endpoint="generate"[^\n}]*\} [1-9]'
)


SIGNS = (
    "dynamo_component_requests_total",
    "dynamo_component_inflight_requests",
    "dynamo_component_uptime_seconds",
)


def _on_a_worker(engine: System, *, fix: str) -> System:
    """The engine's page as a worker of Dynamo passes it on."""
    return replace(
        engine.with_families(KVBM_FAMILIES),
        lazy=(WORKER,),
        worked=lambda page: _GENERATED.search(page) is not None,
        signs=SIGNS,
        lacking=f"the worker passes no token counters of {engine.name} on: {fix}",
        advice=f"the page is not of a worker with {engine.name}: set spec.metrics.port to DYN_SYSTEM_PORT",
    )


VLLM_WORKER = _on_a_worker(VLLM, fix="remove --disable-log-stats")
SGLANG_WORKER = _on_a_worker(SGLANG, fix="add --enable-metrics")
TRTLLM_WORKER = _on_a_worker(TRTLLM, fix="add --publish-metrics")

parse_vllm = EnginePage(VLLM_WORKER).parse
parse_sglang = EnginePage(SGLANG_WORKER).parse
parse_trtllm = EnginePage(TRTLLM_WORKER).parse
