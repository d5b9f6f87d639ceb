"""What the agent reads through NVML, from a driver that is a C library of these tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.agent.fakes import GIB, board, mig_board
from tokenfactory.agent.nvml import DriverMissing, Nvml
from tokenfactory.agent.snapshot import Board, Instance, Memory

Say = Callable[..., None]


def one(nvml: Nvml) -> Board:
    (found,), lost = nvml.read()
    assert lost == 0
    return found


def test_a_board_tells_everything(say: Say, nvml: Nvml) -> None:
    say(board())
    assert one(nvml) == Board(
        index=0,
        uuid="GPU-00000000",
        model="NVIDIA H200",
        pci_bus_id="00000000:19:00.0",
        minor=0,
        milliwatts=500_000,
        millijoules=7_000_000_000,
        gpu_percent=93,
        memory_percent=41,
        memory=Memory(used=100 * GIB, free=40 * GIB, reserved=1 * GIB),
        sm_megahertz=1980,
        memory_megahertz=3201,
        clock_event_reasons=4,
        xid=0,
    )
    assert nvml.driver == "580.105.08"


def test_eight_boards_come_in_the_order_of_their_index(say: Say, nvml: Nvml) -> None:
    say(*(board(index) for index in range(8)))
    boards, lost = nvml.read()
    assert ([b.index for b in boards], lost) == (list(range(8)), 0)
    assert len({b.uuid for b in boards}) == 8


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ("energy", "millijoules"),
        ("power", "milliwatts"),
        ("gpu_util", "gpu_percent"),
        ("used", "memory"),
        ("sm", "sm_megahertz"),
        ("reasons", "clock_event_reasons"),
        ("event_types", "xid"),
        ("minor", "minor"),
    ],
)
def test_what_a_driver_does_not_support_is_missing_and_the_rest_is_there(
    say: Say, nvml: Nvml, answer: str, field: str
) -> None:
    say(board(**{answer: None}))
    found = one(nvml)
    assert getattr(found, field) is None
    assert found.model == "NVIDIA H200"


def test_an_older_driver_tells_clock_event_reasons_under_their_old_name(say: Say, nvml: Nvml) -> None:
    say(board(reasons=None, throttle="0x20"))
    assert one(nvml).clock_event_reasons == 0x20


def test_a_board_that_is_lost_on_the_way_is_counted_and_not_read(say: Say, nvml: Nvml) -> None:
    say(board(0), board(1))
    assert len(nvml.read()[0]) == 2
    say(board(0), board(1, lost=1))
    boards, lost = nvml.read()
    assert ([b.index for b in boards], lost) == ([0], 1)
    say(board(0), board(1))
    assert nvml.read()[1] == 0


def test_a_split_board_has_its_memory_in_its_instances(say: Say, nvml: Nvml) -> None:
    say(mig_board(instances=2))
    found = one(nvml)
    own = Memory(used=10 * GIB, free=6 * GIB, reserved=0)
    assert found.instances == (
        Instance(number=7, uuids=("MIG-0-0",), profile="1g.18gb", memory=own),
        Instance(number=8, uuids=("MIG-0-1",), profile="1g.18gb", memory=own),
    )
    assert (found.memory, found.gpu_percent) == (None, None)
    assert found.milliwatts == 500_000


def test_compute_instances_of_one_gpu_instance_are_one_instance(say: Say, nvml: Nvml) -> None:
    facts = mig_board(instances=2)
    for place in ("0.0", "0.1"):
        facts[place] |= {"instance": 2, "name": "NVIDIA H200 MIG 1c.3g.71gb"}
    say(facts)
    (instance,) = one(nvml).instances
    assert (instance.uuids, instance.profile) == (("MIG-0-0", "MIG-0-1"), "3g.71gb")


def test_a_profile_that_the_name_does_not_say_is_made_of_slices_and_memory(say: Say, nvml: Nvml) -> None:
    facts = mig_board(instances=1)
    facts["0.0"] |= {"name": "NVIDIA H200", "slices": 2, "memory_mb": 35 * 1024}
    say(facts)
    assert one(nvml).instances[0].profile == "2g.35gb"


def test_the_last_xid_stays_and_only_its_board_has_it(say: Say, nvml: Nvml) -> None:
    say(board(0), board(1))
    nvml.read()
    events = {"event0": {"board": 1, "xid": 31}, "event1": {"board": 1, "xid": 79}}
    say(board(0), board(1), events)
    assert [b.xid for b in nvml.read()[0]] == [0, 79]
    assert [b.xid for b in nvml.read()[0]] == [0, 79]


@pytest.mark.parametrize(
    ("code", "words"), [(9, "can't be used"), (18, "was changed under the agent"), (12, "is not found")]
)
def test_a_driver_that_goes_away_on_the_way_is_told_in_words(
    say: Say, nvml: Nvml, code: int, words: str
) -> None:
    say(board())
    assert nvml.read()[1] == 0
    say({"driver": {"count": code}})
    with pytest.raises(DriverMissing, match=words):
        nvml.read()


def test_a_driver_that_does_not_start_is_told_in_words(say: Say) -> None:
    say({"driver": {"init": 9}})
    with pytest.raises(DriverMissing, match="can't be used"), Nvml():
        pass


def test_without_a_driver_the_command_ends_with_3_and_says_what_to_do(tmp_path: Path) -> None:
    environment = {"PATH": os.defpath, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tokenfactory.cli.main", "agent"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("tokenfactory agent: no NVIDIA driver here: libnvidia-ml.so.1 is not found")
