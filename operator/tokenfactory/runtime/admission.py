"""The workload guard: kopf's admission server in front of `tokenfactory.guard`. Off without a certificate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import kopf
import structlog

from tokenfactory.discovery.terms import resolve
from tokenfactory.errors import name_fault
from tokenfactory.guard import Ruling, examine
from tokenfactory.model import Pool, Terms
from tokenfactory.runtime.desk import Desk
from tokenfactory.runtime.settings import Settings

POD = {"group": "", "version": "v1", "resource": "pods"}
PATH = "guard"
"""The path of the webhook, which kopf takes for the handler's id."""
CERTIFICATE, PRIVATE_KEY = "tls.crt", "tls.key"
CHECK_SECONDS = 5.0
RETRY_SECONDS = 3.0


def serve_guard(
    registry: kopf.OperatorRegistry, options: kopf.OperatorSettings, desk: Desk, given: Settings
) -> bool:
    """Adds the guard to kopf when the certificate is mounted; whether it did.

    The certificate's files are read again when they change, as cert-manager changes them.
    """
    folder = Path(given.guard_directory)
    certificate, key = folder / CERTIFICATE, folder / PRIVATE_KEY
    if not (certificate.is_file() and key.is_file()):
        return False
    options.admission.managed = None
    options.admission.server = GuardServer(
        kopf.WebhookServer(
            addr=given.bind_address,
            port=given.guard_port,
            certfile=str(certificate),
            pkeyfile=str(key),
            file_check_interval=CHECK_SECONDS,
        )
    )
    _register(registry, desk)
    return True


class GuardServer:
    """kopf's webhook server without what would bind it to the objects that it sees.

    By itself kopf answers only for resources that were served when it started, remembers each updated object
    by its UID for ever, and ends the operator when a certificate can't be read. Here every workload is handed
    over as a pod without a UID (the guard looks at the object alone), and a server that fails starts again.
    """

    def __init__(self, server: kopf.WebhookServer) -> None:
        self._server = server
        self._log = structlog.get_logger("guard")

    async def __call__(self, handle: kopf.WebhookFn) -> AsyncIterator[kopf.WebhookClientConfig]:
        async def answer(request: Any, **context: Any) -> Any:
            return await handle(make_anonymous(request), **context)

        lost = False
        while True:
            try:
                async with self._server as server:
                    async for address in server(answer):
                        if lost:
                            self._log.info("the guard is served again")
                        lost = False
                        yield address
            except OSError as error:
                if not lost:
                    self._log.warning("the guard can't be served, workloads pass", why=name_fault(error))
                lost = True
            await asyncio.sleep(RETRY_SECONDS)


def make_anonymous(review: Any) -> Any:
    """The AdmissionReview as if of a pod, its object without a UID. One without an object stays as it is."""
    request = review.get("request")
    changed = dict(request) if isinstance(request, Mapping) else {}
    for part in ("object", "oldObject"):
        body = changed.get(part)
        if isinstance(body, Mapping) and isinstance(body.get("metadata"), Mapping):
            metadata = {key: value for key, value in body["metadata"].items() if key != "uid"}
            changed[part] = {**body, "metadata": metadata}
    return {**review, "request": {**changed, "resource": POD}} if changed else review


def _register(registry: kopf.OperatorRegistry, desk: Desk) -> None:
    log = structlog.get_logger("guard")

    @kopf.on.validate("", "v1", "pods", id=PATH, operations=["CREATE", "UPDATE"], registry=registry)
    async def review(*, body: kopf.Body, namespace: str | None, warnings: list[str], **kwargs: Any) -> None:
        ruling = _rule(desk, body, kwargs.get("old"), namespace, log)
        warnings.extend(ruling.warnings)
        if ruling.refusals:
            log.info(
                "refused",
                namespace=namespace or "",
                kind=body.get("kind"),
                name=body.metadata.get("name") or "",
            )
            raise kopf.AdmissionError("; ".join(ruling.refusals), code=403)


def _rule(
    desk: Desk, body: Mapping[str, Any], old: Mapping[str, Any] | None, namespace: str | None, log: Any
) -> Ruling:
    """A fault of ours lets the workload pass: a guard that breaks must not hold up a cluster."""
    try:
        pools = _pools(desk, namespace or "")
        if not pools:
            return Ruling()
        return examine(
            dict(body), namespace=namespace or "", pools=pools, before=dict(old) if old is not None else None
        )
    except Exception:
        log.exception("a workload could not be examined and passes")
        return Ruling()


def _pools(desk: Desk, namespace: str) -> tuple[tuple[Pool, Terms], ...]:
    """The pools of the namespace with their terms, by name."""
    factories, broken = desk.usable_factories(), desk.broken_factories()
    seen = (desk.pool(uid) for uid in desk.uids())
    pools = [
        pool
        for item in seen
        if item is not None and isinstance(pool := item.resource, Pool) and pool.key.namespace == namespace
    ]
    return tuple(
        (pool, resolve(pool, factories, broken=broken)) for pool in sorted(pools, key=lambda pool: pool.key)
    )
