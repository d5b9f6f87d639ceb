"""Lists in pages, then watches with bookmarks, and projects every object once. Ours because kopf's index
is quadratic at start-up and keeps whole bodies (docs/architecture.md)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import structlog

from tokenfactory.errors import Unavailable
from tokenfactory.runtime.kube import ApiError, Collection, Expired, Kube

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0


class Store(Protocol[T_contra]):
    """Where an informer keeps what it saw, by UID."""

    def replace(self, items: Iterable[tuple[str, T_contra]]) -> None: ...

    def put(self, uid: str, item: T_contra) -> None: ...

    def drop(self, uid: str) -> None: ...


class Informer(Generic[T]):
    """Keeps a store equal to one collection of the API server, through lost connections and 410 Gone."""

    def __init__(
        self,
        kube: Kube,
        where: Collection,
        store: Store[T],
        *,
        project: Callable[[Mapping[str, Any]], T],
        parameters: Mapping[str, str],
        page_size: int,
        on_return: Callable[[], None] = lambda: None,
    ) -> None:
        self._kube = kube
        self._where = where
        self._store = store
        self._project = project
        self._parameters = dict(parameters)
        self._page_size = page_size
        self._on_return = on_return
        self._heard_at: float | None = None
        self._version = ""
        self._failures = 0
        self._log = structlog.get_logger("informer").bind(resource=where.resource)
        self.synced = asyncio.Event()

    @property
    def resource(self) -> str:
        return self._where.resource

    def age(self) -> float | None:
        """Seconds since the API server last said anything (event, bookmark, list); None before the first."""
        return None if self._heard_at is None else time.monotonic() - self._heard_at

    async def run(self) -> None:
        """Lists and watches until cancelled; logs when the API server is lost and when it is back."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._follow()
            except Expired:
                self._version = ""
            except (Unavailable, ApiError) as error:
                self._failures += 1
                if self._failures == 1:
                    self._log.warning("api server lost, retrying", error=str(error))
                await asyncio.sleep(backoff(self._failures))

    def _heard(self) -> None:
        self._heard_at = time.monotonic()
        if self._failures:
            self._log.info("api server is back", failures=self._failures)
            self._failures = 0
            self._on_return()

    async def _list(self) -> None:
        items: list[tuple[str, T]] = []
        token, version = "", ""
        while True:
            page = await self._kube.page(
                self._where, limit=self._page_size, token=token, parameters=self._parameters
            )
            items += [(uid_of(body), self._project(body)) for body in page.get("items") or ()]
            metadata = page.get("metadata") or {}
            version = metadata.get("resourceVersion", "")
            token = metadata.get("continue") or ""
            if not token:
                break
            await asyncio.sleep(0)
        self._store.replace(items)
        self._version = str(version)
        self._heard()
        self.synced.set()

    async def _follow(self) -> None:
        """Applies events until the server ends the watch; a broken one goes on from the last version seen."""
        async for kind, body in self._kube.watch(
            self._where, version=self._version, parameters=self._parameters
        ):
            self._heard()
            if kind == "DELETED":
                self._store.drop(uid_of(body))
            elif kind in {"ADDED", "MODIFIED"}:
                self._store.put(uid_of(body), self._project(body))
            self._version = str((body.get("metadata") or {}).get("resourceVersion") or self._version)


def uid_of(body: Mapping[str, Any]) -> str:
    """The object's UID: identity is never the name."""
    return str((body.get("metadata") or {}).get("uid") or "")


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubling, capped, with full jitter's upper half."""
    ceiling: float = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
    return ceiling * float(random.uniform(0.5, 1.0))  # noqa: S311
