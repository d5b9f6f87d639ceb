"""From the kubelet's device ids to boards and instances, and what its answer is read as."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.agent.fakes import kubelet, pod
from tokenfactory.agent.devices import index_boards, map_holders
from tokenfactory.agent.kubelet import LARGEST_ANSWER, Kubelet, KubeletSilent
from tokenfactory.agent.snapshot import Allocation, Board, Holder, Instance, Place

BOARDS = (
    Board(index=0, uuid="GPU-a", minor=3),
    Board(
        index=1,
        uuid="GPU-b",
        minor=1,
        instances=(Instance(number=7, uuids=("MIG-x", "MIG-y"), profile="1g.18gb"),),
    ),
)
WHOLE, SLICE = Place("GPU-a"), Place("GPU-b", 7)
DEVICES = [
    ("a board by its uuid", "GPU-a", WHOLE),
    ("a replica of a board", "GPU-a::11", WHOLE),
    ("a MIG device", "MIG-x", SLICE),
    ("another compute instance of the same GPU instance", "MIG-y", SLICE),
    ("a replica of a MIG device", "MIG-x::0", SLICE),
    ("a MIG device before R470", "MIG-GPU-b/7/0", SLICE),
    ("a board by its number, not its index", "nvidia3", WHOLE),
    ("a replica on GKE", "nvidia3/vgpu2", WHOLE),
    ("an instance on GKE", "nvidia1/gi7", SLICE),
    ("a replica of an instance on GKE", "nvidia1/gi7/vgpu0", SLICE),
    ("a board by dynamic allocation", "gpu-3", WHOLE),
    ("a board of another node", "GPU-z", None),
    ("an instance that is not there", "nvidia1/gi9", None),
    ("a number that is not there", "nvidia0", None),
    ("a network card", "mlx5_0", None),
    ("nothing", "", None),
    ("a path", "/dev/nvidia3", None),
]


@pytest.mark.parametrize(("device", "place"), [row[1:] for row in DEVICES], ids=[row[0] for row in DEVICES])
def test_where_a_device_id_leads(device: str, place: Place | None) -> None:
    assert index_boards(BOARDS).locate(device) == place


def test_a_container_with_two_replicas_of_a_board_holds_it_once() -> None:
    me, other = Holder("ns", "b", "c"), Holder("ns", "a", "c")
    allocations = [Allocation(me, "GPU-a::0"), Allocation(me, "GPU-a::1"), Allocation(other, "GPU-a::2")]
    assert map_holders(BOARDS, allocations) == {WHOLE: (other, me)}


def allocations(socket: Path, **settings: tuple[str, ...]) -> tuple[Allocation, ...]:
    return Kubelet(str(socket), **settings).allocations()


def test_the_kubelets_answer_is_read_by_device_and_by_claim(socket: Path) -> None:
    with kubelet(socket, pod("p", "GPU-a", "GPU-b"), pod("q", claims=("gpu-3",)), pod("none")):
        found = allocations(socket)
    p, q = Holder("inference", "p", "vllm"), Holder("inference", "q", "vllm")
    assert found == (Allocation(p, "GPU-a"), Allocation(p, "GPU-b"), Allocation(q, "gpu-3"))


def test_claims_of_a_monitor_hold_nothing_but_its_devices_do(socket: Path) -> None:
    monitor = pod("dcgm", claims=("gpu-3",), namespace="gpu-operator")
    worker = pod("validator", "GPU-a", namespace="gpu-operator")
    with kubelet(socket, monitor, worker):
        found = allocations(socket, ignored_claim_namespaces=("gpu-operator",))
    assert found == (Allocation(Holder("gpu-operator", "validator", "vllm"), "GPU-a"),)


def test_a_claim_of_another_driver_is_no_gpu(socket: Path) -> None:
    answer = pod("q", claims=("gpu-3",))
    answer["containers"][0]["dynamic_resources"][0]["claim_resources"][0]["driver_name"] = "nic.example"
    with kubelet(socket, answer):
        assert allocations(socket) == ()


def test_an_answer_without_bounds_is_refused(socket: Path) -> None:
    with (
        kubelet(socket, pod("p", "x" * (LARGEST_ANSWER + 1))),
        pytest.raises(KubeletSilent, match="RESOURCE_EXHAUSTED"),
    ):
        allocations(socket)


def test_no_kubelet_is_told_without_its_words(socket: Path) -> None:
    with pytest.raises(KubeletSilent, match="UNAVAILABLE"):
        allocations(socket)


def test_a_kubelet_that_was_restarted_is_found_at_once(socket: Path) -> None:
    client = Kubelet(str(socket))
    with kubelet(socket, pod("p", "GPU-a")):
        assert len(client.allocations()) == 1
    with pytest.raises(KubeletSilent):
        client.allocations()
    with kubelet(socket, pod("p", "GPU-a"), pod("q", "GPU-b")):
        assert len(client.allocations()) == 2
