"""A tiny process that cleans up after a sandbox whose owner died, however it died.

The owner holds the write end of a pipe. When that closes, the guardian kills the process groups that it
was told of and removes the sandbox's folder. PR_SET_PDEATHSIG would not do: it fires when the *thread*
that started a child ends, and it leaves the files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


class Guardian:
    """Watches over child processes, each started in a session of its own, and over one folder."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(folder)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def adopt(self, pid: int) -> None:
        """Kill the process group `pid` should the owner die."""
        self._tell(f"+{pid}")

    def release(self, pid: int) -> None:
        """Forget a process group that has ended."""
        self._tell(f"-{pid}")

    def close(self) -> None:
        """Have everything still adopted killed and the folder removed; returns when that is done."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)


def _watch(lines: Iterable[str], folder: Path) -> None:
    adopted: set[int] = set()
    for line in lines:
        pid = int(line[1:])
        if line[0] == "+":
            adopted.add(pid)
        else:
            adopted.discard(pid)
    for pid in adopted:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break


if __name__ == "__main__":
    _watch(sys.stdin, Path(sys.argv[1]))
