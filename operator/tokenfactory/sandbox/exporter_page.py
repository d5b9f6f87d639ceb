"""A dcgm-exporter page (4.8.3's names and labels) whose energy counters advance at known watts."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

MODEL_NAMES = {"NVIDIA-H200": "NVIDIA H200", "NVIDIA-B200": "NVIDIA B200", "NVIDIA-GB300": "NVIDIA GB300"}
_SPACE = uuid.UUID("7b1f8a52-5f0e-4c55-9f5b-0d6f4f0f6a11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One GPU of a node: the pod that holds it (empty: free), its true watts and how busy it is."""

    node: str
    index: int
    product: str
    pod: str = ""
    namespace: str = ""
    container: str = ""
    watts: float = 100.0
    busy_percent: float = 0.0
    tensor_active: float = 0.0
    memory_used_mib: float = 0.0
    memory_mib: float = 143771.0

    @property
    def uuid(self) -> str:
        return f"GPU-{uuid.uuid5(_SPACE, f'{self.node}/{self.index}')}"

    def labels(self) -> str:
        holder = (
            f',container="{self.container}",namespace="{self.namespace}",pod="{self.pod}"' if self.pod else ""
        )
        model = MODEL_NAMES.get(self.product, self.product)
        return (
            f'gpu="{self.index}",UUID="{self.uuid}",pci_bus_id="00000000:{16 + self.index:02X}:00.0",'
            f'device="nvidia{self.index}",modelName="{model}",hostname="{self.node}",'
            f'DCGM_FI_DRIVER_VERSION="580.105.08"{holder}'
        )


def render_exporter_page(boards: tuple[Board, ...], *, elapsed: float) -> str:
    """The page `elapsed` seconds after the driver was loaded: energy is watts x elapsed, in millijoules."""
    families: tuple[tuple[str, str, Callable[[Board], float]], ...] = (
        ("DCGM_FI_DEV_POWER_USAGE", "gauge", lambda board: board.watts),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", lambda board: board.watts * elapsed * 1000),
        ("DCGM_FI_DEV_GPU_UTIL", "gauge", lambda board: board.busy_percent),
        ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", lambda board: board.tensor_active),
        ("DCGM_FI_DEV_FB_USED", "gauge", lambda board: board.memory_used_mib),
        ("DCGM_FI_DEV_FB_FREE", "gauge", lambda board: board.memory_mib - board.memory_used_mib),
        ("DCGM_FI_DEV_FB_RESERVED", "gauge", lambda _: 0.0),
    )
    lines: list[str] = []
    for name, kind, value in families:
        lines += [f"# HELP {name} {name}.", f"# TYPE {name} {kind}"]
        lines += [f"{name}{{{board.labels()}}} {value(board)!r}" for board in boards]
    return "\n".join(lines) + "\n"
