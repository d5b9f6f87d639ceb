"""FP4 weights of a vLLM engine: by flag, or by the checkpoint's name. Judgement knows if the GPU can."""

from __future__ import annotations

import re
from itertools import pairwise

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.values import FROM_A_VARIABLE
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.model import Declaration, DeclarationState, OptimizationName

QUANTIZATION = "--quantization"
MODEL_NAME = "model name"
FP4_METHODS = frozenset(
    {"modelopt_fp4", "mxfp4", "gpt_oss_mxfp4", "nvfp4_per_token", "fp_quant", "petit_nvfp4", "nvfp4"}
    | {"nvfp4_online", "quark_mxfp4", "mxfp_w4a8"}
)
MIXED_METHODS = frozenset({"modelopt", "modelopt_mixed", "compressed-tensors", "quark"})
FP4_TOKENS = frozenset({"fp4", "nvfp4", "mxfp4", "nvfp4a16", "mxfp4a16", "w4a4fp4"})
WEIGHT_ONLY_TOKENS = frozenset({"nvfp4a16", "mxfp4a16"})
WIDE_TOKENS = frozenset({"bf16", "fp16", "fp8", "int8", "int4", "awq", "gptq", "gguf"})
WEIGHT_ONLY_BACKENDS = frozenset({"marlin", "emulation"})
BACKEND_FLAGS = ("moe-backend", "linear-backend")
ON = frozenset({"1", "true", "yes", "on"})

_TOKENS = re.compile(r"[a-z0-9]+", re.ASCII)


def check_fp4(command: Command) -> Declaration:
    """FP4 weights. fp8 is not FP4, and `--kv-cache-dtype` says nothing about weights."""
    written = command.flags.text("quantization")
    if written is not None and UNKNOWN in written:
        return _fp4(DeclarationState.OPAQUE, QUANTIZATION, FROM_A_VARIABLE)
    method = (written or "").lower()
    if method in FP4_METHODS:
        return _fp4(DeclarationState.DECLARED, QUANTIZATION, "a quantization of four-bit floats is asked for")
    if method and method not in MIXED_METHODS:
        return _fp4(DeclarationState.NOT_DECLARED, QUANTIZATION, "another quantization than FP4 is asked for")
    if named_fp4(command.model):
        return _fp4(DeclarationState.BY_CHECKPOINT, MODEL_NAME, "the name of the checkpoint says FP4")
    if method:
        return _fp4(DeclarationState.OPAQUE, QUANTIZATION, "the checkpoint decides whether that is FP4")
    return _by_location(command)


def weight_only_forced(command: Command) -> bool:
    """Whether a kernel is forced, or the checkpoint made, for weights only: no FP4 arithmetic on any GPU."""
    kernel = command.flags.mapping("kernel-config")
    backends = [command.flags.text(name) for name in BACKEND_FLAGS]
    if isinstance(kernel, dict):
        backends += [str(kernel.get(name.replace("-", "_"), "")) for name in BACKEND_FLAGS]
    backends.append(command.env.get("VLLM_NVFP4_GEMM_BACKEND"))
    if any((backend or "").lower() in WEIGHT_ONLY_BACKENDS for backend in backends):
        return True
    if command.env.get("VLLM_MXFP4_USE_MARLIN", "").lower() in ON:
        return True
    return not WEIGHT_ONLY_TOKENS.isdisjoint(_tokens(command.model))


def named_fp4(model: str) -> bool:
    """Whether the last part of the name says FP4; gpt-oss is MXFP4 unless its name says another format."""
    tokens = _tokens(model)
    if not FP4_TOKENS.isdisjoint(tokens):
        return True
    native = any(pair == ("gpt", "oss") for pair in pairwise(tokens))
    return native and WIDE_TOKENS.isdisjoint(tokens)


def _by_location(command: Command) -> Declaration:
    """No flag and no name that tells: a local or remote path may hold anything."""
    if UNKNOWN in command.model:
        return _fp4(DeclarationState.OPAQUE, "--model", "the model's name comes from a variable")
    if command.remote or not command.model or command.model.startswith((".", "/")):
        return _fp4(
            DeclarationState.OPAQUE, "--model", "the path of the checkpoint does not tell its precision"
        )
    return _fp4(DeclarationState.NOT_DECLARED, "", "neither a flag nor the name of the checkpoint says FP4")


def _tokens(model: str) -> list[str]:
    return _TOKENS.findall(model.rstrip("/").rsplit("/", 1)[-1].lower())


def _fp4(state: DeclarationState, source: str, explanation: str) -> Declaration:
    return Declaration(optimization=OptimizationName.FP4, state=state, source=source, explanation=explanation)
