"""Which parser reads the page of which engine."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from tokenfactory.model import CompanionKind, EngineKind, EngineReading, Failure
from tokenfactory.telemetry import (
    dynamo,
    dynamofrontend,
    lmcacheserver,
    nim,
    sglang,
    trtllm,
    trtllmorchestrator,
    vllm,
)
from tokenfactory.telemetry.layouts import Layouts

DYNAMO = "dynamo"


class EngineParser(Protocol):
    """A page's bytes in, its reading out."""

    def __call__(self, page: bytes, /, *, at: float, layouts: Layouts) -> EngineReading | Failure: ...


_PARSERS: Mapping[EngineKind, EngineParser] = MappingProxyType(
    {
        EngineKind.VLLM: vllm.parse,
        EngineKind.SGLANG: sglang.parse,
        EngineKind.TENSORRT_LLM: trtllm.parse,
        EngineKind.NIM: nim.parse,
    }
)
_IN_DYNAMO: Mapping[EngineKind, EngineParser] = MappingProxyType(
    {
        EngineKind.VLLM: dynamo.parse_vllm,
        EngineKind.SGLANG: dynamo.parse_sglang,
        EngineKind.TENSORRT_LLM: dynamo.parse_trtllm,
    }
)
_BESIDE: Mapping[CompanionKind, EngineParser] = MappingProxyType(
    {
        CompanionKind.DYNAMO_FRONTEND: dynamofrontend.parse,
        CompanionKind.CACHE_SERVER: lmcacheserver.parse,
        CompanionKind.ORCHESTRATOR: trtllmorchestrator.parse,
    }
)


def parser_of(kind: EngineKind, wrapper: str) -> EngineParser | None:
    """The parser for an engine in a wrapper; None for an engine whose page is not read."""
    return (_IN_DYNAMO if wrapper == DYNAMO else _PARSERS).get(kind)


def parser_beside(kind: CompanionKind) -> EngineParser:
    """The parser for a page beside the engines."""
    return _BESIDE[kind]
