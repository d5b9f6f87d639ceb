"""The workload guard: kopf's admission server in front of `tokenfactory.guard`. Off without a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kopf
import structlog

from tokenfactory.discovery.terms import resolve
from tokenfactory.guard import Ruling, examine
from tokenfactory.model import Pool, Terms
from tokenfactory.runtime.desk import Desk
from tokenfactory.runtime.settings import Settings

WORKLOADS = (
    ("apps", "v1", "deployments"),
    ("apps", "v1", "statefulsets"),
    ("leaderworkerset.x-k8s.io", "v1", "leaderworkersets"),
    ("", "v1", "pods"),
)
PATH = "guard"
"""The path of the webhook, which kopf takes for the handlers' id."""
CERTIFICATE, PRIVATE_KEY = "tls.crt", "tls.key"


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
    options.admission.server = kopf.WebhookServer(
        addr=given.bind_address, port=given.guard_port, certfile=str(certificate), pkeyfile=str(key)
    )
    _register(registry, desk)
    return True


def _register(registry: kopf.OperatorRegistry, desk: Desk) -> None:
    log = structlog.get_logger("guard")

    async def review(*, body: kopf.Body, namespace: str | None, warnings: list[str], **kwargs: Any) -> None:
        ruling = _rule(desk, body, kwargs.get("old"), namespace, log)
        warnings.extend(ruling.warnings)
        if ruling.refusals:
            raise kopf.AdmissionError("; ".join(ruling.refusals), code=403)

    for group, version, plural in WORKLOADS:
        kopf.on.validate(group, version, plural, id=PATH, operations=["CREATE", "UPDATE"], registry=registry)(
            review
        )


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
