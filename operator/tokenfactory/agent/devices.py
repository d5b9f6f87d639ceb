"""From the device ids of the kubelet to boards and MIG instances. Pure.

GPU-<uuid>, GPU-<uuid>::3            device plugin; ::N is a replica (time-slicing, MPS)
MIG-<uuid>, MIG-<uuid>::3            a MIG device
MIG-GPU-<uuid>/7/0                   a MIG device before driver R470: GPU instance 7
nvidia0, nvidia0/vgpu2               GKE, by the number in /dev/nvidia<N>
nvidia0/gi7, nvidia0/gi7/vgpu2       GKE with MIG
gpu-0                                dynamic resource allocation, by the same number
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokenfactory.agent.snapshot import Allocation, Board, Holder, Place

_OLD_MIG = re.compile(r"MIG-(GPU-[^/]+)/(\d{1,4})/\d{1,4}")
_NUMBERED = re.compile(r"(?:nvidia|gpu-)(\d{1,4})(?:/gi(\d{1,4}))?(?:/vgpu\d{1,4})?")


@dataclass(frozen=True, slots=True)
class Directory:
    """Where a device id leads on this node."""

    by_uuid: Mapping[str, Place]
    by_minor: Mapping[int, str]
    places: frozenset[Place]

    def locate(self, device: str) -> Place | None:
        """The place of a device id; None when it is no GPU of this node."""
        plain = device.partition("::")[0]
        if plain in self.by_uuid:
            return self.by_uuid[plain]
        if found := _OLD_MIG.fullmatch(plain):
            return self._known(Place(found[1], int(found[2])))
        if found := _NUMBERED.fullmatch(plain):
            uuid = self.by_minor.get(int(found[1]), "")
            return self._known(Place(uuid, None if found[2] is None else int(found[2])))
        return None

    def _known(self, place: Place) -> Place | None:
        return place if place in self.places else None


def index_boards(boards: Iterable[Board]) -> Directory:
    """The directory of a node's boards and their instances."""
    by_uuid: dict[str, Place] = {}
    by_minor: dict[int, str] = {}
    for board in boards:
        by_uuid[board.uuid] = Place(board.uuid)
        if board.minor is not None:
            by_minor[board.minor] = board.uuid
        for instance in board.instances:
            place = Place(board.uuid, instance.number)
            by_uuid.update(dict.fromkeys(instance.uuids, place))
    places = frozenset(by_uuid.values()) | {
        Place(board.uuid, instance.number) for board in boards for instance in board.instances
    }
    return Directory(by_uuid, by_minor, places)


def map_holders(
    boards: tuple[Board, ...], allocations: Iterable[Allocation]
) -> dict[Place, tuple[Holder, ...]]:
    """Who holds each place, sorted, each container once however many replicas of a device it has."""
    directory = index_boards(boards)
    found: dict[Place, set[Holder]] = {}
    for allocation in allocations:
        place = directory.locate(allocation.device)
        if place is not None:
            found.setdefault(place, set()).add(allocation.holder)
    return {place: tuple(sorted(holders)) for place, holders in found.items()}
