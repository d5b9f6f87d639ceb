"""Energy odometers and DCGM samples of the GPUs that the pool holds (docs/cost-model.md §8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tokenfactory.costing.gpus import Board, Holding
from tokenfactory.costing.ledger import EnergySpan, Fault, GpuSample, Odometer, PodSample, Presence, Tally
from tokenfactory.model import GpuReading
from tokenfactory.units import JOULES_PER_MILLIJOULE

POWER_BITS = 0x4 | 0x80
THERMAL_BITS = 0x20 | 0x40
THROTTLE_BITS = POWER_BITS | THERMAL_BITS
STUCK_AFTER_SAMPLES = 3.0

Boards = tuple[tuple[Board, tuple[Holding, ...]], ...]


@dataclass(frozen=True, slots=True)
class Drive:
    """The odometers after a cycle, the spans of energy that it closed and the XIDs that appeared."""

    odometers: Mapping[str, Odometer]
    spans: tuple[EnergySpan, ...]
    faults: tuple[Fault, ...] = ()


def drive(
    before: Mapping[str, Odometer],
    boards: Boards,
    *,
    presence: Mapping[str, Presence],
    now: float,
    keep: float,
) -> Drive:
    """Closes a span whenever a board's counter moved. A repeated value closes nothing, a fall is dropped.

    `presence` cuts a span to the time for which its pods held the board. Odometers that were not seen
    for `keep` seconds go.
    """
    after = {uuid: meter for uuid, meter in before.items() if now - meter.seen_at <= keep}
    joules: dict[tuple[str, float, float, bool], tuple[float, float]] = {}
    faults: list[Fault] = []
    for board, holdings in boards:
        meter = after.get(board.uuid)
        if meter is not None and board.at <= meter.seen_at:
            continue
        after[board.uuid], gained = _move(meter, board, holdings)
        faults += _faults(meter, board, holdings)
        if meter is None or gained is None:
            continue
        for holding in holdings:
            start = max(meter.moved_at, min(presence[holding.pod_uid].since, board.at))
            if board.at <= start:
                continue
            part = (board.at - start) / (board.at - meter.moved_at)
            key = (holding.pod_uid, start, board.at, holding.estimated)
            used, gpus = joules.get(key, (0.0, 0.0))
            joules[key] = (used + gained * part * holding.power_share, gpus + holding.gpus)
    spans = tuple(
        EnergySpan(pod, start, end, used, gpus, estimated)
        for (pod, start, end, estimated), (used, gpus) in sorted(joules.items())
    )
    return Drive(after, spans, tuple(faults))


def _faults(meter: Odometer | None, board: Board, holdings: tuple[Holding, ...]) -> list[Fault]:
    """The gauge keeps the last code: only a change while the board is watched is news."""
    if meter is None or not board.xid or board.xid == meter.xid:
        return []
    return [Fault(board.at, holding.pod_uid, board.xid) for holding in holdings]


def _move(
    meter: Odometer | None, board: Board, holdings: tuple[Holding, ...]
) -> tuple[Odometer, float | None]:
    """The odometer after this page and the joules of the whole board since it last moved."""
    value = board.millijoules
    pods = tuple((holding.pod_uid, holding.gpus) for holding in holdings)
    estimated = any(holding.estimated for holding in holdings)
    known = meter.millijoules if meter is not None else None
    xid = board.xid if board.xid is not None or meter is None else meter.xid
    if meter is None or known is None or value is None or value < known:
        return Odometer(board.at, board.at, value, pods, closed=False, estimated=estimated, xid=xid), None
    if value == known:
        return replace(meter, seen_at=board.at, pods=pods, estimated=estimated, xid=xid), None
    moved = Odometer(board.at, board.at, value, pods, closed=True, estimated=estimated, xid=xid)
    return moved, (value - known) * JOULES_PER_MILLIJOULE


def seen_by_pod(odometers: Mapping[str, Odometer], *, now: float, within: float) -> dict[str, float]:
    """GPUs per pod that an exporter showed within so many seconds: one lost page is no news."""
    found: dict[str, float] = {}
    for meter in odometers.values():
        if now - meter.seen_at > within:
            continue
        for pod_uid, gpus in meter.pods:
            found[pod_uid] = found.get(pod_uid, 0.0) + gpus
    return found


def metered_by_pod(
    odometers: Mapping[str, Odometer], *, now: float, seen_within: float, sample_interval: float
) -> dict[str, float]:
    """GPUs per pod whose counter is alive: seen lately, moved within three sampling intervals."""
    found: dict[str, float] = {}
    for meter in odometers.values():
        stuck = meter.seen_at - meter.moved_at > STUCK_AFTER_SAMPLES * sample_interval
        if not meter.closed or stuck or now - meter.seen_at > seen_within:
            continue
        for pod_uid, gpus in meter.pods:
            found[pod_uid] = found.get(pod_uid, 0.0) + gpus
    return found


def sample(boards: Boards, *, now: float) -> GpuSample | None:
    """This cycle's activity of the pool's own GPUs; None when no page shows any of them."""
    readings = [gpu for _, holdings in boards for holding in holdings for gpu in holding.readings]
    if not readings:
        return None
    return GpuSample(
        since=now,
        at=now,
        busy=_sum(gpu.utilisation for gpu in readings if gpu.utilisation is not None),
        tensor=_sum(gpu.tensor_active for gpu in readings if gpu.tensor_active is not None),
        memory=_sum(share for gpu in readings if (share := _memory_share(gpu)) is not None),
        throttled=_sum(
            1.0 if gpu.clock_event_reasons & THROTTLE_BITS else 0.0
            for gpu in readings
            if gpu.clock_event_reasons is not None
        ),
        megahertz=_sum(clock for gpu in readings if (clock := _clock(gpu))),
        pods=_by_pod(boards),
    )


def _by_pod(boards: Boards) -> tuple[PodSample, ...]:
    """Why clocks are low, and the clocks, of each pod's GPUs; nothing where neither is exported."""
    found: dict[str, PodSample] = {}
    for _, holdings in boards:
        for holding in holdings:
            for gpu in holding.readings:
                if gpu.clock_event_reasons is not None or _clock(gpu):
                    one = _sample_of(holding.pod_uid, gpu)
                    before = found.get(holding.pod_uid)
                    found[holding.pod_uid] = before.plus(one) if before else one
    return tuple(found.values())


def _clock(gpu: GpuReading) -> float:
    """The clock of a GPU at work; 0 where it idles or none is exported."""
    return gpu.sm_megahertz or 0.0 if gpu.utilisation else 0.0


def _sample_of(pod_uid: str, gpu: GpuReading) -> PodSample:
    bits = gpu.clock_event_reasons or 0
    return PodSample(
        pod_uid,
        explained=int(gpu.clock_event_reasons is not None),
        throttled=int(bool(bits & THROTTLE_BITS)),
        power_capped=int(bool(bits & POWER_BITS)),
        thermal=int(bool(bits & THERMAL_BITS)),
        clocked=int(bool(_clock(gpu))),
        clocks=_clock(gpu),
    )


def _sum(values: Iterable[float]) -> Tally:
    total, count = 0.0, 0
    for value in values:
        total += value
        count += 1
    return total, count


def _memory_share(gpu: GpuReading) -> float | None:
    """used / (used + free + reserved): the total is not exported."""
    if gpu.memory_used_mib is None or gpu.memory_free_mib is None:
        return None
    total = gpu.memory_used_mib + gpu.memory_free_mib + (gpu.memory_reserved_mib or 0.0)
    return gpu.memory_used_mib / total if total > 0 else None
