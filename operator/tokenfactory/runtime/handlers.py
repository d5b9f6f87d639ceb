"""kopf's part: watch our own resources and log in. `on.event` only: no finalizer, no annotation, no write."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import kopf

from tokenfactory.runtime.desk import Desk
from tokenfactory.runtime.kube import Kube

GROUP, VERSION = "tokenfactory.dev", "v1alpha1"


def register(registry: kopf.OperatorRegistry, desk: Desk, kube: Kube) -> None:
    """Puts the handlers into `registry`; nothing is registered globally. kopf logs in as `kube` did."""

    @kopf.on.event(GROUP, VERSION, "inferencepools", registry=registry)
    async def pool_event(type: str | None, body: kopf.Body, **_: Any) -> None:
        desk.take_pool(type, body)

    @kopf.on.event(GROUP, VERSION, "tokenfactories", registry=registry)
    async def factory_event(type: str | None, body: kopf.Body, **_: Any) -> None:
        desk.take_factory(type, body)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        known = await kube.credentials()
        return kopf.ConnectionInfo(
            server=known.server,
            ca_path=known.ca_path,
            token=known.token,
            certificate_path=known.certificate_path,
            private_key_path=known.private_key_path,
        )


class Patience:
    """kopf's pauses between attempts, in seconds, without end: an API server may be away for long."""

    def __iter__(self) -> Iterator[float]:
        yield from (1.0, 1.0, 2.0, 3.0, 5.0, 8.0)
        yield from repeat(10.0)


def operator_settings() -> kopf.OperatorSettings:
    """kopf without what we don't use: no peering, no scanning, no posting; bounded workers and time-outs."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 320
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Patience()
    settings.queueing.worker_limit = 50
    return settings
