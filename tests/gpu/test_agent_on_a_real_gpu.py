"""`tokenfactory agent` on a real NVIDIA GPU, with nvidia-smi as the witness: `make test-gpu`.

Needs a machine with an idle NVIDIA GPU, its driver and PyTorch. The first GPU is put under load; nothing of
its settings is changed.
"""

from __future__ import annotations

import socket as sockets
import time
from collections.abc import Iterator

import pytest

from tests.gpu.station import NODE, agent, ask_smi, get, load, watch_power, write_out_of_bounds
from tests.unit.agent.fakes import kubelet, pod
from tokenfactory.model import ExporterReading, GpuReading
from tokenfactory.telemetry import dcgm

pytestmark = pytest.mark.gpu
LOAD_SECONDS = 40.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The agent's page; the kubelet's answer gives the GPU to a pod."""
    socket = tmp_path_factory.mktemp("k") / "kubelet.sock"
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    (uuid,) = ask_smi("uuid")
    with kubelet(socket, pod("vllm-0", uuid)), agent(socket, port=port) as found:
        yield found


def read(url: str) -> GpuReading:
    """The one GPU of the page, as the operator reads it."""
    reading = dcgm.parse(get(url), at=time.time(), node_name=NODE)
    assert isinstance(reading, ExporterReading), reading
    return next(gpu for gpu in reading.gpus if gpu.uuid == ask_smi("uuid")[0])


def test_a_board_is_told_as_nvidia_smi_tells_it(url: str) -> None:
    page, fields = get(url).decode(), ("uuid", "name", "driver_version", "pci.bus_id")
    uuid, name, driver, bus = ask_smi(*fields)
    line = next(line for line in page.splitlines() if line.startswith("DCGM_FI_DEV_POWER_USAGE{"))
    for label in (f'UUID="{uuid}"', f'modelName="{name}"', f'DCGM_FI_DRIVER_VERSION="{driver}"'):
        assert label in line
    assert f'pci_bus_id="{bus}"' in line
    assert f'hostname="{NODE}"' in line
    assert "tokenfactory_agent_boards_lost 0" in page


def test_the_pod_of_the_kubelet_holds_the_board(url: str) -> None:
    gpu = read(url)
    assert (gpu.namespace, gpu.pod, gpu.container) == ("inference", "vllm-0", "vllm")


def test_every_figure_of_a_healthy_board_is_there(url: str) -> None:
    gpu = read(url)
    for figure in ("watts", "energy_millijoules", "utilisation", "memory_used_mib", "memory_free_mib"):
        assert getattr(gpu, figure) is not None, figure
    for figure in ("memory_reserved_mib", "clock_event_reasons", "sm_megahertz"):
        assert getattr(gpu, figure) is not None, figure


def test_memory_is_what_nvidia_smi_counts(url: str) -> None:
    gpu = read(url)
    total, used, reserved = map(float, ask_smi("memory.total", "memory.used", "memory.reserved"))
    assert gpu.memory_used_mib == pytest.approx(used, abs=2)
    assert gpu.memory_reserved_mib == pytest.approx(reserved, abs=2)
    parts = (gpu.memory_used_mib, gpu.memory_free_mib, gpu.memory_reserved_mib)
    assert sum(part for part in parts if part is not None) == pytest.approx(total, abs=3)


def test_the_energy_counter_is_the_area_under_nvidia_smis_watts_while_the_board_works(url: str) -> None:
    with watch_power() as log, load(LOAD_SECONDS):
        time.sleep(3)
        first, began = read(url), time.time()
        time.sleep(LOAD_SECONDS - 10)
        busy = read(url)
        (clock,) = ask_smi("clocks.sm")
        last, ended = read(url), time.time()
    assert first.energy_millijoules is not None
    assert last.energy_millijoules is not None
    counted = (last.energy_millijoules - first.energy_millijoules) / 1000
    seen = log.joules(began, ended)
    print(
        f"\n{counted:.0f} J by the counter, {seen:.0f} J under the watts, {counted / (ended - began):.0f} W"
    )
    assert counted == pytest.approx(seen, rel=0.05)  # the driver refreshes each at its own pace
    assert busy.watts == pytest.approx(counted / (ended - began), rel=0.1)
    assert busy.utilisation == pytest.approx(1.0, abs=0.02)
    assert busy.sm_megahertz == pytest.approx(float(clock), rel=0.2)


def test_an_idle_board_says_so(url: str) -> None:
    """Once its watts, a mean over a second, have come to rest."""
    gpu = read(url)
    for _ in range(30):
        time.sleep(2)
        before, gpu = gpu, read(url)
        if gpu.utilisation == 0 and gpu.watts == pytest.approx(before.watts, rel=0.02):
            break
    assert gpu.utilisation == 0
    (watts,) = map(float, ask_smi("power.draw"))
    assert gpu.watts == pytest.approx(watts, rel=0.1)


def test_the_xid_of_a_process_that_wrote_out_of_bounds_is_told(url: str) -> None:
    assert read(url).xid == 0
    write_out_of_bounds()
    for _ in range(20):
        if read(url).xid:
            break
        time.sleep(0.5)
    assert read(url).xid == 31
    assert 'err_msg="GPU memory page fault"' in get(url).decode()
