"""The agent as a process: started by its command, scraped over HTTP, ended by SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import socket as sockets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.agent.fakes import agent, board, kubelet, pod, write_facts
from tokenfactory.agent.service import Shelf, serve
from tokenfactory.model import ExporterReading
from tokenfactory.telemetry import dcgm


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def free_port() -> int:
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def running(library: Path, scenario: Path, socket: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The agent on a free port: its address and its process."""
    port = free_port()
    with agent(library, scenario, socket, address="127.0.0.1", port=port) as process:
        yield f"http://127.0.0.1:{port}", process


def wait_for(url: str, holds: str, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status, text = get(url)
        if status == 200 and holds in text:
            return text
        if process.poll() is not None:
            break
        time.sleep(0.05)
    pytest.fail(f"never there: {holds}")


def test_the_agent_serves_a_node_and_ends_when_asked(library: Path, tmp_path: Path, socket: Path) -> None:
    scenario = tmp_path / "nvml.txt"
    write_facts(scenario, board(0) | board(1))
    with (
        kubelet(socket, pod("llm-0", "GPU-00000000")),
        running(library, scenario, socket) as (url, process),
    ):
        page = wait_for(f"{url}/metrics", 'pod="llm-0"', process)
        reading = dcgm.parse(page.encode(), at=0.0, node_name="node-1")
        assert isinstance(reading, ExporterReading)
        assert [gpu.pod for gpu in reading.gpus] == ["llm-0", ""]
        assert 'hostname="node-1"' in page
        assert get(f"{url}/healthz") == (200, "ok")
        write_facts(scenario, board(0) | board(1, lost=1))
        assert "GPU-00000001" not in wait_for(f"{url}/metrics", "tokenfactory_agent_boards_lost 1", process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_driver_that_goes_away_ends_the_agent_with_3(library: Path, tmp_path: Path, socket: Path) -> None:
    scenario = tmp_path / "nvml.txt"
    write_facts(scenario, board(0))
    with running(library, scenario, socket) as (url, process):
        wait_for(f"{url}/metrics", "GPU-00000000", process)
        write_facts(scenario, {"driver": {"count": 9}})
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 3
        assert "tokenfactory agent: the NVIDIA driver can't be used" in errors


async def test_an_old_page_is_not_served() -> None:
    now = [0.0]
    shelf = Shelf(10.0, lambda: now[0])
    port = free_port()
    runner = await serve(shelf, "127.0.0.1", port)
    try:

        async def ask(path: str) -> tuple[int, str]:
            return await asyncio.to_thread(get, f"http://127.0.0.1:{port}{path}")

        assert await ask("/metrics") == (500, "no sample yet")
        shelf.put(b"x 1\n")
        assert await ask("/metrics") == (200, "x 1\n")
        now[0] = 10.5
        assert (await ask("/metrics"))[0] == 500
        assert (await ask("/healthz"))[0] == 503
    finally:
        await runner.cleanup()
