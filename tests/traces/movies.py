"""Traces made of pages that a real vLLM 0.32.0 served (tests/traces/movies), and of the same pages altered.

An alteration slows the counters of tokens down and leaves the time that sequences spend, as slower steps do;
or keeps a page for ever, as a hung engine behind a live server does; or loses frames.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.traces.corpus import Case, Kind
from tests.traces.fleet import Trace
from tokenfactory.model import DenominatorState
from tokenfactory.runtime.movie import Cast, in_movie, read_movie
from tokenfactory.runtime.offline import Replay

HOME = Path(__file__).parent / "movies"
WINDOW = 30.0
_TOKENS = re.compile(r"^(vllm:(?:generation|prompt)_tokens_total\{[^}]*\}) (\S+)$", re.MULTILINE)
_SPEC = {"windowSeconds": round(WINDOW), "price": {"perGPUHour": "1.41"}}
_POOL = in_movie({"apiVersion": "tokenfactory.dev/v1alpha1", "kind": "InferencePool", "spec": _SPEC})

Frame = dict[str, Any]
Alteration = Callable[[list[Frame]], list[Frame]]


@dataclass(frozen=True, kw_only=True)
class Film(Case):
    """A recorded movie, as it is or altered."""

    movie: str
    alter: Alteration = list


def slowed(share: float, *, since: float) -> Alteration:
    """Tokens come at `share` of their speed from `since` seconds on."""

    def alter(frames: list[Frame]) -> list[Frame]:
        start: dict[str, float] = {}

        def slow(match: re.Match[str]) -> str:
            value = float(match[2])
            begun = start.setdefault(match[1], value)
            return f"{match[1]} {begun + share * (value - begun)}"

        return [
            {**frame, "body": _TOKENS.sub(slow, frame["body"])}
            if frame["t"] >= since and frame["status"] == 200
            else frame
            for frame in frames
        ]

    return alter


def hung(*, since: float) -> Alteration:
    def alter(frames: list[Frame]) -> list[Frame]:
        last = next(frame for frame in reversed(frames) if frame["t"] < since)
        return [{**frame, "body": last["body"]} if frame["t"] >= since else frame for frame in frames]

    return alter


def lossy(share: float, *, seed: int) -> Alteration:
    def alter(frames: list[Frame]) -> list[Frame]:
        chance = random.Random(seed)
        lost = {"status": 0, "body": "TimeoutError"}
        return [{**frame, **lost} if chance.random() < share else frame for frame in frames]

    return alter


def _film(name: str, movie: str, **more: Any) -> Film:
    return Film(name=f"movie: {name}", movie=movie, trace=Trace(servers=()), **more)


MOVIES = (
    _film("demand drops and comes back", "demand-drop", kind=Kind.LOW),
    _film("killed and serving again", "plain-restart"),
    _film("stopped most of the time from 180 s on", "throttled", kind=Kind.DEGRADED, onset=180 / WINDOW),
    _film("a fifth of the frames lost", "plain-restart", alter=lossy(0.2, seed=1)),
    _film("a fifth of the frames of low demand lost", "demand-drop", kind=Kind.LOW, alter=lossy(0.2, seed=2)),
    _film(
        "tokens at a quarter of their speed",
        "plain-restart",
        kind=Kind.COLLAPSE,
        onset=240 / WINDOW,
        alter=slowed(0.25, since=240.0),
    ),
    _film(
        "tokens at three tenths of their speed",
        "demand-drop",
        kind=Kind.COLLAPSE,
        onset=370 / WINDOW,
        alter=slowed(0.3, since=370.0),
    ),
    _film(
        "hung behind a live server",
        "plain-restart",
        kind=Kind.STALLED,
        onset=160 / WINDOW,
        alter=lambda frames: hung(since=162.0)([frame for frame in frames if frame["t"] < 185]),
    ),
)


def watch(case: Case) -> list[tuple[float, DenominatorState]]:
    """(time in windows, state) of every frame, through the whole line."""
    assert isinstance(case, Film)
    header, *frames = _read(case.movie)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "movie.jsonl"
        lines = [header, *case.alter(frames)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        film = read_movie(path, Cast(product="NVIDIA-H200"))
    results = Replay([_POOL], film.objects, interval=film.spacing).run(film.frames)
    return [(item.at / WINDOW, item.subject.verdict.denominator) for item in results]


def _read(name: str) -> Iterator[Mapping[str, Any]]:
    with gzip.open(HOME / f"{name}.jsonl.gz") as lines:
        for line in lines:
            entry = json.loads(line)
            if "truth_second" not in entry:
                yield entry
