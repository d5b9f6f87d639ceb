"""Speculative decoding of SGLang, and which of it is multi-token prediction (engines: SGLang)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.declaring import S, say
from tokenfactory.inspection.speculation import MTP, OTHER
from tokenfactory.inspection.values import FROM_A_VARIABLE
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.model import Declaration, OptimizationName

ALGORITHM = "--speculative-algorithm"
SIMULATED_LENGTH = "SGLANG_SIMULATE_ACC_LEN"
METHODS: Mapping[str, str] = MappingProxyType(
    {
        "EAGLE3": "eagle3",
        "NEXTN": MTP,
        "FROZEN_KV_MTP": MTP,
        "STANDALONE": "draft_model",
        "NGRAM": "ngram",
        "DFLASH": "dflash",
        "DSPARK": "dspark",
        "UNO": "uno",
    }
)
COUNTS = ("speculative-num-steps", "speculative-num-draft-tokens")
_WITH_HEADS = re.compile(
    r"deepseek[-_.]?(v3|v4|r1)|glm[-_.]?(4\.[5-9]|[5-9])|bailing|^ling[-_.]|mistral[-_.]large[-_.]3"
    r"|hunyuan[-_.]?v[34]|^hy[-_.]?v?[34]|qwen4|mimo|^step[-_.]?3",
    re.ASCII,
)
_DISTILLED = re.compile(r"distill", re.ASCII)


def check_speculation(command: Command) -> Declaration:
    """`--speculative-algorithm`; without it the other flags of speculation do nothing."""
    written = command.flags.text("speculative-algorithm") or command.flags.text("speculative-algo")
    if written is None:
        return _say(S.NOT_DECLARED, sentences.NO_SPECULATION, source="")
    if UNKNOWN in written:
        return _say(S.OPAQUE, FROM_A_VARIABLE)
    if written.lower() in ("none", "null", ""):
        return _say(S.OFF, "the algorithm of speculation is empty")
    method = _method(command, written.upper())
    if any(command.flags.text(name) == "0" for name in COUNTS):
        return _say(S.INVALID, "the number of draft steps and tokens must be above 0", method=method)
    if _simulates(command.env.get(SIMULATED_LENGTH, "")):
        why = sentences.FORCED_ACCEPTANCE.format(name=SIMULATED_LENGTH)
        return _say(S.SIMULATED, why, source=SIMULATED_LENGTH, method=method)
    if SIMULATED_LENGTH in command.unknown_env:
        return _say(S.OPAQUE, FROM_A_VARIABLE, source=SIMULATED_LENGTH, method=method)
    return _say(S.DECLARED, _told(written.upper(), method), method=method)


def _method(command: Command, algorithm: str) -> str:
    if algorithm != "EAGLE":
        return METHODS.get(algorithm, OTHER)
    if command.flags.switch("enable-multi-layer-eagle"):
        return MTP
    draft = command.flags.text("speculative-draft-model-path") or command.flags.text(
        "speculative-draft-model"
    )
    if draft is None:
        return MTP if _has_heads(command.model) else OTHER
    name = draft.rstrip("/").rsplit("/", 1)[-1].lower()
    if UNKNOWN in draft:
        return OTHER
    if (
        draft == command.model
        or "nextn" in name
        or "mtp" in name
        or ("gemma" in name and "assistant" in name)
    ):
        return MTP
    return "eagle"


def _has_heads(model: str) -> bool:
    """Whether the checkpoint's family ships heads for the next tokens, by its name."""
    name = model.rstrip("/").rsplit("/", 1)[-1].lower()
    return bool(_WITH_HEADS.search(name)) and not _DISTILLED.search(name)


def _told(algorithm: str, method: str) -> str:
    if method != OTHER:
        return f"speculation with method {method}"
    if algorithm == "EAGLE":
        return "speculation with EAGLE; whether its heads are the checkpoint's own (MTP) is not said"
    return "speculation with a method that is not known here"


def _simulates(written: str) -> bool:
    try:
        return float(written) > 0
    except ValueError:
        return UNKNOWN in written


def _say(state: S, explanation: str, *, source: str = ALGORITHM, method: str = "") -> Declaration:
    name = OptimizationName.SPECULATIVE_DECODING
    return say(name, state, explanation, source=source, method=method)
