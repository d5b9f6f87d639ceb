"""What is understood of each engine: flags, variables and file keys by optimization, and versions looked at.

docs/reference/engines.md is made of it. A test finds every name here in the code that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tokenfactory.inspection.engines import dynamopage, nim, sentences, sglangspec, trtllmchecks
from tokenfactory.model import OptimizationName

FP4 = OptimizationName.FP4
SPEC = OptimizationName.SPECULATIVE_DECODING
OFFLOAD = OptimizationName.KV_CACHE_OFFLOADING
MTP = OptimizationName.MULTI_TOKEN_PREDICTION
PD = OptimizationName.DISAGGREGATED_SERVING


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """One engine. `family` is its key in FIXES, `versions` those whose grammar was looked at."""

    title: str
    family: str
    started: tuple[str, ...]
    versions: str
    precedence: str
    page: str
    read: Mapping[OptimizationName, tuple[str, ...]]

    def fix(self, name: OptimizationName) -> str:
        """What to add for an optimization that is not in effect."""
        return sentences.fix_for(self.family, name)


UNDERSTOOD: tuple[Understood, ...] = (
    Understood(
        title="vLLM",
        family="vllm",
        started=("vllm serve", "python -m vllm.entrypoints.openai.api_server", "the server image"),
        versions="nine releases from 0.8.5 to 0.33.0",
        precedence="the command line over the file of `--config`",
        page="`--port` (8000) `/metrics`; off with `--disable-log-stats`; none with `--headless`",
        read=MappingProxyType(
            {
                FP4: ("--quantization", "model name", "--moe-backend", "--linear-backend", "--kernel-config"),
                SPEC: ("--speculative-config", "--spec-method", "--spec-model", "--spec-tokens"),
                OFFLOAD: ("--kv-offloading-size", "--kv-transfer-config", "DYN_KVBM_CPU_CACHE_GB"),
                MTP: ("--speculative-config",),
                PD: ("--kv-transfer-config", "kv_role", "llm-d.ai/role"),
            }
        ),
    ),
    Understood(
        title="SGLang",
        family="sglang",
        started=("python -m sglang.launch_server", "sglang serve"),
        versions="seven releases from 0.4.6 to 0.5.23",
        precedence="the command line over the file of `--config`",
        page="`--port` (30000) `/metrics`; off without `--enable-metrics`",
        read=MappingProxyType(
            {
                FP4: ("--quantization", "model name", "--moe-runner-backend", "--fp4-gemm-backend"),
                SPEC: (sglangspec.ALGORITHM, sglangspec.SIMULATED_LENGTH),
                OFFLOAD: (
                    "--enable-hierarchical-cache",
                    "--hicache-size",
                    "--hicache-ratio",
                    "--enable-lmcache",
                ),
                MTP: (sglangspec.ALGORITHM, "--speculative-draft-model-path", "--enable-multi-layer-eagle"),
                PD: ("--disaggregation-mode", "--disaggregation-transfer-backend"),
            }
        ),
    ),
    Understood(
        title="TensorRT-LLM",
        family="trtllm",
        started=("trtllm-serve", "trtllm-serve disaggregated_mpi_worker"),
        versions="main of 2026, PyTorch backend",
        precedence="the file of `--config` (`--extra_llm_api_options`) over the command line",
        page="`--port` (8000) `/prometheus/metrics`; off without `return_perf_metrics`",
        read=MappingProxyType(
            {
                FP4: (trtllmchecks.QUANT, "model name", "moe_config"),
                SPEC: (trtllmchecks.TYPE, "max_draft_len", trtllmchecks.FORCED),
                OFFLOAD: (trtllmchecks.HOST, trtllmchecks.DISK, trtllmchecks.CONNECTOR),
                MTP: (trtllmchecks.TYPE, "num_nextn_predict_layers"),
                PD: (trtllmchecks.TRANSCEIVER, "--server_role", "context_servers", "generation_servers"),
            }
        ),
    ),
    Understood(
        title="NVIDIA Dynamo workers",
        family="dynamo-vllm",
        started=("python -m dynamo.vllm", "python -m dynamo.sglang", "python -m dynamo.trtllm"),
        versions="1.6.1, and flags that it removed",
        precedence="as the engine; for TensorRT-LLM the override JSON over the file over the command line",
        page=f"`{dynamopage.PORT}` `/metrics`; off without it, unless Dynamo's operator made the pod",
        read=MappingProxyType(
            {
                FP4: ("as the engine",),
                SPEC: ("as the engine",),
                OFFLOAD: ("as the engine", "--connector", "DYN_CONNECTOR"),
                MTP: ("as the engine",),
                PD: (
                    dynamopage.MODE,
                    "DYN_VLLM_DISAGGREGATION_MODE",
                    "DYN_TRTLLM_DISAGGREGATION_MODE",
                    "--disagg-config-key",
                    "nvidia.com/dynamo-sub-component-type",
                ),
            }
        ),
    ),
    Understood(
        title="NVIDIA NIM",
        family="nim",
        started=("nim-serve", "nim-run", "an image below nim/"),
        versions="the documentation of 1.10, 2.0.11 and 2.1.4",
        precedence=f"arguments over `{nim.PASSTHROUGH}` over other variables over the profile",
        page="`NIM_SERVER_PORT` (8000) `/v1/metrics`",
        read=MappingProxyType(
            {
                FP4: (nim.PROFILE, "NIM_MODEL_NAME", "NIM_MODEL_PATH", nim.PASSTHROUGH),
                SPEC: (nim.PASSTHROUGH,),
                OFFLOAD: (nim.OFFLOAD, nim.REUSE, nim.FRACTION, nim.PASSTHROUGH),
                MTP: (nim.PASSTHROUGH,),
                PD: (nim.PASSTHROUGH,),
            }
        ),
    ),
)
