"""What the tests on a real GPU stand on: the agent as a process, nvidia-smi as its witness, a load."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
NODE = "gpu-node"
LOAD = """
import time, torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
print("ready", flush=True)
end = time.time() + {seconds}
while time.time() < end:
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
"""


def ask_smi(*fields: str) -> list[str]:
    """nvidia-smi's own answer for the first GPU, without units."""
    command = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [part.strip() for part in done.stdout.strip().split(",")]


@contextmanager
def agent(socket: Path, *, port: int, interval: float = 0.5) -> Iterator[str]:
    """`tokenfactory agent` on the machine's own driver; the URL of its page."""
    flags = ["--bind-address", "127.0.0.1", "--port", str(port), "--interval-seconds", str(interval)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tokenfactory.cli.main", "agent", *flags],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "operator"), os.environ.get("PYTHONPATH", ""))),
            "TOKENFACTORY_AGENT_NODE_NAME": NODE,
            "TOKENFACTORY_AGENT_POD_RESOURCES_SOCKET": str(socket),
        },
    )
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            get(url)
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


@contextmanager
def load(seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Matrix products that keep the GPU busy; entered once they run. Needs PyTorch."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD.format(seconds=seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@dataclass(slots=True)
class PowerLog:
    """Watts as nvidia-smi saw them: (Unix seconds, watts), ten times a second."""

    rows: list[tuple[float, float]]

    def joules(self, start: float, end: float) -> float:
        """The area under the watts in [start, end], by trapezoids. The log must reach past both ends."""
        assert self.rows[0][0] <= start < end <= self.rows[-1][0]
        cut = [(start, self._at(start)), *(row for row in self.rows if start < row[0] < end)]
        cut.append((end, self._at(end)))
        return sum((t1 - t0) * (w0 + w1) / 2 for (t0, w0), (t1, w1) in pairwise(cut))

    def _at(self, moment: float) -> float:
        for (t0, w0), (t1, w1) in pairwise(self.rows):
            if t0 <= moment <= t1:
                return w0 + (w1 - w0) * (moment - t0) / (t1 - t0)
        raise AssertionError("outside the log")


@contextmanager
def watch_power() -> Iterator[PowerLog]:
    """The log fills when the block ends."""
    log = PowerLog([])
    command = ["nvidia-smi", "--id=0", "--query-gpu=power.draw.instant", "--loop-ms=100"]
    process = subprocess.Popen(
        [*command, "--format=csv,noheader,nounits"], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    rows = log.rows

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            rows.append((time.time(), float(line)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while len(rows) < 3:
            time.sleep(0.05)
        yield log
        time.sleep(0.5)
    finally:
        process.terminate()
        reader.join()


FAULT = '''
import ctypes
PTX = b""".version 7.0
.target sm_70
.address_size 64
.visible .entry wild() {
  .reg .b64 %a; .reg .b32 %v;
  mov.u64 %a, 16; mov.u32 %v, 1; st.global.u32 [%a], %v; ret;
}
"""
cuda = ctypes.CDLL("libcuda.so.1")
context, module, kernel = (ctypes.c_void_p() for _ in range(3))
assert cuda.cuInit(0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuModuleLoadData(ctypes.byref(module), PTX) == 0
assert cuda.cuModuleGetFunction(ctypes.byref(kernel), module, b"wild") == 0
assert cuda.cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, None, None, None) == 0
assert cuda.cuCtxSynchronize() == 700, "the write to address 16 was not noticed"
'''


def write_out_of_bounds() -> None:
    """A process of its own writes to an address that nobody gave it: the driver's XID 31 ends it."""
    subprocess.run([sys.executable, "-c", FAULT], check=True, timeout=60)
