"""Speculative decoding and multi-token prediction of a vLLM engine: one configuration, two declarations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.flags import Broken
from tokenfactory.inspection.values import broken_value
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.model import Declaration, DeclarationState, OptimizationName

CONFIG = "--speculative-config"
SHORT_FLAGS = (("spec-method", "method"), ("spec-model", "model"), ("spec-tokens", "num_speculative_tokens"))
METHODS = frozenset(
    {"ngram", "ngram_gpu", "draft_model", "suffix", "eagle", "eagle3", "dflash", "dspark", "medusa"}
    | {"mlp_speculator", "custom_class"}
)
NOT_SPECULATION = "extract_hidden_states"
MTP = "mtp"
OTHER = "other"
MAY_BE_MTP = "the method of speculation is not known here: it may be MTP"
SYNTHETIC = ("synthetic_acceptance_length", "synthetic_acceptance_rates")


def check_speculation(command: Command) -> Declaration:
    """Speculative decoding: `--speculative-config`, its short flags, or a speculator as the checkpoint."""
    config = _config(command)
    if isinstance(config, Broken):
        return broken_value(OptimizationName.SPECULATIVE_DECODING, config, source=CONFIG)
    if not config:
        return _without(command, given=command.flags.text("speculative-config") is not None)
    method = method_of(config)
    if method == NOT_SPECULATION:
        return _speculation(DeclarationState.NOT_DECLARED, f"{NOT_SPECULATION} is not speculation")
    if not _has_tokens(config):
        return _speculation(
            DeclarationState.INVALID, "num_speculative_tokens must be a number above 0", method=method
        )
    if _is_synthetic(config):
        return _speculation(
            DeclarationState.SIMULATED, "acceptance is synthetic: a benchmark switch is set", method=method
        )
    return _speculation(DeclarationState.DECLARED, f"speculation with method {method}", method=method)


def check_mtp(command: Command, speculation: Declaration) -> Declaration:
    """Multi-token prediction: speculation whose method is `mtp` or one of its older names."""
    name = OptimizationName.MULTI_TOKEN_PREDICTION
    if speculation.method == OTHER and speculation.state is DeclarationState.DECLARED:
        return Declaration(
            optimization=name, state=DeclarationState.OPAQUE, source=CONFIG, explanation=MAY_BE_MTP
        )
    if speculation.state in (DeclarationState.OPAQUE, DeclarationState.OFF) or speculation.method == MTP:
        return Declaration(
            optimization=name,
            state=speculation.state,
            source=speculation.source,
            explanation=speculation.explanation,
            method=speculation.method,
        )
    config = _config(command)
    if isinstance(config, Broken):
        return broken_value(name, config, source=CONFIG)
    if config and method_of(config) == MTP:
        return Declaration(
            optimization=name, state=speculation.state, source=CONFIG, explanation=speculation.explanation
        )
    reason = (
        f"speculation runs with method {speculation.method}"
        if speculation.method
        else "no speculation asked for"
    )
    return Declaration(optimization=name, state=DeclarationState.NOT_DECLARED, explanation=reason)


def method_of(config: Mapping[str, Any]) -> str:
    """The method by its present name, `other` for one that is not known.

    Without method and model vLLM drafts with the checkpoint's own heads, which is MTP.
    """
    written = config.get("method")
    model = config.get("model")
    if written is None:
        if model is None:
            return MTP
        return "ngram" if model in ("ngram", "[ngram]") else _method_by_draft(model)
    if not isinstance(written, str):
        return OTHER
    method = written.strip("[]").lower().replace("-", "_")
    if method == MTP or method.endswith("_mtp"):
        return MTP
    return method if method in METHODS or method == NOT_SPECULATION else OTHER


def _method_by_draft(model: object) -> str:
    """vLLM looks into the draft's configuration; of its name only the usual ones tell."""
    name = model.rstrip("/").rsplit("/", 1)[-1].lower() if isinstance(model, str) else ""
    if "eagle3" in name:
        return "eagle3"
    if "eagle" in name:
        return "eagle"
    return MTP if "mtp" in name or "nextn" in name else "draft_model"


def _config(command: Command) -> Mapping[str, Any] | Broken | None:
    """The JSON with the short flags merged in."""
    config = command.flags.mapping("speculative-config")
    if isinstance(config, Broken):
        return config
    merged = dict(config or {})
    for flag, key in SHORT_FLAGS:
        value = command.flags.text(flag)
        if value is None:
            continue
        if UNKNOWN in value:
            return Broken(unknown=True)
        merged[key] = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else value
    return merged


def _has_tokens(config: Mapping[str, Any]) -> bool:
    """False for a number of draft tokens that is not above 0; left out, the method has its own."""
    tokens = config.get("num_speculative_tokens", 1)
    return type(tokens) is int and tokens > 0


def _is_synthetic(config: Mapping[str, Any]) -> bool:
    return config.get("rejection_sample_method") == "synthetic" or any(key in config for key in SYNTHETIC)


def _without(command: Command, *, given: bool) -> Declaration:
    """No configuration: the checkpoint itself may be a speculator, or a file may say more."""
    if given:
        return _speculation(DeclarationState.OFF, "the configuration of speculation is empty")
    if "speculator" in command.model.lower():
        return Declaration(
            optimization=OptimizationName.SPECULATIVE_DECODING,
            state=DeclarationState.BY_CHECKPOINT,
            source="model name",
            explanation="the checkpoint is a speculator with its verifier",
            method=OTHER,
        )
    return Declaration(
        optimization=OptimizationName.SPECULATIVE_DECODING,
        state=DeclarationState.NOT_DECLARED,
        explanation="no flag asks for speculation",
    )


def _speculation(state: DeclarationState, explanation: str, *, method: str = "") -> Declaration:
    return Declaration(
        optimization=OptimizationName.SPECULATIVE_DECODING,
        state=state,
        source=CONFIG,
        explanation=explanation,
        method=method,
    )
