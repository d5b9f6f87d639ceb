"""What the agent knows of its node at one moment. None: the driver does not tell it for this board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Holder(NamedTuple):
    """A container to which the kubelet gave a device."""

    namespace: str
    pod: str
    container: str


class Place(NamedTuple):
    """A board, or the GPU instance `instance` of a board that is split by MIG."""

    uuid: str
    instance: int | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """One device id that the kubelet lists for a container."""

    holder: Holder
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes."""

    used: int
    free: int
    reserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A MIG device. `uuids` are those of its compute instances: several can share one GPU instance."""

    number: int
    uuids: tuple[str, ...]
    profile: str
    memory: Memory | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One physical GPU. Power, energy, clocks and XID belong to the board, whatever shares it.

    `xid` is the last one since the agent started, 0 before the first. A board in MIG mode has no
    utilisation and no memory of its own: its instances have.
    """

    index: int
    uuid: str
    model: str = ""
    pci_bus_id: str = ""
    minor: int | None = None
    milliwatts: int | None = None
    millijoules: int | None = None
    gpu_percent: int | None = None
    memory_percent: int | None = None
    memory: Memory | None = None
    sm_megahertz: int | None = None
    memory_megahertz: int | None = None
    clock_event_reasons: int | None = None
    xid: int | None = None
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """All boards that answer. `lost` counts those that did not; `holders` is None when nobody knows them."""

    name: str
    driver: str
    boards: tuple[Board, ...]
    lost: int = 0
    holders: Mapping[Place, tuple[Holder, ...]] | None = None
