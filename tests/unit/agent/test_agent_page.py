"""The agent's page, and both ends together: driver and kubelet in, the operator's reading and watts out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.agent.fakes import board, kubelet, mig_board, pod
from tests.unit.costing.synthetic import T0, SimPod, replica
from tokenfactory.agent.kubelet import Kubelet
from tokenfactory.agent.nvml import Nvml
from tokenfactory.agent.page import render
from tokenfactory.agent.sampler import Sampler
from tokenfactory.agent.snapshot import Board, Holder, Node, Place
from tokenfactory.costing.boards import drive
from tokenfactory.costing.gpus import Board as CountedBoard
from tokenfactory.costing.gpus import attribute, list_boards
from tokenfactory.costing.ledger import Odometer, Presence
from tokenfactory.model import ExporterReading, Fleet, Replica
from tokenfactory.telemetry import dcgm

Say = Callable[..., None]
CAPTURES = Path(__file__).parents[2] / "golden" / "captures" / "engines" / "dcgm"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def take(nvml: Nvml, socket: Path, *pods: object) -> bytes:
    """The page of a node whose kubelet tells these pods."""
    with kubelet(socket, *pods):
        return Sampler(nvml, Kubelet(str(socket)), node_name="node-1", clock=Clock()).sample()


def read(page: bytes) -> ExporterReading:
    reading = dcgm.parse(page, at=1.0, node_name="node-1")
    assert isinstance(reading, ExporterReading), reading
    return reading


def boards(page: bytes) -> tuple[CountedBoard, ...]:
    return list_boards(read(page))


def total(page: bytes, name: str) -> float:
    """What `sum(name)` gives to whoever reads the page without knowing anything."""
    names = (name, f"{name}_total")  # prometheus_client gives every counter its suffix
    families = text_string_to_metric_families(page.decode())
    return sum(sample.value for family in families for sample in family.samples if sample.name in names)


def test_a_board_of_one_pod_is_read_as_dcgm_exporters_would_be(say: Say, nvml: Nvml, socket: Path) -> None:
    say(board())
    (gpu,) = read(take(nvml, socket, pod("llm-0", "GPU-00000000"))).gpus
    assert (gpu.namespace, gpu.pod, gpu.container, gpu.product) == (
        "inference",
        "llm-0",
        "vllm",
        "NVIDIA H200",
    )
    assert (gpu.watts, gpu.energy_millijoules, gpu.utilisation) == (500.0, 7e9, 0.93)
    assert (gpu.memory_used_mib, gpu.memory_free_mib, gpu.memory_reserved_mib) == (102400, 40960, 1024)
    assert (gpu.clock_event_reasons, gpu.xid) == (4, 0)


def label_names(page: str, family: str) -> set[str]:
    line = next(line for line in page.splitlines() if line.startswith(family + "{"))
    return set(re.findall(r'([A-Za-z_]+)="', line))


@pytest.mark.parametrize(
    "family",
    [
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_MEM_COPY_UTIL",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_FB_FREE",
        "DCGM_FI_DEV_FB_RESERVED",
        "DCGM_FI_DEV_SM_CLOCK",
        "DCGM_FI_DEV_MEM_CLOCK",
        "DCGM_FI_DEV_XID_ERRORS",
    ],
)
def test_names_types_and_labels_are_those_of_dcgm_exporter_4_8_3(
    say: Say, nvml: Nvml, socket: Path, family: str
) -> None:
    say(board())
    ours = take(nvml, socket, pod("llm-0", "GPU-00000000")).decode()
    theirs = (CAPTURES / "4xgb300-4.8.3" / "t0.prom").read_text()
    assert label_names(ours, family) == label_names(theirs, family)
    kind = re.search(f"# TYPE {family} .*", theirs)
    assert kind is not None
    assert kind[0] in ours


def test_an_idle_board_has_no_pod(say: Say, nvml: Nvml, socket: Path) -> None:
    say(board(0), board(1))
    gpus = read(take(nvml, socket, pod("llm-0", "GPU-00000001"))).gpus
    assert [gpu.pod for gpu in gpus] == ["", "llm-0"]


def test_a_shared_board_is_there_once_and_each_pod_is_told(say: Say, nvml: Nvml, socket: Path) -> None:
    say(board())
    page = take(nvml, socket, *(pod(f"small-{n}", f"GPU-00000000::{n}") for n in range(3)))
    assert total(page, "DCGM_FI_DEV_POWER_USAGE") == 500.0
    assert total(page, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == 7e9
    assert total(page, "DCGM_FI_DEV_FB_USED") == 102400
    (counted,) = boards(page)
    assert counted.millijoules == 7e9
    assert [(gpu.pod, gpu.watts, gpu.utilisation) for gpu in counted.readings] == [
        (f"small-{n}", 500.0, 0.93) for n in range(3)
    ]


def test_a_split_board_has_its_power_once_and_its_memory_by_instance(
    say: Say, nvml: Nvml, socket: Path
) -> None:
    say(mig_board(0), board(1))
    pods = [pod(f"embed-{n}", f"MIG-0-{n}") for n in range(5)]
    page = take(nvml, socket, *pods, pod("llm-0", "GPU-00000001"))
    assert total(page, "DCGM_FI_DEV_POWER_USAGE") == pytest.approx(1000.001)
    assert total(page, "DCGM_FI_DEV_FB_USED") == 7 * 10240 + 102400
    split, whole = boards(page)
    assert (split.millijoules, whole.millijoules) == (7e9, 7e9 + 1)
    instances = {gpu.instance: gpu for gpu in split.readings if gpu.instance}
    assert [instances[str(n)].pod for n in range(7, 14)] == [f"embed-{n}" for n in range(5)] + ["", ""]
    assert {gpu.profile for gpu in instances.values()} == {"1g.18gb"}
    assert {(gpu.watts, gpu.clock_event_reasons, gpu.memory_used_mib) for gpu in instances.values()} == {
        (500.0, 4, 10240.0)
    }
    assert all(gpu.utilisation is None for gpu in split.readings)


def joules_of(pages: tuple[bytes, bytes], *pods: Replica) -> float:
    """What the operator's costing makes of two pages a minute apart: the joules of these pods."""
    meters: dict[str, Odometer] = {}
    presence = {replica.pod.uid: Presence(T0, T0 + 60, 1.0) for replica in pods}
    found = 0.0
    for page, at in zip(pages, (T0, T0 + 60), strict=True):
        reading = dataclasses.replace(read(page), at=at)
        held = attribute(Fleet(replicas=pods), {"node-1": reading})
        driven = drive(meters, held, presence=presence, now=at, keep=900.0)
        meters = dict(driven.odometers)
        found += sum(span.joules for span in driven.spans)
    return found


def on_node(name: str, gpus: float, *, sharing: int = 1) -> Replica:
    found = replica(SimPod(name=name, gpus=gpus), T0)
    assert found.node is not None
    node = dataclasses.replace(found.node, name="node-1", sharing=sharing)
    return dataclasses.replace(found, node=node, pod=dataclasses.replace(found.pod, node_name="node-1"))


def test_the_energy_of_a_shared_board_is_spent_once(say: Say, nvml: Nvml, socket: Path) -> None:
    names = ("x", "y", "z")
    held = [pod(name, f"GPU-00000000::{n}", namespace="serving") for n, name in enumerate(names)]
    say(board(energy=7_000_000_000))
    first = take(nvml, socket, *held)
    say(board(energy=7_000_000_000 + 30_000_000))
    pages = first, take(nvml, socket, *held)
    pods = [on_node(name, 1 / 3, sharing=3) for name in names]
    assert joules_of(pages, *pods) == pytest.approx(30_000)
    assert joules_of(pages, pods[0]) == pytest.approx(10_000)


def test_the_energy_of_a_split_board_is_spent_once_by_slices(say: Say, nvml: Nvml, socket: Path) -> None:
    held = [pod(f"p{n}", f"MIG-0-{n}", namespace="serving") for n in range(7)]
    facts = mig_board(0)
    say(facts)
    first = take(nvml, socket, *held)
    facts["0"]["energy"] = 7_000_000_000 + 42_000_000
    say(facts)
    pages = first, take(nvml, socket, *held)
    pods = [on_node(f"p{n}", 1 / 7) for n in range(7)]
    assert joules_of(pages, *pods) == pytest.approx(42_000)
    assert joules_of(pages, *pods[:5]) == pytest.approx(30_000)


def test_a_shared_instance_is_there_once_and_each_pod_is_told(say: Say, nvml: Nvml, socket: Path) -> None:
    say(mig_board(0, instances=1))
    page = take(nvml, socket, pod("a", "MIG-0-0::0"), pod("b", "MIG-0-0::1"))
    assert total(page, "DCGM_FI_DEV_FB_USED") == 10240
    held = [(gpu.instance, gpu.pod, gpu.memory_used_mib) for gpu in read(page).gpus if gpu.pod]
    assert held == [("7", "a", 10240.0), ("7", "b", 10240.0)]


def test_a_lost_board_drops_its_series_and_is_counted(say: Say, nvml: Nvml, socket: Path) -> None:
    say(board(0), board(1))
    take(nvml, socket)
    say(board(0), board(1, lost=1))
    page = take(nvml, socket)
    assert [gpu.uuid for gpu in read(page).gpus] == ["GPU-00000000"]
    assert b"GPU-00000001" not in page
    assert (total(page, "tokenfactory_agent_boards"), total(page, "tokenfactory_agent_boards_lost")) == (1, 1)


def test_an_energy_counter_that_is_not_supported_is_absent(say: Say, nvml: Nvml, socket: Path) -> None:
    say(board(energy=None))
    page = take(nvml, socket)
    assert b"TOTAL_ENERGY" not in page
    assert boards(page)[0].millijoules is None


def test_an_xid_carries_its_words(say: Say, nvml: Nvml, socket: Path) -> None:
    say(board())
    take(nvml, socket)
    say(board(), {"event0": {"board": 0, "xid": 79}})
    page = take(nvml, socket)
    assert b'err_code="79",err_msg="GPU has fallen off the bus"} 79\n' in page
    assert read(page).gpus[0].xid == 79


def test_the_last_answer_of_a_silent_kubelet_stands_for_a_minute(say: Say, nvml: Nvml, socket: Path) -> None:
    say(board())
    clock = Clock()
    sampler = Sampler(nvml, Kubelet(str(socket)), node_name="n", clock=clock)
    assert total(sampler.sample(), "tokenfactory_agent_pod_mapping_up") == 0
    with kubelet(socket, pod("llm-0", "GPU-00000000")):
        assert read(sampler.sample()).gpus[0].pod == "llm-0"
    clock.now += 59
    assert read(sampler.sample()).gpus[0].pod == "llm-0"
    clock.now += 2
    page = sampler.sample()
    assert read(page).gpus[0].pod == ""
    assert total(page, "tokenfactory_agent_pod_mapping_up") == 0


def test_names_that_could_break_the_page_are_escaped_and_cut() -> None:
    sly = Board(index=0, uuid="GPU-a", model='A"} 1\n\\' + "x" * 400, milliwatts=1000)
    holders = {Place("GPU-a"): (Holder('n"s', "p\n", "c\\"),)}
    page = render(Node(name="n", driver="1", boards=(sly,), holders=holders))
    (gpu,) = read(page).gpus
    assert (gpu.namespace, gpu.pod, gpu.container) == ('n"s', "p?", "c\\")
    assert gpu.product.startswith('A"} 1?\\x')
    assert len(gpu.product) == 253


def test_the_operator_reads_the_name_that_the_agent_writes() -> None:
    from tokenfactory.agent.page import GPU_POD_INFO

    assert GPU_POD_INFO == dcgm.HOLDER_INFO
