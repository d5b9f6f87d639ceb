"""`tokenfactory once` against a fleet whose truth is known: restart, lost scrape, loading, replaced."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.story import Life, Run, Story, figures_of, off_by
from tokenfactory.sandbox.fleet import H200, NAMESPACE, PoolPlan, factory_body
from tokenfactory.sandbox.objects import GpuNode, render_time

STEP = 6.0
WINDOW = 60
BEGAN = 1_795_000_000.0
END = BEGAN + 120.0
TIMES = tuple(BEGAN + STEP * number for number in range(int((END - BEGAN) / STEP) + 1))
LABELS = {"app": H200.name}
PLAN = PoolPlan(
    name=H200.name,
    product=H200.product,
    gpus_per_pod=8,
    replicas=4,
    per_gpu_hour=H200.per_gpu_hour,
    workload=H200.workload,
    watts_per_gpu=0.0,
)


def _life(number: int, *, created: float, runs: list[Run], uid: str = "", **more: float) -> Life:
    return Life(
        name=f"pod-{number}",
        node=f"node-{number}",
        ip=f"10.0.0.{number + 1}",
        workload=H200.workload,
        created=created,
        runs=runs,
        uid=uid or f"uid-{number}",
        **more,
    )


def _steady(number: int) -> Life:
    return _life(number, created=BEGAN - 3600, runs=[Run(BEGAN - 3500, BEGAN - 3400)])


def _restarted(number: int) -> Life:
    """Killed at 79 s; its new container loads for ten seconds, and its counters begin at zero again."""
    runs = [Run(BEGAN - 3500, BEGAN - 3400, ended=BEGAN + 79), Run(BEGAN + 81, BEGAN + 91)]
    return _life(number, created=BEGAN - 3600, runs=runs)


def _replaced(number: int) -> list[Life]:
    """Deleted at 85 s; a pod of the same name and another UID takes its node at 86 s and serves at 100 s."""
    first = _life(number, created=BEGAN - 3600, runs=[Run(BEGAN - 3500, BEGAN - 3400)], deleted=BEGAN + 85)
    second = _life(number, created=BEGAN + 86, runs=[Run(BEGAN + 88, BEGAN + 100)], uid=f"uid-{number}-new")
    return [first, second]


def _loading(number: int) -> Life:
    """Created at 74 s; holds its GPUs to the end and never gets ready."""
    return _life(number, created=BEGAN + 74, runs=[Run(BEGAN + 76)])


def _tell() -> Story:
    lives = [_steady(0), _steady(1), _restarted(2), *_replaced(3), _loading(4)]
    return Story(gpus=8, per_gpu_hour=1.41, began=BEGAN, lives=lives, cycles=list(TIMES))


NODES = tuple(
    GpuNode(name=f"node-{number}", product=H200.product, gpus=8, exporter_ip=f"10.0.1.{number + 1}")
    for number in range(5)
)


def _objects(story: Story, now: float) -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = []
    for node in NODES:
        bodies += [node.body(), {**node.exporter(), "status": node.exporter_status()}]
    for life in story.lives:
        if life.exists(now):
            pod = life.pod(now, namespace=NAMESPACE, labels=LABELS, gpus=8)
            body = {**pod.body(), "status": pod.status()}
            body["metadata"] |= {"uid": life.uid, "creationTimestamp": render_time(life.created)}
            bodies.append(body)
    return bodies


def _write(folder: Path, story: Story, *, lost: Callable[[str, float], bool]) -> None:
    """pools.yaml and the frames, each with its own objects; a page that `lost` names is not written."""
    resources = [factory_body((PLAN,)), PLAN.body(window_seconds=WINDOW)]
    (folder / "pools.yaml").write_text(yaml.safe_dump_all(resources))
    for at in TIMES:
        frame = folder / "metrics" / str(int(at))
        frame.mkdir(parents=True)
        (frame / "objects.yaml").write_text(yaml.safe_dump_all(_objects(story, at)))
        for life in story.lives:
            if life.serves(at) and not lost(life.name, at):
                (frame / f"{life.name}_8000.prom").write_text(life.page(at))
                life.scrapes.append(at)
        for node in NODES:
            if not lost(node.name, at):
                page = story.exporter_page(node, namespace=NAMESPACE, now=at)
                (frame / f"{node.name}_dcgm.prom").write_text(page)
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(_objects(story, BEGAN)))


def _once(folder: Path, output: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tokenfactory.cli.main", "once", "-o", output),
            *("-f", str(folder / "pools.yaml"), "--objects", str(folder / "objects.yaml")),
            *("--metrics", str(folder / "metrics")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (
        [json.loads(line) for line in done.stdout.splitlines()]
        if output == "jsonl"
        else json.loads(done.stdout)
    )


def _lost(name: str, at: float) -> bool:
    """Two engine pages and one exporter page are missing, at different times."""
    return (name, at - BEGAN) in {("pod-0", 90.0), ("pod-1", 102.0), ("node-1", 96.0)}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("story")
    story = _tell()
    _write(folder, story, lost=_lost)
    return story, _once(folder, "jsonl")


@pytest.mark.parametrize(
    "figure", ["dollars_per_million", "tokens_per_second_per_gpu", "dollars_per_hour", "watts"]
)
@pytest.mark.parametrize(
    ("seconds", "end"),
    [(96.0, 96.0), (102.0, 96.0), (108.0, 108.0), (114.0, 114.0), (120.0, 120.0)],
    ids=lambda moment: f"{moment:.0f}s",
)
def test_a_window_with_restart_lost_scrapes_loading_and_replaced_pods_is_within_half_a_percent(
    told: tuple[Story, list[dict[str, Any]]], figure: str, seconds: float, end: float
) -> None:
    """The window ends at the last moment that every engine accounts for: a lost page holds it back."""
    story, documents = told
    document = next(item for item in documents if item["t"] == BEGAN + seconds)
    true = getattr(story.truth(BEGAN + end - WINDOW, BEGAN + end), figure)
    seen = getattr(figures_of(document), figure)
    assert off_by(seen, true) <= 0.005, f"{seen:.6g}, truth {true:.6g}, off by {off_by(seen, true):.3%}"


def test_the_events_of_the_story_change_the_truth_by_far_more_than_the_tolerance() -> None:
    """Guards the test above: had nothing happened, every figure would be another one."""
    story, quiet = _tell(), Story(gpus=8, per_gpu_hour=1.41, began=BEGAN, cycles=list(TIMES))
    quiet.lives = [_steady(number) for number in range(4)]
    for life in story.lives:
        life.scrapes = [at for at in TIMES if life.serves(at)]
    told_, unmoved = story.truth(END - WINDOW, END), quiet.truth(END - WINDOW, END)
    assert off_by(told_.dollars_per_million, unmoved.dollars_per_million) > 0.2
    assert off_by(told_.tokens_per_second_per_gpu, unmoved.tokens_per_second_per_gpu) > 0.2
    assert off_by(told_.watts, unmoved.watts) > 0.015
    assert told_.dollars_per_hour != unmoved.dollars_per_hour


def test_the_status_of_once_shows_the_same_numbers_to_four_digits(
    told: tuple[Story, list[dict[str, Any]]],
) -> None:
    _, documents = told
    last, figures = documents[-1], figures_of(documents[-1])
    cost, status = last["status"]["cost"], last["status"]
    assert off_by(float(cost["perMillionTokens"]), figures.dollars_per_million) <= 0.0005
    assert off_by(float(cost["perHour"]), figures.dollars_per_hour) <= 0.0005
    per_gpu = float(status["throughput"]["tokensPerSecondPerGPU"])
    assert off_by(per_gpu, figures.tokens_per_second_per_gpu) <= 0.0005
    assert off_by(float(status["energy"]["measured"]["watts"]), figures.watts) <= 0.0005


def test_a_frames_own_objects_hold_until_another_frame_says_otherwise(tmp_path: Path) -> None:
    story = _tell()
    story.lives = [_steady(0), _loading(4)]
    _write(tmp_path, story, lost=lambda name, at: False)
    for at in TIMES:
        if at != BEGAN + 78:
            (tmp_path / "metrics" / str(int(at)) / "objects.yaml").unlink()
    held = [item["status"]["gpus"]["held"] for item in _once(tmp_path, "jsonl")]
    assert held == ["8"] * 13 + ["16"] * 8


def test_json_is_the_last_line_of_jsonl(tmp_path: Path) -> None:
    story = _tell()
    _write(tmp_path, story, lost=lambda name, at: False)
    assert _once(tmp_path, "json") == _once(tmp_path, "jsonl")[-1:]


def test_objects_of_a_frame_that_cannot_be_read_end_the_run_naming_the_file(tmp_path: Path) -> None:
    story = _tell()
    _write(tmp_path, story, lost=lambda name, at: False)
    broken = tmp_path / "metrics" / str(int(BEGAN)) / "objects.yaml"
    broken.write_text("- [")
    with pytest.raises(AssertionError, match=r"objects\.yaml: ParserError"):
        _once(tmp_path, "json")
