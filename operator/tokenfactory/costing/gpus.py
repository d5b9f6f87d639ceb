"""Which GPUs the pool's pods hold: limits first, DCGM only where it shows more (docs/cost-model.md §4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokenfactory.model import ExporterReading, Failure, Fleet, GpuReading, Replica
from tokenfactory.units import mig_share

SMALLEST_SLICE = 1.0 / 7.0
_FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Holding:
    """The part of one GPU that DCGM shows one pod of the pool to hold.

    `gpus` counts GPUs (MIG slices of 7, one replica of time-slicing or MPS). `power_share` is the part of the
    board's energy that is the pod's; `estimated` when DCGM can't tell the sharing pods apart.
    """

    uuid: str
    pod_uid: str
    gpus: float
    power_share: float
    readings: tuple[GpuReading, ...]
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One GPU on a page: its readings and when the page was rendered."""

    uuid: str
    at: float
    readings: tuple[GpuReading, ...]

    @property
    def millijoules(self) -> float | None:
        """The board's counter: MIG instances and sharing pods repeat it, so the largest one."""
        return max(
            (r.energy_millijoules for r in self.readings if r.energy_millijoules is not None), default=None
        )

    @property
    def xid(self) -> int | None:
        """The board's last XID code (0: none yet); None: not exported."""
        return max((r.xid for r in self.readings if r.xid is not None), default=None)


def holds_gpus(replica: Replica) -> bool:
    """A pod holds its GPUs from being bound to a node until it is finished or gone."""
    return bool(replica.pod.node_name) and replica.pod.phase not in _FINISHED


def list_boards(reading: ExporterReading) -> tuple[Board, ...]:
    """The page's GPUs, each once whatever repeats it (docs/cost-model.md §8)."""
    grouped: dict[str, list[GpuReading]] = {}
    for gpu in reading.gpus:
        grouped.setdefault(gpu.uuid, []).append(gpu)
    return tuple(Board(uuid, reading.at, tuple(found)) for uuid, found in grouped.items())


def attribute(
    fleet: Fleet, exporters: Mapping[str, ExporterReading | Failure]
) -> tuple[tuple[Board, tuple[Holding, ...]], ...]:
    """Every board that pods of the pool hold, with who holds how much of it."""
    by_node: dict[str, list[Replica]] = {}
    for replica in fleet.replicas:
        if holds_gpus(replica):
            by_node.setdefault(replica.pod.node_name, []).append(replica)
    found: list[tuple[Board, tuple[Holding, ...]]] = []
    for node, replicas in by_node.items():
        reading = exporters.get(node)
        if isinstance(reading, ExporterReading):
            found += _attribute_node(list_boards(reading), replicas)
    return tuple(found)


def count_held(replica: Replica, observed: float) -> float:
    """Limits count; DCGM's count replaces them only when larger, or when the pod asks for none."""
    return max(replica.gpus, observed)


def observed_by_pod(holdings: Iterable[Holding]) -> dict[str, float]:
    counts: dict[str, float] = {}
    for holding in holdings:
        counts[holding.pod_uid] = counts.get(holding.pod_uid, 0.0) + holding.gpus
    return counts


def _attribute_node(
    boards: tuple[Board, ...], replicas: list[Replica]
) -> list[tuple[Board, tuple[Holding, ...]]]:
    if not any(gpu.pod for board in boards for gpu in board.readings):
        return _attribute_unlabelled(boards, replicas)
    by_name = {(r.pod.namespace, r.pod.name): r for r in replicas}
    found = []
    for board in boards:
        holdings = _holdings_of(board, by_name)
        if holdings:
            found.append((board, holdings))
    return found


def _holdings_of(board: Board, by_name: Mapping[tuple[str, str], Replica]) -> tuple[Holding, ...]:
    """A whole board, MIG slices of it, or one of several pods' turns on it."""
    grouped: dict[tuple[str, str], list[GpuReading]] = {}
    for gpu in board.readings:
        if gpu.pod:
            grouped.setdefault((gpu.namespace, gpu.pod), []).append(gpu)
    sharing = len(grouped)
    found = []
    for name, readings in grouped.items():
        replica = by_name.get(name)
        if replica is None:
            continue
        slices = sum(
            _slice_of(gpu) for gpu in {gpu.instance: gpu for gpu in readings if gpu.instance}.values()
        )
        if slices:
            part = slices / replica.turns
            found.append(
                Holding(
                    board.uuid,
                    replica.pod.uid,
                    part,
                    part,
                    tuple(readings),
                    estimated=replica.turns > 1,
                )
            )
            continue
        turns = max(replica.turns, sharing)
        power = 1.0 / (sharing if sharing > 1 else turns)
        found.append(
            Holding(board.uuid, replica.pod.uid, 1.0 / turns, power, tuple(readings), estimated=turns > 1)
        )
    return tuple(found)


def _slice_of(gpu: GpuReading) -> float:
    share = mig_share(gpu.profile, gpu.product)
    return SMALLEST_SLICE if share is None else share


def _attribute_unlabelled(
    boards: tuple[Board, ...], replicas: list[Replica]
) -> list[tuple[Board, tuple[Holding, ...]]]:
    """A page without any pod label: the GPUs are the pool's only when its pods hold every GPU of the node."""
    if any(r.shared_with for r in replicas) or any(g.instance for b in boards for g in b.readings):
        return []
    counts = [round(r.gpus) for r in replicas]
    whole = all(abs(r.gpus - count) < 1e-9 for r, count in zip(replicas, counts, strict=True))
    if not boards or not whole or sum(counts) != len(boards):
        return []
    owners = [r for r, count in zip(replicas, counts, strict=True) for _ in range(count)]
    return [
        (board, (Holding(board.uuid, owner.pod.uid, 1.0, 1.0, board.readings),))
        for board, owner in zip(boards, owners, strict=True)
    ]
