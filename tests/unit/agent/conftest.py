"""The fake driver, loaded once per process; each test says what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.unit.agent.fakes import build_library, load_library, write_facts
from tokenfactory.agent.nvml import Nvml

Say = Callable[..., None]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build_library(tmp_path_factory.mktemp("nvml"))
    load_library(built)
    return built


@pytest.fixture
def scenario(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the driver answers from; it has no board yet."""
    path = tmp_path / "nvml.txt"
    path.touch()
    monkeypatch.setenv("FAKE_NVML", str(path))
    return path


@pytest.fixture
def say(scenario: Path) -> Say:
    """Says what the driver answers from now on."""

    def write(*parts: Mapping[str, Mapping[str, object]]) -> None:
        write_facts(scenario, {scope: row for part in parts for scope, row in part.items()})

    return write


@pytest.fixture
def nvml(say: Say) -> Iterator[Nvml]:
    """An open driver; opened before the test says anything, so it has no boards yet."""
    with Nvml() as opened:
        yield opened


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: a unix socket's has 108 bytes at most."""
    return tmp_path_factory.mktemp("k") / "kubelet.sock"
