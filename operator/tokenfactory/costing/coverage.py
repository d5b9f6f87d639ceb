"""What was seen of what should be seen: replicas, GPUs, energy counters, and the scrapes that failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

from tokenfactory.costing.ledger import Ledger
from tokenfactory.costing.sights import is_ready
from tokenfactory.costing.tokencount import WORKERS
from tokenfactory.costing.tracks import Sight
from tokenfactory.costing.window import is_fresh
from tokenfactory.measure import Absence, Known, Measure, Missing
from tokenfactory.model import Coverage, Failure, FailureReason, Fleet, Readings, Role, RoleShare

_CRUMB = 1e-6
_ROLES = tuple(Role)


def count_replicas(sights: Iterable[Sight], ledger: Ledger, *, now: float, interval: float) -> Coverage:
    """Ready replicas with an engine, and those of them whose engines were all read lately.

    A pod that is not Ready is loading: its page is not expected.
    """
    expected: dict[str, bool] = {}
    for sight in sights:
        if sight.engine is None or not is_ready(sight.engine):
            continue
        track = ledger.tracks.get(sight.id)
        fresh = track is not None and is_fresh(track, now=now, interval=interval)
        expected[sight.id.pod_uid] = expected.get(sight.id.pod_uid, True) and fresh
    return Coverage(expected=len(expected), scraped=sum(expected.values()))


def gpus_by_pod(sights: Iterable[Sight]) -> dict[str, float]:
    found: dict[str, float] = {}
    for sight in sights:
        if sight.gpus > 0:
            found[sight.id.pod_uid] = found.get(sight.id.pod_uid, 0.0) + sight.gpus
    return found


def count_gpus(
    sights: Iterable[Sight], ledger: Ledger, *, seen: Mapping[str, float], grace: float
) -> Coverage:
    """Whole GPUs held, and those that DCGM showed lately; fewer is a finding, never a lower cost.

    `seen`: GPUs by pod UID. A new pod is left out for `grace` seconds while older ones are there: the
    exporter names it a little later than the API server does.
    """
    held = gpus_by_pod(sights)
    expected = _settled(held, ledger, known=seen, grace=grace)
    shown = sum(min(gpus, seen.get(uid, 0.0)) for uid, gpus in expected.items())
    return Coverage(expected=ceil(sum(expected.values()) - _CRUMB), scraped=ceil(shown - _CRUMB))


def _settled(
    held: Mapping[str, float], ledger: Ledger, *, known: Mapping[str, float], grace: float
) -> Mapping[str, float]:
    """The pods that are known or old enough to be; all of them when none is."""
    settled = {
        uid: gpus
        for uid, gpus in held.items()
        if uid in known or ledger.at - ledger.presence[uid].since >= grace
    }
    return settled or held


def meter_share(
    sights: Iterable[Sight], ledger: Ledger, *, metered: Mapping[str, float], grace: float
) -> Measure[float]:
    """GPUs with a live energy counter over GPUs held.

    Pods that hold their GPUs for less than `grace` seconds are left out while older ones are there.
    """
    held = gpus_by_pod(sights)
    if not held:
        return Missing(Absence.NO_PODS, "no GPU is held")
    expected = _settled(held, ledger, known=metered, grace=grace)
    total = sum(expected.values())
    live = sum(min(gpus, metered.get(uid, 0.0)) for uid, gpus in expected.items())
    return Known(value=live / total, basis="GPUs with a live energy counter", source="docs/cost-model.md §8")


def list_roles(sights: Iterable[Sight]) -> tuple[RoleShare, ...]:
    """Replicas and GPUs of each role; a pod with several engines counts once, under the first one's role.

    A follower of a multi-node group adds its GPUs to its leader's role and is no replica of its own.
    """
    first: dict[str, Role] = {}
    gpus: dict[Role, float] = {}
    followers = set()
    for sight in sights:
        role = first.setdefault(sight.id.pod_uid, sight.role)
        gpus[role] = gpus.get(role, 0.0) + sight.gpus
        if not sight.id.container and role in WORKERS:
            followers.add(sight.id.pod_uid)
    return tuple(
        RoleShare(
            role=role,
            replicas=sum(r is role for uid, r in first.items() if uid not in followers),
            gpus=gpus[role],
        )
        for role in _ROLES
        if role in gpus
    )


def list_failures(fleet: Fleet, readings: Readings) -> tuple[tuple[str, FailureReason], ...]:
    """Pods and nodes whose page failed in this cycle, sorted; a pod that is not Ready need not answer."""
    found: list[tuple[str, FailureReason]] = []
    by_pod = {
        replica.pod.uid: (replica.pod.name, {e.container.name for e in replica.engines if is_ready(e)})
        for replica in fleet.replicas
    }
    for engine_id, reading in readings.engines.items():
        name, ready = by_pod.get(engine_id.pod_uid, ("", set()))
        if isinstance(reading, Failure) and engine_id.container in ready:
            found.append((name, reading.reason))
    found += [
        (f"node {node}", reading.reason)
        for node, reading in readings.exporters.items()
        if isinstance(reading, Failure)
    ]
    return tuple(sorted(found))
