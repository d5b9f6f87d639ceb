"""The sample names that the parsers read, as sets: what a Prometheus is asked for."""

from __future__ import annotations

from tokenfactory.telemetry import dcgm
from tokenfactory.telemetry.dynamofrontend import DYNAMO_FRONTEND
from tokenfactory.telemetry.kvbm import KVBM
from tokenfactory.telemetry.nim import NIM
from tokenfactory.telemetry.sglang import SGLANG
from tokenfactory.telemetry.trtllm import TRTLLM
from tokenfactory.telemetry.vllm import VLLM

SYSTEMS = (VLLM, SGLANG, TRTLLM, NIM, KVBM, DYNAMO_FRONTEND)
"""Every system whose families are read. A worker of Dynamo shows its engine's and KVBM's."""

SIGNS = frozenset(
    {
        "dynamo_component_requests_total",
        "dynamo_component_inflight_requests",
        "dynamo_component_uptime_seconds",
        "dynamo_frontend_requests_total",
        "dynamo_frontend_inflight_requests",
        "trtllm_request_success_total",
    }
)
"""Not read as numbers: they tell whose page it is, and an engine without work from one that lost its
counters."""

ENGINE_NAMES: frozenset[str] = frozenset().union(*(system.sample_names for system in SYSTEMS), SIGNS)
EXPORTER_NAMES: frozenset[str] = dcgm.SAMPLE_NAMES
