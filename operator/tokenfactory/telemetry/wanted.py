"""The sample names that the parsers read, as sets: what a Prometheus is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenfactory.telemetry import dcgm
from tokenfactory.telemetry.dynamo import SGLANG_WORKER, TRTLLM_WORKER, VLLM_WORKER
from tokenfactory.telemetry.dynamofrontend import DYNAMO_FRONTEND
from tokenfactory.telemetry.kvbm import KVBM
from tokenfactory.telemetry.lmcacheserver import LMCACHE_SERVER
from tokenfactory.telemetry.nim import NIM
from tokenfactory.telemetry.sglang import SGLANG
from tokenfactory.telemetry.trtllm import TRTLLM
from tokenfactory.telemetry.trtllmorchestrator import TRTLLM_ORCHESTRATOR
from tokenfactory.telemetry.vllm import VLLM

SYSTEMS = (
    VLLM,
    SGLANG,
    TRTLLM,
    NIM,
    KVBM,
    VLLM_WORKER,
    SGLANG_WORKER,
    TRTLLM_WORKER,
    DYNAMO_FRONTEND,
    LMCACHE_SERVER,
    TRTLLM_ORCHESTRATOR,
)
"""Every system whose page is read."""

ENGINE_NAMES: frozenset[str] = frozenset().union(*(system.asked_names for system in SYSTEMS))
EXPORTER_NAMES: frozenset[str] = dcgm.SAMPLE_NAMES
PAGES_OF: Mapping[frozenset[str], str] = MappingProxyType(
    {ENGINE_NAMES: "engines", EXPORTER_NAMES: "exporters"}
)
"""Whose pages these names are asked for, in words."""
