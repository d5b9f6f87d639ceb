"""One sight per engine (and per GPU-holding pod without one): who is here, ready or not, and since when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tokenfactory.costing.gpus import count_held, holds_gpus
from tokenfactory.costing.hardware import UNKNOWN_HARDWARE, facts_of
from tokenfactory.costing.ledger import Ledger, Track
from tokenfactory.costing.shares import Share
from tokenfactory.costing.tokencount import WORKERS
from tokenfactory.costing.tracks import Sight
from tokenfactory.model import (
    Engine,
    EngineId,
    EngineKind,
    EngineReading,
    Failure,
    Fleet,
    Inspected,
    Pod,
    Readings,
    Replica,
    Role,
    Terms,
    id_of,
)

STAMP_SECONDS = 1.0


def list_sights(
    fleet: Fleet,
    inspected: Iterable[Inspected],
    readings: Readings,
    *,
    terms: Terms,
    ledger: Ledger | None,
    observed: Mapping[str, float],
    products: Mapping[str, str],
    now: float,
) -> tuple[Sight, ...]:
    """All sights of the cycle. `observed` and `products` are DCGM's GPUs and model name per pod UID."""
    told = {EngineId(item.pod_uid, item.container, item.instance): item for item in inspected}
    roles = {engine_id: item.role for engine_id, item in told.items()}
    leads = _leads(fleet, roles)
    found: list[Sight] = []
    for replica in filter(holds_gpus, fleet.replicas):
        uid = replica.pod.uid
        gpus = count_held(replica, observed.get(uid, 0.0))
        facts = facts_of(replica, terms, seen_product=products.get(uid, ""))
        engines = [(e, roles.get(id_of(replica.pod, e), e.role)) for e in replica.engines]
        workers = [(e, role) for e, role in engines if role in WORKERS and e.kind is not EngineKind.NONE]
        if not workers and gpus > 0:
            lead = leads.get(replica.group) if replica.group else None
            silent = _silent(replica, engines, lead=lead, ledger=ledger, now=now)
            found.append(replace(silent, facts=facts, gpus=gpus))
        parts = _split(gpus, [engine for engine, _ in workers])
        for (engine, role), part in zip(workers, parts, strict=True):
            own = id_of(replica.pod, engine)
            seen = see(own, engine, replica.pod, reading=readings.engines.get(own), ledger=ledger, now=now)
            epoch = told[seen.id].epoch if seen.id in told else ""
            found.append(replace(seen, role=role, facts=facts, gpus=part, epoch=epoch))
    return tuple(found)


def _split(gpus: float, engines: Sequence[Engine]) -> list[float]:
    """Each engine's part of its pod's GPUs: by its container's limits where all ask for one kind of GPU.

    The engines of one container, and those of containers that don't all ask, share evenly.
    """
    within = Counter(engine.container.name for engine in engines)
    asked = [engine.container.gpu_limits for engine in engines]
    if len({tuple(resource for resource, _ in limits) for limits in asked}) == 1 and all(asked):
        weights = [
            sum(count for _, count in limits) / within[engine.container.name]
            for engine, limits in zip(engines, asked, strict=True)
        ]
    else:
        weights = [1.0] * len(engines)
    return [gpus * weight / sum(weights) for weight in weights]


def begin_of_new(created_at: float, ledger: Ledger | None) -> float | None:
    """Since when a pod that was not there before holds its GPUs, if it was created after the last cycle.

    Kubernetes cuts the time of creation to whole seconds: up to one more may belong to the time before.
    """
    if ledger is None or created_at + STAMP_SECONDS <= ledger.at:
        return None
    return max(created_at, ledger.at)


def is_ready(engine: Engine) -> bool:
    return engine.container.running and engine.container.ready


def see(
    engine_id: EngineId,
    engine: Engine,
    pod: Pod,
    *,
    reading: EngineReading | Failure | None,
    ledger: Ledger | None,
    now: float,
) -> Sight:
    """The sight of what runs in a container of the pod, before anybody said which GPUs are its own."""
    ready = is_ready(engine)
    started_at = engine.container.started_at
    since, from_zero = begin_of(pod, ready=ready, started_at=started_at, ledger=ledger, now=now)
    return Sight(
        id=engine_id,
        role=engine.role,
        facts=UNKNOWN_HARDWARE,
        gpus=0.0,
        engine=engine,
        ready=ready,
        reading=reading if isinstance(reading, EngineReading) else None,
        since=since,
        from_zero=from_zero,
        now=now,
    )


def _leads(fleet: Fleet, roles: Mapping[EngineId, Role]) -> dict[str, tuple[EngineId, Role]]:
    """The engine that serves for each multi-node group, and its role."""
    found: dict[str, tuple[EngineId, Role]] = {}
    for replica in fleet.replicas:
        for engine in replica.engines if replica.group and not replica.follower else ():
            engine_id = EngineId(replica.pod.uid, engine.container.name)
            role = roles.get(engine_id, engine.role)
            if role in WORKERS:
                found.setdefault(replica.group, (engine_id, role))
    return found


def _silent(
    replica: Replica,
    engines: list[tuple[Engine, Role]],
    *,
    lead: tuple[EngineId, Role] | None,
    ledger: Ledger | None,
    now: float,
) -> Sight:
    """A pod that holds GPUs and has no page of its own.

    A follower's GPUs are its leader's: they have its role, and do what it does. One whose leader is not known
    serves while any engine of the pool does.
    """
    role = next((role for _, role in engines if role is Role.WORKER), Role.NONE)
    tracks = ledger.tracks if ledger else {}
    if lead is not None:
        role, share = lead[1], _does(tracks.get(lead[0]))
    else:
        serves = role is Role.WORKER and any(track.running > 0 for track in tracks.values())
        share = Share.SERVING if serves else Share.IDLE
    pod = replica.pod
    born = begin_of_new(pod.created_at, ledger)
    return Sight(
        id=EngineId(pod.uid, ""),
        role=role,
        facts=UNKNOWN_HARDWARE,
        gpus=0.0,
        engine=None,
        ready=pod.ready,
        reading=None,
        since=now if born is None else min(born, now),
        from_zero=False,
        now=now,
        silent_share=share,
    )


def _does(track: Track | None) -> Share:
    if track is None or not track.ready:
        return Share.LOADING
    return track.segments[-1].share if track.segments else Share.IDLE


def begin_of(
    pod: Pod, *, ready: bool, started_at: float | None, ledger: Ledger | None, now: float
) -> tuple[float | None, bool]:
    """When a new engine's GPU time begins (None: at its first good scrape), and if its counters begin at 0.

    A pod that appeared while we watched is billed from its creation, and its first page counts whole. One
    that was there when the operator started is billed from its first page, or from now while it still loads
    (docs/cost-model.md §1).
    """
    if ledger is not None:
        born = begin_of_new(pod.created_at, ledger)
        if born is not None:
            return min(born, now), True
        if ready and started_at is not None and started_at > ledger.at:
            return ledger.at, True
    return (None if ready else now), False
