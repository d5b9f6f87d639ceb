"""The five checks of a TensorRT-LLM configuration, one small function each (engines: TensorRT-LLM)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.arguments import in_context
from tokenfactory.inspection.engines.declaring import S, mtp_from, say
from tokenfactory.inspection.engines.documents import is_unknown, section
from tokenfactory.inspection.engines.kvbm import check_kvbm
from tokenfactory.inspection.speculation import MTP, OTHER
from tokenfactory.inspection.values import FROM_A_VARIABLE
from tokenfactory.inspection.weights import check_fp4, weight_only_forced
from tokenfactory.model import BY_SERVER, Declaration, OptimizationName

TYPE = "speculative_config.decoding_type"
HOST = "kv_cache_config.host_cache_size"
DISK = "kv_cache_config.disk_cache_size"
CONNECTOR = "kv_connector_config.connector"
TRANSCEIVER = "cache_transceiver_config.backend"
QUANT = "quant_config.quant_algo"
FORCED = "TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS"
METHODS: Mapping[str, str] = MappingProxyType(
    {
        "mtp": MTP,
        "eagle": "eagle3",
        "eagle3": "eagle3",
        "draft_target": "draft_model",
        "ngram": "ngram",
        "sa": "suffix",
        "pard": "pard",
        "medusa": "medusa",
        "lookahead": "lookahead",
        "dflash": "dflash",
        "user_provided": "custom_class",
        "auto": OTHER,
    }
)
NOT_SPECULATION = frozenset({"savestate", "save_state", "savehiddenstates", "save_hidden_states"})
LENGTHS = ("max_draft_len", "num_nextn_predict_layers")
KNOWN_BACKENDS = frozenset({"DEFAULT", "NIXL", "UCX", "MOONCAKE", "MPI"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The effective configuration. `unread` says why its file can't be read, empty when it was."""

    command: Command
    document: Mapping[str, Any]
    unread: str = ""
    server_role: bool = False
    both_sides: bool = False


def declare_settings(settings: Settings) -> tuple[Declaration, ...]:
    """One declaration for each optimization, in the order of OptimizationName."""
    speculation = check_speculation(settings)
    found = (
        check_quantization(settings),
        speculation,
        check_offloading(settings),
        mtp_from(speculation),
        check_disaggregation(settings),
    )
    dummy = str(settings.document.get("load_format", "")).lower() == "dummy"
    return in_context(found, dummy=dummy, file_unread=settings.unread)


def check_quantization(settings: Settings) -> Declaration:
    """FP4 weights: `quant_config`, else the checkpoint's name."""
    algorithm = (section(settings.document, "quant_config") or {}).get("quant_algo")
    flag = settings.command.flags.text("quant-algo")
    written, source = (algorithm, QUANT) if algorithm is not None else (flag, "--quant-algo")
    if written is None:
        return check_fp4(settings.command)
    name = OptimizationName.FP4
    if is_unknown(written):
        return say(name, S.OPAQUE, FROM_A_VARIABLE, source=source)
    if "fp4" in str(written).lower():
        return say(name, S.DECLARED, "a quantization of four-bit floats is asked for", source=source)
    return say(name, S.NOT_DECLARED, "another quantization than FP4 is asked for", source=source)


def is_weight_only(settings: Settings) -> bool:
    """Whether the MoE kernel or the checkpoint forces weight-only arithmetic."""
    backend = (section(settings.document, "moe_config") or {}).get("backend")
    return str(backend).upper() == "MARLIN" or weight_only_forced(settings.command)


def check_speculation(settings: Settings) -> Declaration:
    """`speculative_config`: its type, and lengths above 0."""
    if "speculative_config" not in settings.document:
        return _spec(S.NOT_DECLARED, sentences.NOT_IN_THE_FILE, source="")
    config = section(settings.document, "speculative_config")
    if config is None:
        return _spec(S.OFF, "speculative_config is empty", source="speculative_config")
    written = config.get("decoding_type")
    if not isinstance(written, str) or is_unknown(written):
        return _spec(S.OPAQUE, "the type of speculation is not said")
    kind = written.strip().lower().replace("-", "_")
    if kind in NOT_SPECULATION:
        return _spec(S.NOT_DECLARED, "it saves states: it is not speculation")
    method = METHODS.get(kind, OTHER)
    if any(is_unknown(config.get(key)) for key in LENGTHS):
        return _spec(S.OPAQUE, FROM_A_VARIABLE, method=method)
    if any(_is_zero(config.get(key)) for key in LENGTHS):
        return _spec(S.OFF, "its draft length is 0: templated off", method=method)
    return _forced(settings.command, method)


def _forced(command: Command, method: str) -> Declaration:
    forced = command.env.get(FORCED, "")
    if forced and not _is_zero(forced):
        why = sentences.FORCED_ACCEPTANCE.format(name=FORCED)
        return _spec(S.SIMULATED, why, source=FORCED, method=method)
    if FORCED in command.unknown_env:
        return _spec(S.OPAQUE, FROM_A_VARIABLE, source=FORCED, method=method)
    known = "a method that is not known here" if method == OTHER else f"method {method}"
    return _spec(S.DECLARED, f"speculation with {known}", method=method)


def check_offloading(settings: Settings) -> Declaration:
    """A host or disk tier with a size, or a connector that stores KV blocks."""
    connector = settings.command.flags.text("connector") or ""
    if connector.lower() not in ("", "none"):
        return _by_flag(settings.command, connector)
    stored = _by_connector(settings)
    if stored is not None:
        return stored
    config = section(settings.document, "kv_cache_config") or {}
    host, disk = config.get("host_cache_size"), config.get("disk_cache_size")
    if host is not None:
        return _by_host(config, host)
    if disk is not None and not _is_zero(disk):
        if config.get("use_kv_cache_manager_v2") is True:
            return _offload(S.DECLARED, "a disk tier keeps KV blocks", source=DISK)
        return _offload(S.OPAQUE, "only the newer cache manager has a disk tier", source=DISK)
    if "use_uvm" in config:
        return _offload(S.NOT_DECLARED, "use_uvm is not KV-cache offloading")
    return _offload(S.NOT_DECLARED, sentences.NOT_IN_THE_FILE)


def _by_flag(command: Command, connector: str) -> Declaration:
    if is_unknown(connector):
        return _offload(S.OPAQUE, FROM_A_VARIABLE, source="--connector")
    if connector.lower() == "kvbm":
        return check_kvbm(command.env, command.unknown_env, source="--connector")
    why = "only kvbm is a connector here: any other becomes none with a warning"
    return _offload(S.INVALID, why, source="--connector")


def _by_connector(settings: Settings) -> Declaration | None:
    config = section(settings.document, "kv_connector_config") or {}
    named = config.get("connector") or config.get("connector_module")
    if not named:
        return None
    if is_unknown(named):
        return _offload(S.OPAQUE, FROM_A_VARIABLE, source=CONNECTOR)
    command = settings.command
    if "kvbm" in str(named).lower():
        return check_kvbm(command.env, command.unknown_env, source=CONNECTOR)
    if "lmcache" in str(named).lower():
        found = _offload(S.DECLARED, "LMCache keeps KV blocks outside of the GPU", source=CONNECTOR)
        return replace(found, method=BY_SERVER) if str(named).lower() == BY_SERVER else found
    return _offload(S.OPAQUE, "the connector is not known here", source=CONNECTOR)


def _by_host(config: Mapping[str, Any], host: Any) -> Declaration:
    if is_unknown(host):
        return _offload(S.OPAQUE, FROM_A_VARIABLE, source=HOST)
    if isinstance(host, bool) or not isinstance(host, int | float) or host <= 0:
        return _offload(S.INVALID, "the size must be a number of bytes above 0", source=HOST)
    if config.get("enable_block_reuse") is False:
        why = "enable_block_reuse is false: what the host tier keeps is never read"
        return _offload(S.INVALID, why, source=HOST)
    return _offload(S.DECLARED, "a host tier keeps KV blocks", source=HOST)


def check_disaggregation(settings: Settings) -> Declaration:
    """A cache transceiver moves KV between context and generation servers."""
    if settings.both_sides:
        why = "one MPI job runs context and generation servers"
        return _pd(S.DECLARED, why, source="context_servers, generation_servers")
    backend = (section(settings.document, "cache_transceiver_config") or {}).get("backend")
    if is_unknown(backend):
        return _pd(S.OPAQUE, FROM_A_VARIABLE, source=TRANSCEIVER)
    if backend is not None:
        known = isinstance(backend, str) and backend.upper() in KNOWN_BACKENDS
        state = S.DECLARED if known else S.OPAQUE
        why = "a cache transceiver moves KV blocks" if known else "the transceiver is not known here"
        return _pd(state, why, source=TRANSCEIVER)
    if settings.server_role and not settings.unread:
        why = "a server role without cache_transceiver_config.backend moves no KV blocks"
        return _pd(S.INVALID, why, source="--server_role")
    if "cache_transceiver_config" in settings.document:
        return _pd(S.NOT_DECLARED, "the cache transceiver has no backend: it is off", source=TRANSCEIVER)
    return _pd(S.NOT_DECLARED, sentences.NOT_IN_THE_FILE)


def _is_zero(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and value is not None and float(value) == 0
    except (TypeError, ValueError, OverflowError):
        return False


def _spec(state: S, why: str, *, source: str = TYPE, method: str = "") -> Declaration:
    return say(OptimizationName.SPECULATIVE_DECODING, state, why, source=source, method=method)


def _offload(state: S, why: str, *, source: str = "") -> Declaration:
    return say(OptimizationName.KV_CACHE_OFFLOADING, state, why, source=source)


def _pd(state: S, why: str, *, source: str = "") -> Declaration:
    return say(OptimizationName.DISAGGREGATED_SERVING, state, why, source=source)
