"""`tokenfactory once --replay`: what a recorded movie becomes."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tokenfactory.cli.main import build
from tokenfactory.errors import UnreadableInput
from tokenfactory.model import Role
from tokenfactory.runtime.movie import Cast, in_movie, read_movie

MOVIES = Path(__file__).parents[2] / "traces" / "movies"


def page(*, made: float, began: float = 1.0) -> str:
    return (
        f"process_start_time_seconds {began}\n"
        "# TYPE vllm:generation_tokens counter\n"
        f'vllm:generation_tokens_total{{engine="0",model_name="tiny"}} {made}\n'
    )


def shot(at: float, *, server: int = 0, body: str | None = None) -> dict[str, Any]:
    good = {"status": 200, "body": body if body is not None else page(made=at)}
    bad = {"status": 0, "body": "ClientConnectorError"}
    return {"t": at, "server": server, **(bad if body == "" else good)}


def written(folder: Path, *lines: dict[str, Any], packed: bool = False) -> Path:
    path = folder / "a.jsonl"
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


def restarts(objects: object) -> int:
    assert isinstance(objects, tuple)
    return int(objects[1]["status"]["containerStatuses"][0]["restartCount"])


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_servers_scraped_within_two_and_a_half_seconds_are_one_cycle(tmp_path: Path, packed: bool) -> None:
    lines = [{"args": [[], []]}, shot(0), shot(2.4, server=1), shot(5), shot(7.6, server=1), shot(10)]
    movie = read_movie(written(tmp_path, *lines, packed=packed), Cast())
    assert [frame.at for frame in movie.frames] == [2.4, 5, 10]
    assert sorted(movie.frames[0].pages) == ["server-0_8000", "server-1_8000"]


def test_frames_two_seconds_apart_of_one_server_stay_apart(tmp_path: Path) -> None:
    movie = read_movie(written(tmp_path, {"args": [[]]}, shot(0), shot(2), shot(4)), Cast())
    assert [frame.at for frame in movie.frames] == [0, 2, 4]
    assert movie.spacing == 2


def test_a_failed_frame_is_a_failed_scrape(tmp_path: Path) -> None:
    movie = read_movie(written(tmp_path, {"args": [[]]}, shot(0), shot(5, body=""), shot(10)), Cast())
    assert movie.frames[1].pages == {}


@pytest.mark.parametrize(
    "again",
    [page(made=12, began=90.0), page(made=3)],
    ids=["a process that began later", "counters that fell"],
)
def test_a_new_process_is_a_restarted_container(tmp_path: Path, again: str) -> None:
    lines = [{"args": [[]]}, shot(0, body=page(made=9)), shot(5, body=""), shot(10, body=again)]
    movie = read_movie(written(tmp_path, *lines), Cast())
    assert movie.frames[1].objects is None
    assert restarts(movie.objects) == 0
    assert restarts(movie.frames[2].objects) == 1


def test_the_cast_and_the_arguments_become_pods(tmp_path: Path) -> None:
    arguments = [["--speculative-config", '{"method":"ngram"}'], []]
    path = written(tmp_path, {"args": arguments}, shot(0), shot(0.1, server=1), shot(5))
    cast = Cast(gpus=4, product="NVIDIA-H200", roles={0: Role.PREFILL, 1: Role.DECODE})
    node, first, second = read_movie(path, cast).objects
    assert node["metadata"]["labels"] == {"nvidia.com/gpu.product": "NVIDIA-H200"}
    container = first["spec"]["containers"][0]
    assert container["command"] == ["vllm", "serve", "tiny"]
    assert container["args"][:2] == arguments[0]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 4}
    assert [pod["metadata"]["labels"]["llm-d.ai/role"] for pod in (first, second)] == ["prefill", "decode"]


def test_a_pool_selects_the_servers_of_the_movie_whatever_it_selects_in_its_cluster() -> None:
    pool = in_movie({"metadata": {"name": "a"}, "spec": {"poolRef": {"name": "b"}, "windowSeconds": 60}})
    assert pool["spec"] == {
        "selector": {"matchLabels": {"tokenfactory.dev/movie": "server"}},
        "windowSeconds": 60,
    }


@pytest.mark.parametrize("text", [b"", b"{}\n", b"no json\n", b"\x1f\x8b junk", b'{"t": 1, "server": "a"}\n'])
def test_what_is_no_movie_is_named_and_not_quoted(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(text)
    with pytest.raises(UnreadableInput, match=r"bad\.jsonl: (no movie|at least two frames)"):
        read_movie(path, Cast())


def test_once_prints_one_line_for_each_frame_time() -> None:
    command = [sys.executable, "-m", "tokenfactory.cli.main", "once", "-o", "jsonl", "--replay"]
    command += [str(MOVIES / "plain-restart.jsonl.gz"), "--window-seconds", "30", "--product", "NVIDIA-H200"]
    done = subprocess.run([*command, "--per-gpu-hour", "1.41"], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 74
    assert lines[0].keys() == {"t", "status", "findings"}
    assert lines[0]["t"] == 0.0
    assert lines[40]["status"]["cost"]["perGPUHour"] == "1.41"
    assert lines[40]["status"]["windowSeconds"] == 30


POOLS = "\n---\n".join(
    f"apiVersion: tokenfactory.dev/v1alpha1\nkind: InferencePool\nmetadata: {{name: {name}}}\n"
    "spec: {selector: {matchLabels: {a: b}}}"
    for name in ("one", "two")
)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--roles", "0=router"], "--roles is a list like 0=prefill,1=decode"),
        (["-f", "POOLS"], "-f holds several"),
    ],
)
def test_what_can_not_be_replayed_says_why(tmp_path: Path, options: list[str], text: str) -> None:
    (tmp_path / "pools.yaml").write_text(POOLS)
    given = [str(tmp_path / "pools.yaml") if word == "POOLS" else word for word in options]
    movie = written(tmp_path, {"args": [[]]}, shot(0), shot(5))
    done = CliRunner().invoke(build(["once"]), ["once", "--replay", str(movie), *given])
    assert done.exit_code == 2
    assert text in done.stderr
