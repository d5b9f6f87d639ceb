"""Offloading to a server of its own: what LMCache's server counted for the engines of its node.

An engine and the server that it uses share memory, so they share a node; with none on an engine's node the
engine is judged by its own page alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokenfactory.judgement.evidence import Evidence
from tokenfactory.model import (
    BY_SERVER,
    CompanionFigures,
    CompanionKind,
    EngineId,
    Inspected,
    OptimizationName,
    Signal,
)


@dataclass(frozen=True, slots=True)
class Store:
    """What the servers of one node gained in the window, and the prompts of the engines that use them."""

    hit_tokens: float
    stored: float
    loaded: float
    prompt_tokens: float


def find_stores(evidence: Evidence) -> Mapping[EngineId, Store]:
    """The store of each engine that declares one and has one on its node that was read."""
    servers: dict[str, list[CompanionFigures]] = {}
    for item in evidence.economics.companions:
        if item.kind is CompanionKind.CACHE_SERVER and item.node and item.gained and item.fresh:
            servers.setdefault(item.node, []).append(item)
    if not servers:
        return {}
    nodes = {replica.pod.uid: replica.pod.node_name for replica in evidence.fleet.replicas}
    prompts = {row.id: row.prompt_tokens for row in evidence.economics.evidence}
    users: dict[str, list[EngineId]] = {}
    for told in evidence.inspected:
        node = nodes.get(told.pod_uid, "")
        if node in servers and _uses_server(told):
            users.setdefault(node, []).append(EngineId(told.pod_uid, told.container, told.instance))
    return {
        engine_id: _store(servers[node], sum(prompts.get(each, 0.0) for each in engines))
        for node, engines in users.items()
        for engine_id in engines
    }


def _uses_server(told: Inspected) -> bool:
    return any(
        item.optimization is OptimizationName.KV_CACHE_OFFLOADING and item.method == BY_SERVER
        for item in told.declarations
    )


def _store(servers: Iterable[CompanionFigures], prompt_tokens: float) -> Store:
    gained = [item.gained for item in servers]

    def total(signal: Signal) -> float:
        return sum(each.get(signal, 0.0) for each in gained)

    return Store(
        hit_tokens=total(Signal.OFFLOAD_HIT_TOKENS),
        stored=total(Signal.OFFLOAD_STORED_BLOCKS),
        loaded=total(Signal.OFFLOAD_LOADED_BLOCKS),
        prompt_tokens=prompt_tokens,
    )
