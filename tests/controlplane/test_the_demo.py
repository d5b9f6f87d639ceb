"""`tokenfactory demo` as people start it: it ends with the verdict, or at Ctrl-C with nothing left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tokenfactory.sandbox.assets import Assets

pytestmark = pytest.mark.controlplane


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo with a temporary folder of its own, so that what it leaves can be seen."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tokenfactory.cli.main", "demo", *arguments],
        env={**os.environ, "TMPDIR": str(folder), "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def processes_in(folder: Path) -> list[str]:
    """Command lines of running processes that mention the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def test_the_demo_ends_by_itself_and_agrees_with_the_truth(assets: Assets) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="tf-demo-") as name,
        demo(Path(name), "--duration", "60") as process,
    ):
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0, out[-6000:]
        assert "WRONG" not in out
        for pool in ("llama-h200", "qwen-b200", "deepseek-gb300"):
            assert len(re.findall(rf"{pool} \$/Mtok +ok", out)) == 2, "two readings of /metrics"
            assert len(re.findall(rf"{pool} status \$/Mtok +ok", out)) == 1
        assert re.search(r"mixtral-idle status \$/MTOK is blank +ok", out)
        assert re.search(r"the wrong pool is Stalled=True +ok", out)
        assert "export KUBECONFIG=" in out
        assert os.listdir(name) == []
        assert processes_in(Path(name)) == []


def test_ctrl_c_leaves_no_process_and_no_file(assets: Assets) -> None:
    with tempfile.TemporaryDirectory(prefix="tf-demo-") as name, demo(Path(name)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "wrong-poolref" in line:
                break
        assert processes_in(Path(name)), "etcd and kube-apiserver run in that folder"
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert os.listdir(name) == []
        assert processes_in(Path(name)) == []
