"""Whose page is it? What the first letters of a line tell, stronger than any image's name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DYNAMO_FRONTEND = "a Dynamo frontend"
ORCHESTRATOR = "a TensorRT-LLM orchestrator"
FRONTS = frozenset({DYNAMO_FRONTEND, ORCHESTRATOR, "an SGLang router", "an endpoint picker"})
"""They repeat what their workers count, whatever else their page holds."""

OWNERS: Mapping[bytes, str] = MappingProxyType(
    {
        b"dynamo_frontend_": DYNAMO_FRONTEND,
        b"vllm:": "vLLM",
        b"sglang:": "SGLang",
        b"trtllm_": "TensorRT-LLM",
        b"dynamo_component_router_": "a Dynamo router",
        b"dynamo_component_": "a Dynamo worker",
        b"sgl_router_": "an SGLang router",
        b"smg_": "an SGLang router",
        b"kvbm_": "KVBM",
        b"lmcache_mp_": "LMCache's server",
        b"lmcache": "LMCache",
        b"DCGM_FI_": "dcgm-exporter",
        b"lmdeploy:": "LMDeploy",
        b"tgi_": "TGI",
        b"nv_inference_": "Triton",
        b"nv_trt_llm_": "Triton",
        b"inference_extension_": "an endpoint picker",
        b"inference_pool_": "an endpoint picker",
        b"ctx_completed_requests": ORCHESTRATOR,
        b"envoy_": "a proxy",
    }
)


def begins_line(page: bytes, prefix: bytes) -> bool:
    """Whether a line of the page begins with the prefix."""
    return b"\n" + prefix in page or page.startswith(prefix)


def owner_of(page: bytes) -> str:
    """The system whose page this is, empty when no line tells."""
    return next((whose for prefix, whose in OWNERS.items() if begins_line(page, prefix)), "")
