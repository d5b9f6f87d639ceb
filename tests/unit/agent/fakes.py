"""A libnvidia-ml and a kubelet for the agent's tests: a C library and a gRPC server, real to the agent."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from tokenfactory.agent.kubelet import METHOD
from tokenfactory.agent.podresources import REQUEST, RESPONSE

ROOT = Path(__file__).parents[3]
SOURCE = Path(__file__).with_name("libnvidia_ml.c")
SONAME = "libnvidia-ml.so.1"
ZIG = "ziglang==0.15.2"
GIB = 2**30

Facts = dict[str, dict[str, object]]


def find_compiler(scratch: Path) -> list[str]:
    """`cc`, or Zig's C compiler from PyPI, which is fetched only then."""
    if found := shutil.which("cc"):
        return [found]
    target, uv = scratch / "zig", ROOT / ".uv" / "bin" / "uv"
    subprocess.run([str(uv), "pip", "install", "--quiet", f"--target={target}", ZIG], check=True)
    return [str(target / "ziglang" / "zig"), "cc"]


def build_library(folder: Path, compiler: list[str] | None = None) -> Path:
    """The fake as `libnvidia-ml.so.1` in `folder`."""
    library = folder / SONAME
    options = ["-std=c11", "-shared", "-fPIC", f"-Wl,-soname,{SONAME}", "-o", str(library)]
    subprocess.run([*(compiler or find_compiler(folder)), *options, str(SOURCE)], check=True, cwd=folder)
    return library


def load_library(library: Path) -> None:
    """From now on `dlopen("libnvidia-ml.so.1")` finds it in this process: glibc goes by the soname."""
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def write_facts(path: Path, facts: Mapping[str, Mapping[str, object]]) -> None:
    """What the library answers from now on; see libnvidia_ml.c."""
    lines = (f"{scope} {key} {value}\n" for scope, row in facts.items() for key, value in row.items())
    draft = path.with_suffix(".draft")
    draft.write_text("".join(lines), encoding="utf-8")
    draft.replace(path)


def board(index: int = 0, **changes: object) -> Facts:
    """A healthy H200. A change to None takes the answer away: the driver doesn't support it."""
    facts: dict[str, object] = {
        "uuid": f"GPU-{index:08x}",
        "name": "NVIDIA H200",
        "pci": f"00000000:{0x19 + index:02X}:00.0",
        "minor": index,
        "power": 500_000 + index,
        "energy": 7_000_000_000 + index,
        "gpu_util": 93,
        "mem_util": 41,
        "used": 100 * GIB,
        "free": 40 * GIB,
        "reserved": 1 * GIB,
        "sm": 1980,
        "mem": 3201,
        "reasons": "0x4",
        "mig": 0,
        "event_types": 8,
    } | changes
    return {str(index): {key: value for key, value in facts.items() if value is not None}}


def mig_board(index: int = 0, instances: int = 7) -> Facts:
    """A board split into 1g.18gb: the driver has no utilisation for it."""
    facts = board(index, mig=1, slots=7, gpu_util=None, mem_util=None)
    for place in range(instances):
        facts[f"{index}.{place}"] = {
            "uuid": f"MIG-{index}-{place}",
            "name": "NVIDIA H200 MIG 1g.18gb",
            "instance": place + 7,
            "used": 10 * GIB,
            "free": 6 * GIB,
            "reserved": 0,
        }
    return facts


def pod(name: str, *devices: str, claims: tuple[str, ...] = (), namespace: str = "inference") -> Any:
    """One pod of the kubelet's answer, with one container that holds these devices."""
    container: dict[str, Any] = {"name": "vllm"}
    if devices:
        container["devices"] = [{"resource_name": "nvidia.com/gpu", "device_ids": devices}]
    if claims:
        resources = [{"driver_name": "gpu.nvidia.com", "device_name": name} for name in claims]
        container["dynamic_resources"] = [{"claim_name": "gpus", "claim_resources": resources}]
    return {"name": name, "namespace": namespace, "containers": [container]}


@contextmanager
def kubelet(socket: Path, *pods: Any) -> Iterator[list[Any]]:
    """A PodResources server on a unix socket. The list that it answers can be changed while it runs."""
    answer = list(pods)

    def list_pods(_: Any, __: Any) -> Any:
        return RESPONSE(pod_resources=answer)

    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    service, _, method = METHOD.strip("/").partition("/")
    handler = grpc.unary_unary_rpc_method_handler(
        list_pods, request_deserializer=REQUEST.FromString, response_serializer=RESPONSE.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    try:
        yield answer
    finally:
        server.stop(grace=None).wait()


@contextmanager
def agent(
    library: Path, scenario: Path, socket: Path, *, address: str, port: int
) -> Iterator[subprocess.Popen[str]]:
    """`tokenfactory agent` as a process on `address`:`port`, with the fake driver on its library path."""
    environment = {
        "PATH": os.defpath,
        "LD_LIBRARY_PATH": str(library.parent),
        "FAKE_NVML": str(scenario),
        "TOKENFACTORY_AGENT_NODE_NAME": "node-1",
        "TOKENFACTORY_AGENT_POD_RESOURCES_SOCKET": str(socket),
    }
    flags = ["--port", str(port), "--bind-address", address, "--interval-seconds", "0.1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tokenfactory.cli.main", "agent", *flags],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
