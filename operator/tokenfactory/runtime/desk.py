"""What the API server last said about our own resources. Kept warm on the leader and on standbys alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from tokenfactory.discovery.factory import read_factory
from tokenfactory.discovery.resource import read_pool
from tokenfactory.discovery.terms import DEFAULT_FACTORY
from tokenfactory.errors import InvalidSpec
from tokenfactory.model import Factory, LabelSelector, Pool, PoolKey, Resource


@dataclass(frozen=True, slots=True)
class SeenPool:
    """One InferencePool as last seen: its typed spec, and the status that the API server holds."""

    resource: Resource
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SeenFactory:
    """One TokenFactory as last seen; `problem` is set when its spec can't be used."""

    name: str
    uid: str
    generation: int
    factory: Factory | None
    problem: InvalidSpec | None
    status: Mapping[str, Any]


class Desk:
    """Pools and factories by UID and name, with one listener that hears which pools changed."""

    def __init__(self) -> None:
        self._pools: dict[str, SeenPool] = {}
        self._factories: dict[str, SeenFactory] = {}
        self._listener: Callable[[str], None] | None = None
        self._log = structlog.get_logger("desk")

    def listen(self, listener: Callable[[str], None] | None) -> None:
        """Calls `listener` with a pool's UID whenever its spec changed, it appeared or it went."""
        self._listener = listener

    def take_pool(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """One watch event of an InferencePool.

        What the spec says decides whether it changed, not its generation: while a CRD is replaced, a watch
        goes on for a while under the old schema and shows the same generation without the new fields.
        """
        uid = str((body.get("metadata") or {}).get("uid") or "")
        if kind == "DELETED":
            self._pools.pop(uid, None)
            self._tell(uid)
            return
        before, resource = self._pools.get(uid), read_pool(body)
        status = dict(body.get("status") or {})
        if before is not None and before.resource == resource:
            if status != before.status:  # the echo of our own write: one copy of it is enough
                self._pools[uid] = replace(before, status=status)
            return
        self._pools[uid] = SeenPool(resource, status)
        self._tell(uid)

    def take_factory(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """One watch event of a TokenFactory. Its pools are cycled again when its spec changed."""
        metadata = body.get("metadata") or {}
        name = str(metadata.get("name") or "")
        before = self._factories.get(name)
        if kind == "DELETED":
            self._factories.pop(name, None)
        else:
            self._factories[name] = _seen_factory(body, metadata)
            if before is not None and before.generation == self._factories[name].generation:
                return
        for uid in tuple(self._pools):
            self._tell(uid)

    def published(self, uid: str, status: Mapping[str, Any]) -> None:
        """Our own write, remembered without waiting for its echo."""
        seen = self._pools.get(uid)
        if seen is not None:
            self._pools[uid] = replace(seen, status=status)

    def factory_published(self, name: str, status: Mapping[str, Any]) -> None:
        seen = self._factories.get(name)
        if seen is not None:
            self._factories[name] = replace(seen, status=status)

    def pool(self, uid: str) -> SeenPool | None:
        return self._pools.get(uid)

    def uids(self) -> tuple[str, ...]:
        return tuple(self._pools)

    def factories(self) -> tuple[SeenFactory, ...]:
        return tuple(self._factories[name] for name in sorted(self._factories))

    def usable_factories(self) -> dict[str, Factory]:
        """Valid factories by name."""
        return {name: seen.factory for name, seen in self._factories.items() if seen.factory is not None}

    def users_of(self, factory_name: str) -> int:
        """How many valid pools use this factory, cycled already or not."""
        named = (
            seen.resource.factory_name for seen in self._pools.values() if isinstance(seen.resource, Pool)
        )
        return sum((name or DEFAULT_FACTORY) == factory_name for name in named)

    def broken_factories(self) -> frozenset[str]:
        """Names of factories whose spec can't be used: their pools get no price, and no fallback."""
        return frozenset(name for name, seen in self._factories.items() if seen.factory is None)

    def rank(self, key: PoolKey) -> int:
        """How many pools of the namespace come before this one by name."""
        return sum(
            other.namespace == key.namespace and other.name < key.name
            for other in (seen.resource.key for seen in self._pools.values())
        )

    def neighbours(self, key: PoolKey) -> tuple[tuple[str, LabelSelector], ...]:
        """The other valid pools of the namespace that select by label."""
        return tuple(
            (pool.key.name, pool.selector)
            for seen in self._pools.values()
            if isinstance(pool := seen.resource, Pool)
            and pool.selector is not None
            and pool.key.namespace == key.namespace
            and pool.key.name != key.name
        )

    def _tell(self, uid: str) -> None:
        if self._listener is not None:
            self._listener(uid)


def _seen_factory(body: Mapping[str, Any], metadata: Mapping[str, Any]) -> SeenFactory:
    factory: Factory | None = None
    problem: InvalidSpec | None = None
    try:
        factory = read_factory(body)
    except InvalidSpec as error:
        problem = error
    return SeenFactory(
        name=str(metadata.get("name") or ""),
        uid=str(metadata.get("uid") or ""),
        generation=int(metadata.get("generation") or 0),
        factory=factory,
        problem=problem,
        status=dict(body.get("status") or {}),
    )
