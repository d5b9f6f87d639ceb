"""`--kv-transfer-config` of a vLLM engine: its connectors, those inside of wrappers included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.flags import Broken
from tokenfactory.model import Role

CONFIG = "--kv-transfer-config"
WRAPPERS = frozenset({"MultiConnector", "PdConnector"})
OFFLOAD = frozenset(
    {
        "OffloadingConnector",
        "SimpleCPUOffloadConnector",
        "LMCacheConnector",
        "LMCacheConnectorV1",
        "LMCacheMPConnector",
        "MooncakeStoreConnector",
        "FlexKVConnectorV1",
        "HF3FSKVConnector",
        "HiSparseConnector",
        "DynamoConnector",
    }
)
TRANSFER = frozenset(
    {
        "NixlConnector",
        "NixlPullConnector",
        "NixlPushConnector",
        "MooncakeConnector",
        "MoRIIOConnector",
        "P2pNcclConnector",
    }
)
LMCACHE = frozenset({"LMCacheConnector", "LMCacheConnectorV1", "LMCacheMPConnector"})
LMCACHE_SERVER = "LMCacheMPConnector"
"""Its blocks are kept by a server of LMCache's own."""
FAKE = "DecodeBenchConnector"
TEST_ONLY = frozenset({FAKE, "ExampleConnector", "SharedStorageConnector"})
KNOWN = OFFLOAD | TRANSFER | TEST_ONLY
OWN_MEMORY = frozenset({"OffloadingConnector", "SimpleCPUOffloadConnector"})
"""Stores in the engine's own memory, found by vLLM's hashes of prefixes: no other engine can read them."""
ROLES: Mapping[str, Role] = MappingProxyType({"kv_producer": Role.PREFILL, "kv_consumer": Role.DECODE})
BOTH = "kv_both"
DEEPEST = 4
MOST = 16


@dataclass(frozen=True, slots=True)
class Connector:
    """One connector: its name as vLLM knows it, the role it was given and its own settings."""

    name: str
    role: str
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def read_connectors(command: Command) -> tuple[Connector, ...] | Broken:
    """The connectors in the order written, wrappers replaced by what they wrap."""
    config = command.flags.mapping("kv-transfer-config")
    if isinstance(config, Broken):
        return config
    return tuple(_unwrap(config or {}, "", DEEPEST))[:MOST]


def role_of(connectors: tuple[Connector, ...]) -> Role | None:
    """Prefill or decode, as `kv_role` says it; `kv_both` is no role."""
    return next((ROLES[item.role] for item in connectors if item.role in ROLES), None)


def _unwrap(config: Mapping[str, Any], inherited: str, depth: int) -> Iterator[Connector]:
    name, role = config.get("kv_connector"), config.get("kv_role")
    if not isinstance(name, str):
        return
    known_role = role if isinstance(role, str) and (role in ROLES or role == BOTH) else inherited
    extra = config.get("kv_connector_extra_config")
    extra = extra if isinstance(extra, dict) else {}
    if name not in WRAPPERS:
        yield Connector(name, known_role, extra)
        return
    inner = extra.get("connectors")
    for item in inner[:MOST] if isinstance(inner, list) and depth else ():
        if isinstance(item, dict):
            yield from _unwrap(item, known_role, depth - 1)
