from __future__ import annotations

import pytest

from tests.unit.discovery.kube import node, pod
from tokenfactory.discovery.gpus import gpus_held, turns_of
from tokenfactory.model import Node


@pytest.mark.parametrize(
    ("limits", "labels", "gpus"),
    [
        pytest.param({"nvidia.com/gpu": "8"}, {}, 8.0, id="whole GPUs"),
        pytest.param({"amd.com/gpu": "4"}, {"nvidia_replicas": "4"}, 4.0, id="AMD GPUs are never divided"),
        pytest.param({"nvidia.com/mig-1g.10gb": "2"}, {}, 2 / 7, id="two MIG slices of seven"),
        pytest.param({"nvidia.com/mig-3g.40gb": "1"}, {}, 3 / 7, id="three sevenths"),
        pytest.param({"nvidia.com/mig-1c.3g.40gb": "1"}, {}, 1 / 7, id="a compute slice of a MIG slice"),
        pytest.param({"nvidia.com/mig-1g.10gb.me": "1"}, {}, 1 / 7, id="a MIG slice with media engines"),
        pytest.param(
            {"nvidia.com/gpu": "2"}, {"nvidia_replicas": "4"}, 0.5, id="time-sliced under the plain name"
        ),
        pytest.param(
            {"nvidia.com/gpu.shared": "1"}, {"nvidia_replicas": "4"}, 0.25, id="time-sliced, renamed"
        ),
        pytest.param(
            {"nvidia.com/gpu": "1"},
            {"nvidia_product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"},
            1 / 7,
            id="MIG in the single strategy hides slices behind the plain name",
        ),
        pytest.param(
            {"nvidia.com/gpu": "1"},
            {"nvidia_product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb-SHARED", "nvidia_replicas": "2"},
            1 / 14,
            id="a shared slice",
        ),
        pytest.param(
            {"nvidia.com/mig-4g.24gb": "1"},
            {"nvidia_product": "NVIDIA-A30"},
            1.0,
            id="an A30 has four slices",
        ),
        pytest.param(
            {"nvidia.com/gpu": "1"},
            {"nvidia_replicas": "4", "nvidia_sharing-strategy": "mps"},
            0.25,
            id="a replica of MPS",
        ),
        pytest.param(
            {"nvidia.com/gpu": "2"},
            {"nvidia_replicas": "4", "nvidia_sharing-strategy": "none"},
            2.0,
            id="replicas of a sharing that is switched off",
        ),
        pytest.param({"nvidia.com/gpu": "2"}, {"nvidia_replicas": "0"}, 2.0, id="no replicas"),
        pytest.param(
            {"nvidia.com/gpu": "4"},
            {"nvidia_product": "NVIDIA-GB300", "nvidia_count": "4"},
            4.0,
            id="a whole tray of four GB300",
        ),
        pytest.param(
            {"nvidia.com/mig-1g.10gb.shared": "1"},
            {"nvidia.com/mig-1g.10gb.replicas": "2"},
            1 / 14,
            id="a renamed replica of a MIG slice",
        ),
        pytest.param({"cpu": "4", "example.com/gpu": "1"}, {}, 0.0, id="other resources are no GPUs"),
    ],
)
def test_limits_are_counted_in_physical_gpus(
    limits: dict[str, str], labels: dict[str, str], gpus: float
) -> None:
    held = gpus_held(pod(container={"resources": {"limits": limits}}), node(**labels))
    assert held == pytest.approx(gpus, abs=1e-12)


@pytest.mark.parametrize(
    ("limits", "labels", "turns"),
    [
        pytest.param({"nvidia.com/gpu": "1"}, {"nvidia_replicas": "4"}, 4, id="a time-sliced GPU"),
        pytest.param({"nvidia.com/gpu.shared": "1"}, {"nvidia_replicas": "4"}, 4, id="a renamed one"),
        pytest.param({"nvidia.com/gpu": "1"}, {}, 1, id="a whole GPU"),
        pytest.param(
            {"nvidia.com/mig-1g.10gb": "1"},
            {"nvidia_replicas": "4", "nvidia.com/mig-1g.10gb.replicas": "2"},
            2,
            id="a slice has replicas of its own",
        ),
        pytest.param({"nvidia.com/mig-1g.10gb": "1"}, {"nvidia_replicas": "4"}, 1, id="an unshared slice"),
        pytest.param({"amd.com/gpu": "1"}, {"nvidia_replicas": "4"}, 1, id="an AMD GPU"),
        pytest.param({}, {"nvidia_replicas": "4"}, 4, id="no limits on a node that shares"),
    ],
)
def test_how_many_pods_take_turns(limits: dict[str, str], labels: dict[str, str], turns: int) -> None:
    found = turns_of(pod(container={"resources": {"limits": limits}}), node(**labels))
    assert found == turns


def test_containers_and_sidecars_add_up() -> None:
    sidecar = {
        "name": "s",
        "image": "s:1",
        "restartPolicy": "Always",
        "resources": {"limits": {"nvidia.com/gpu": 1}},
    }
    assert gpus_held(pod(spec={"initContainers": [sidecar]}), node()) == 9.0


def test_an_unknown_node_leaves_the_limits_as_written() -> None:
    absent: Node | None = None
    assert gpus_held(pod(), absent) == 8.0
