"""Real vLLM servers on loopback addresses, and the pages that the operator read from each of their lives."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PORT = 8000
READY_SECONDS = 900.0
SPECULATION = (
    '--speculative-config={"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":4}',
    "--per-request-spec-decode-metrics=summary",
)
ARGUMENTS = (
    "--served-model-name=tiny",
    "--dtype=bfloat16",
    "--max-model-len=1024",
    "--enforce-eager",
    "--max-num-seqs=8",
    "--kv-cache-memory-bytes=67108864",
)
_SAMPLE = re.compile(r"^(vllm:\w+)\{[^}]*\} (\S+)$", re.MULTILINE)
COUNTERS = (
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:spec_decode_num_drafts_total",
    "vllm:spec_decode_num_accepted_tokens_total",
)


@dataclass(frozen=True, slots=True)
class Page:
    """What the operator was given at `at` (Unix seconds): our four counters."""

    at: float
    counters: Mapping[str, float]

    @property
    def tokens(self) -> int:
        return int(self.counters[COUNTERS[0]] + self.counters[COUNTERS[1]])


def read_page(path: Path) -> Page:
    found = dict.fromkeys(COUNTERS, 0.0)
    for name, value in _SAMPLE.findall(path.read_text(encoding="utf-8")):
        if name in found:
            found[name] += float(value)
    return Page(int(path.stem) / 1e9, found)


class EngineFailed(Exception):
    """A server did not become ready; the message holds the end of its log."""


class Life:
    """One process of one server, from its start to its end. `name` is `<pod>#<life>`."""

    def __init__(self, engine: Path, work: Path, *, name: str, ip: str, flags: tuple[str, ...]) -> None:
        self.name, self.ip = name, ip
        self._folder = work / name.replace("#", "-")
        (self._folder / "scrapes").mkdir(parents=True)
        self._log = self._folder / "vllm.log"
        python = engine / "venv" / "bin" / "python"
        command = [str(python), str(python.with_name("vllm")), "serve", str(engine / "tiny"), *ARGUMENTS]
        where = [f"--host={ip}", f"--port={PORT}", "--middleware=scrape_recorder.Recorder"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *where, *flags],
                env=self._environment(ip),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self, ip: str) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._folder),
            "PYTHONPATH": str(HERE),
            "SCRAPES": str(self._folder / "scrapes"),
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_HOST_IP": ip,
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
        }

    @property
    def url(self) -> str:
        return f"http://{self.ip}:{PORT}"

    def is_ready(self) -> bool:
        """Whether it answers. Raises EngineFailed when it ended."""
        if self._process.poll() is not None:
            raise EngineFailed(f"{self.name} ended:\n{self._log.read_text(errors='replace')[-3000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise EngineFailed(f"{self.name} was not ready after {READY_SECONDS:.0f} s")
            time.sleep(0.5)

    def pages(self) -> tuple[Page, ...]:
        """Every page that the operator was given, the oldest first."""
        files = sorted((self._folder / "scrapes").glob("*.prom"), key=lambda path: int(path.stem))
        return tuple(read_page(path) for path in files)

    def kill(self) -> None:
        """SIGKILL to all of its processes, as the kernel's out-of-memory killer would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._end(signal.SIGTERM)
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
            self._process.wait(20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            return
