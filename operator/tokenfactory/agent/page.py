"""The agent's /metrics page: dcgm-exporter's names, labels and units (4.8.3). Pure.

What belongs to a board stands once per board, and what belongs to a MIG instance once per instance. A
series has pod labels where exactly one container holds the device; who shares it is told by `GPU_POD_INFO`.
So sums over a node are right as they are. What the driver does not tell is left out, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from tokenfactory.agent.snapshot import Board, Holder, Instance, Memory, Node, Place
from tokenfactory.agent.xids import describe_xid

GPU_POD_INFO = "tokenfactory_agent_gpu_pod_info"
MEBIBYTE = 2**20
_TEXT_LENGTH = 253

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its type and help, in dcgm-exporter's words where it is one of theirs."""

    name: str
    kind: str
    help: str


SM_CLOCK = Family("DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz).")
MEM_CLOCK = Family("DCGM_FI_DEV_MEM_CLOCK", "gauge", "Memory clock frequency (in MHz).")
POWER = Family("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W).")
ENERGY = Family(
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", "Total energy consumption since boot (in mJ)."
)
GPU_UTIL = Family("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %).")
MEM_UTIL = Family("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Memory utilization (in %).")
XID = Family("DCGM_FI_DEV_XID_ERRORS", "gauge", "Value of the last XID error encountered.")
REASONS = Family("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "gauge", "Current clock event reasons (bitmask).")
FB_FREE = Family("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB).")
FB_USED = Family("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB).")
FB_RESERVED = Family("DCGM_FI_DEV_FB_RESERVED", "gauge", "Framebuffer memory reserved (in MiB).")
INFO = Family(GPU_POD_INFO, "gauge", "A container that holds the GPU or MIG instance; always 1.")
BOARDS = Family("tokenfactory_agent_boards", "gauge", "GPUs of the node that answer.")
LOST = Family("tokenfactory_agent_boards_lost", "gauge", "GPUs of the node that do not answer.")
MAPPED = Family(
    "tokenfactory_agent_pod_mapping_up", "gauge", "1 when the kubelet tells which pods hold the GPUs."
)


@dataclass(frozen=True, slots=True)
class Sample:
    family: Family
    labels: Labels
    value: str


def render(node: Node) -> bytes:
    """The page: one block per family, in the order of the families' names."""
    samples = sorted(_samples(node), key=lambda sample: sample.family.name)
    lines: list[str] = []
    for family, group in groupby(samples, key=attrgetter("family")):
        lines += (f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}")
        lines += (f"{family.name}{_braces(sample.labels)} {sample.value}" for sample in group)
    return ("\n".join(lines) + "\n").encode()


def _samples(node: Node) -> Iterator[Sample]:
    for board in node.boards:
        labels = _board_labels(board, node)
        yield from _board_samples(board, (*labels, *_sole(node, Place(board.uuid))))
        yield from _holder_samples(node, Place(board.uuid), labels)
        for instance in board.instances:
            place = Place(board.uuid, instance.number)
            own = _instance_labels(labels, instance)
            yield from _memory_samples(instance.memory, (*own, *_sole(node, place)))
            yield from _holder_samples(node, place, own)
    yield Sample(BOARDS, (), str(len(node.boards)))
    yield Sample(LOST, (), str(node.lost))
    yield Sample(MAPPED, (), str(int(node.holders is not None)))


def _board_labels(board: Board, node: Node) -> Labels:
    return (
        ("gpu", str(board.index)),
        ("UUID", board.uuid),
        ("pci_bus_id", board.pci_bus_id),
        ("device", "" if board.minor is None else f"nvidia{board.minor}"),
        ("modelName", board.model),
        ("hostname", node.name),
        ("DCGM_FI_DRIVER_VERSION", node.driver),
    )


def _instance_labels(board: Labels, instance: Instance) -> Labels:
    """Where dcgm-exporter has them: before the host's name."""
    return (*board[:5], ("GPU_I_PROFILE", instance.profile), ("GPU_I_ID", str(instance.number)), *board[5:])


def _board_samples(board: Board, labels: Labels) -> Iterator[Sample]:
    figures = (
        (SM_CLOCK, board.sm_megahertz),
        (MEM_CLOCK, board.memory_megahertz),
        (ENERGY, board.millijoules),
        (GPU_UTIL, board.gpu_percent),
        (MEM_UTIL, board.memory_percent),
        (REASONS, board.clock_event_reasons),
    )
    yield from (Sample(family, labels, str(value)) for family, value in figures if value is not None)
    if board.milliwatts is not None:
        yield Sample(POWER, labels, f"{board.milliwatts / 1000:.3f}")
    if board.xid is not None:
        told = (("err_code", str(board.xid)), ("err_msg", describe_xid(board.xid)))
        yield Sample(XID, (*labels, *told), str(board.xid))
    yield from _memory_samples(board.memory, labels)


def _memory_samples(memory: Memory | None, labels: Labels) -> Iterator[Sample]:
    if memory is not None:
        yield Sample(FB_FREE, labels, str(memory.free // MEBIBYTE))
        yield Sample(FB_USED, labels, str(memory.used // MEBIBYTE))
        yield Sample(FB_RESERVED, labels, str(memory.reserved // MEBIBYTE))


def _holder_samples(node: Node, place: Place, labels: Labels) -> Iterator[Sample]:
    for holder in (node.holders or {}).get(place, ()):
        yield Sample(INFO, (*labels, *_pod_labels(holder)), "1")


def _sole(node: Node, place: Place) -> Labels:
    """Pod labels of the container that has the place to itself."""
    holders = (node.holders or {}).get(place, ())
    return _pod_labels(holders[0]) if len(holders) == 1 else ()


def _pod_labels(holder: Holder) -> Labels:
    return (("container", holder.container), ("namespace", holder.namespace), ("pod", holder.pod))


def _braces(labels: Iterable[tuple[str, str]]) -> str:
    inside = ",".join(f'{name}="{_escape(value)}"' for name, value in labels if value)
    return f"{{{inside}}}" if inside else ""


def _escape(text: str) -> str:
    """A label value: printable, at most 253 characters, with quotes and backslashes escaped."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text[:_TEXT_LENGTH])
    return clean.replace("\\", r"\\").replace('"', r"\"")
