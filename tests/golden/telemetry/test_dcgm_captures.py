"""Pages in the layout of dcgm-exporter 3.3.9, 4.8.2 and 4.8.3, two a case, 60 s apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenfactory.model import ExporterReading, GpuReading
from tokenfactory.telemetry import dcgm

CAPTURES = Path(__file__).parents[1] / "captures" / "engines" / "dcgm"

# Watts by holder from the energy counters; a GPU that several pods share is listed under "shared".
WATTS: dict[str, dict[str, float]] = {
    "8xh200-4.8.2": {
        "llama-70b-decode-0": 2103.5,
        "glm-air-0": 898.7,
        "qwen3-32b-7c9d6f9b5-x2lqp": 612.4,
        "qwen3-32b-7c9d6f9b5-m8w4t": 388.9,
    },
    "4xgb300-4.8.3": {"deepseek-r1-decode-0": 4054.6},
    "idle-gpu-4.8.2": {"qwen3-32b-7c9d6f9b5-x2lqp": 571.3, "": 78.6},
    "idle-gpu-empty-labels-3.3.9": {"qwen3-32b-7c9d6f9b5-x2lqp": 498.2, "": 72.0},
    "mig-7x1g-4.8.3": {"shared": 402.7, "qwen3-8b-0": 533.3},
    "time-slicing-virtual-gpus-4.8.2": {"shared": 544.4, "solo-llm-0": 566.0},
    "missing-power-one-gpu-4.8.2": {"llama-70b-0": 512.0},
}
GPUS = {
    "8xh200-4.8.2": 8,
    "4xgb300-4.8.3": 4,
    "idle-gpu-4.8.2": 2,
    "idle-gpu-empty-labels-3.3.9": 2,
    "mig-7x1g-4.8.3": 2,
    "time-slicing-virtual-gpus-4.8.2": 2,
    "missing-power-one-gpu-4.8.2": 2,
}


def read(case: str, moment: str = "t0") -> tuple[GpuReading, ...]:
    page = (CAPTURES / case / f"{moment}.prom").read_bytes()
    reading = dcgm.parse(page, at=60.0 if moment == "t60" else 0.0, node_name="node-1")
    assert isinstance(reading, ExporterReading), reading
    return reading.gpus


def holders(gpus: tuple[GpuReading, ...]) -> dict[str, str]:
    pods: dict[str, set[str]] = {}
    for gpu in gpus:
        pods.setdefault(gpu.uuid, set()).add(gpu.pod)
    return {uuid: next(iter(found)) if len(found) == 1 else "shared" for uuid, found in pods.items()}


def energy(gpus: tuple[GpuReading, ...]) -> dict[str, float]:
    known: dict[str, float] = {}
    for gpu in gpus:
        if gpu.energy_millijoules is not None:
            known[gpu.uuid] = max(gpu.energy_millijoules, known.get(gpu.uuid, 0.0))
    return known


@pytest.mark.parametrize("case", sorted(WATTS))
def test_energy_over_a_minute_gives_the_stated_watts_of_every_holder(case: str) -> None:
    start, end = energy(read(case)), energy(read(case, "t60"))
    watts: dict[str, float] = {}
    for uuid, holder in holders(read(case, "t60")).items():
        if uuid in end:
            watts[holder] = watts.get(holder, 0.0) + (end[uuid] - start[uuid]) / 1000.0 / 60.0
    assert watts == pytest.approx(WATTS[case], abs=0.05)


@pytest.mark.parametrize("case", sorted(GPUS))
def test_every_gpu_is_there_once_per_instance_and_pod(case: str) -> None:
    gpus = read(case)
    assert len({gpu.uuid for gpu in gpus}) == GPUS[case]
    assert len({(gpu.uuid, gpu.instance, gpu.namespace, gpu.pod) for gpu in gpus}) == len(gpus)
    assert list(gpus) == sorted(gpus, key=lambda gpu: (gpu.uuid, gpu.instance, gpu.namespace, gpu.pod))


def test_seven_slices_repeat_the_board_and_two_of_them_are_free() -> None:
    slices = [gpu for gpu in read("mig-7x1g-4.8.3") if gpu.instance]
    assert len(slices) == 7
    assert {gpu.profile for gpu in slices} == {"1g.18gb"}
    assert len({gpu.watts for gpu in slices}) == 1
    assert sorted(gpu.pod for gpu in slices) == ["", "", *(f"embedder-{i}" for i in range(5))]
    assert all(gpu.utilisation is not None and gpu.utilisation <= 1.0 for gpu in slices)


def test_pods_that_share_a_gpu_carry_its_own_use_not_their_part_of_it() -> None:
    shared = [gpu for gpu in read("time-slicing-virtual-gpus-4.8.2") if gpu.pod.startswith("small-llm-")]
    assert sorted(gpu.pod for gpu in shared) == ["small-llm-a", "small-llm-b", "small-llm-c"]
    assert {gpu.utilisation for gpu in shared} == {0.98}
    assert {gpu.memory_used_mib for gpu in shared} == {130831.0}
    assert {gpu.watts for gpu in shared} == {535.285}


def test_a_gpu_without_power_is_missing_not_zero() -> None:
    dark = [gpu for gpu in read("missing-power-one-gpu-4.8.2") if gpu.watts is None]
    assert [(gpu.pod, gpu.energy_millijoules) for gpu in dark] == [("llama-70b-0", None)]
    assert dark[0].utilisation == pytest.approx(0.92)


def test_an_error_that_appears_on_one_gpu_is_that_gpus() -> None:
    assert {gpu.xid for gpu in read("8xh200-4.8.2")} == {None}
    assert sorted(gpu.xid or 0 for gpu in read("8xh200-4.8.2", "t60")) == [0, 0, 0, 0, 0, 0, 0, 31]


def test_what_the_default_list_does_not_export_is_missing() -> None:
    for gpu in read("idle-gpu-empty-labels-3.3.9"):
        assert (gpu.tensor_active, gpu.clock_event_reasons) == (None, None)
        assert gpu.product == "NVIDIA H100 80GB HBM3"
