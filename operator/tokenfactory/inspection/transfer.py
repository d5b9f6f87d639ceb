"""KV-cache offloading and disaggregated serving of a vLLM engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.connectors import (
    BOTH,
    CONFIG,
    FAKE,
    KNOWN,
    LMCACHE,
    LMCACHE_SERVER,
    OFFLOAD,
    OWN_MEMORY,
    ROLES,
    TRANSFER,
    Connector,
    read_connectors,
    role_of,
)
from tokenfactory.inspection.flags import Broken
from tokenfactory.inspection.values import FROM_A_VARIABLE, broken_value
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.model import BY_SERVER, Declaration, DeclarationState, OptimizationName

SIZE = "--kv-offloading-size"
SIZE_KEYS = ("cpu_bytes_to_use", "num_cpu_blocks", "host_pool_gib")
KVBM_SIZES = (
    "DYN_KVBM_CPU_CACHE_GB",
    "DYN_KVBM_DISK_CACHE_GB",
    "DYN_KVBM_CPU_CACHE_OVERRIDE_NUM_BLOCKS",
    "DYN_KVBM_DISK_CACHE_OVERRIDE_NUM_BLOCKS",
    "KVBM_CONFIG_PATH",
    "KVBM_CACHE_HOST_SIZE_GB",
)
NOT_KNOWN = "the connector is not known here"
SHARED_STORE = "a store that engines share may or may not carry prompts from prefill to decode"
STORES_ONLY = "the connector stores KV blocks: it moves none between engines"
NEVER_REUSED = "prefix caching is off: nothing can be reused of what is stored"
NO_TIER = "the CPU tier is off and no disk or remote store is named: LMCache keeps nothing"
LMCACHE_TIERS = (
    "LMCACHE_CONFIG_FILE",
    "LMCACHE_LOCAL_DISK",
    "LMCACHE_REMOTE_URL",
    "LMCACHE_REMOTE_STORAGE_PLUGINS",
)
WEIGHT_FLAGS = ("cpu-offload-gb", "swap-space")


def check_offloading(command: Command) -> Declaration:
    """KV-cache offloading: `--kv-offloading-size`, or a connector that stores KV outside of the GPU."""
    size = command.flags.text("kv-offloading-size")
    if size is not None:
        return _by_size(command, size)
    connectors = read_connectors(command)
    if isinstance(connectors, Broken):
        return broken_value(OptimizationName.KV_CACHE_OFFLOADING, connectors, source=CONFIG)
    stores = [item for item in connectors if item.name in OFFLOAD]
    if stores:
        return _by_connector(command, stores[0])
    if any(item.name not in KNOWN for item in connectors):
        return _offloading(DeclarationState.OPAQUE, CONFIG, NOT_KNOWN)
    if any(command.flags.text(name) is not None for name in WEIGHT_FLAGS):
        reason = (
            "--cpu-offload-gb moves weights and --swap-space is an old swap: neither offloads the KV cache"
        )
    else:
        reason = "no flag asks for offloading"
    return _offloading(DeclarationState.NOT_DECLARED, "", reason)


def check_disaggregation(command: Command) -> Declaration:
    """Disaggregated serving: a connector that moves KV between engines, or a producer or consumer of any."""
    name = OptimizationName.DISAGGREGATED_SERVING
    connectors = read_connectors(command)
    if isinstance(connectors, Broken):
        return broken_value(name, connectors, source=CONFIG)
    if any(item.name == FAKE for item in connectors):
        return Declaration(
            optimization=name,
            state=DeclarationState.SIMULATED,
            source=CONFIG,
            explanation="a benchmark connector pretends that prompts were filled elsewhere",
        )
    movers = [item for item in connectors if _moves(item)]
    if not movers:
        return _without_mover(connectors)
    role = role_of(connectors)
    if role is None and movers[0].role != BOTH:
        return Declaration(
            optimization=name,
            state=DeclarationState.INVALID,
            source=CONFIG,
            explanation="the connector has no kv_role: the engine refuses to start",
        )
    explanation = (
        f"the engine's role is {role.value}" if role else "kv_both does not say which role the engine has"
    )
    return Declaration(
        optimization=name, state=DeclarationState.DECLARED, source=CONFIG, explanation=explanation
    )


def _moves(item: Connector) -> bool:
    return item.name in TRANSFER or (item.role in ROLES and item.name not in OFFLOAD - LMCACHE)


def _without_mover(connectors: tuple[Connector, ...]) -> Declaration:
    """No connector that moves KV for sure: an offload connector is not disaggregation."""
    state, source, reason = DeclarationState.NOT_DECLARED, "", "no connector moves KV between engines"
    if any(item.name not in KNOWN for item in connectors):
        state, source, reason = DeclarationState.OPAQUE, CONFIG, NOT_KNOWN
    elif any(item.role in ROLES and item.name not in OWN_MEMORY for item in connectors):
        state, source, reason = DeclarationState.OPAQUE, CONFIG, SHARED_STORE
    elif connectors:
        reason = STORES_ONLY
    return Declaration(
        optimization=OptimizationName.DISAGGREGATED_SERVING, state=state, source=source, explanation=reason
    )


def _by_size(command: Command, size: str) -> Declaration:
    if UNKNOWN in size:
        return _offloading(DeclarationState.OPAQUE, SIZE, FROM_A_VARIABLE)
    if not _above_zero(size):
        return _offloading(DeclarationState.INVALID, SIZE, "the size must be a number of GiB above 0")
    if _never_reused(command):
        return _offloading(DeclarationState.INVALID, SIZE, NEVER_REUSED)
    return _offloading(DeclarationState.DECLARED, SIZE, "a store of KV blocks is asked for")


def _by_connector(command: Command, store: Connector) -> Declaration:
    sizes = [store.extra[key] for key in SIZE_KEYS if key in store.extra]
    if sizes and not any(_above_zero(size) for size in sizes):
        return _offloading(DeclarationState.INVALID, CONFIG, "the connector's store has size 0")
    if store.name == "DynamoConnector" and not any(
        _above_zero(command.env.get(key, "0")) for key in KVBM_SIZES[:-2]
    ):
        if any(command.may_set(key) for key in KVBM_SIZES) or any(
            key in command.env for key in KVBM_SIZES[-2:]
        ):
            return _offloading(DeclarationState.OPAQUE, CONFIG, "the size of the store is not in the pod")
        return _offloading(DeclarationState.INVALID, CONFIG, "no tier has a size: nothing is offloaded")
    if store.name in LMCACHE and store.role in ROLES:
        return _offloading(
            DeclarationState.OPAQUE, CONFIG, "LMCache's own configuration decides whether it stores"
        )
    if store.name in LMCACHE and _keeps_nothing(command):
        return _offloading(DeclarationState.INVALID, "LMCACHE_LOCAL_CPU", NO_TIER)
    if store.name in OWN_MEMORY and _never_reused(command):
        return _offloading(DeclarationState.INVALID, CONFIG, NEVER_REUSED)
    method = BY_SERVER if store.name == LMCACHE_SERVER else ""
    return replace(
        _offloading(DeclarationState.DECLARED, CONFIG, "a connector stores KV blocks"), method=method
    )


def _keeps_nothing(command: Command) -> bool:
    """LMCache in the engine with its CPU tier off, and no other tier named anywhere in the pod."""
    off = command.env.get("LMCACHE_LOCAL_CPU", "").lower() in ("false", "0")
    return off and not any(key in command.env or command.may_set(key) for key in LMCACHE_TIERS)


def _never_reused(command: Command) -> bool:
    return command.flags.switch("enable-prefix-caching") is False


def _above_zero(value: Any) -> bool:
    try:
        return not isinstance(value, bool | Mapping) and 0 < float(value) < float("inf")
    except (TypeError, ValueError, OverflowError):
        return False


def _offloading(state: DeclarationState, source: str, explanation: str) -> Declaration:
    return Declaration(
        optimization=OptimizationName.KV_CACHE_OFFLOADING, state=state, source=source, explanation=explanation
    )
