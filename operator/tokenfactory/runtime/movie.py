"""A recorded movie as objects and frames for the line: `tokenfactory once --replay`.

A movie is JSON lines, gzipped or plain: first its arguments, then a line for each scraped page (`t`,
`server`, `status`, `body`); other lines are left out. Its servers become pods, its failed pages failed
scrapes, and a process that began anew a restarted container.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tokenfactory.errors import UnreadableInput, name_fault
from tokenfactory.model import Role
from tokenfactory.runtime.files import Body, Frame, SavedPage

SAME_CYCLE_SECONDS = 2.5
LARGEST_MOVIE = 2 * 1024**3
NAMESPACE = "default"
PORT = 8000
LABEL = "tokenfactory.dev/movie"
ROLE_LABEL = "llm-d.ai/role"
NODE = "movie-node"

_BEGAN = re.compile(rb"^process_start_time_seconds(?:\{[^}\n]*\})? ([0-9.eE+]+)", re.MULTILINE)
_MADE = re.compile(rb"^[a-z0-9_:]*(?:generation|prompt)_tokens_total\{[^\n]*\} ([0-9.eE+]+)", re.MULTILINE)
_MODEL = re.compile(rb'^[a-z0-9_]+:[a-z_]+\{[^\n]*model_name="([A-Za-z0-9._/-]{1,200})"', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What a movie does not say of its servers: GPUs of each, their product, roles by index."""

    gpus: int = 1
    product: str = ""
    roles: Mapping[int, Role] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movie:
    """`spacing` is the usual time between two scrapes of a server, in seconds."""

    objects: tuple[Body, ...]
    frames: tuple[Frame, ...]
    spacing: float


@dataclass(frozen=True, slots=True)
class _Shot:
    at: float
    server: int
    body: bytes | None


def read_movie(path: Path, cast: Cast) -> Movie:
    """The movie's pods, node and frames. Raises UnreadableInput naming the file."""
    arguments: list[Any] = []
    shots: list[_Shot] = []
    try:
        for number, line in enumerate(_lines(path)):
            entry = json.loads(line)
            if number == 0 and "args" in entry:
                arguments = entry["args"]
            elif "server" in entry and "t" in entry:
                shots.append(_read_shot(entry))
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, zlib.error) as error:
        raise UnreadableInput(f"{path}: no movie ({name_fault(error)})") from error
    shots.sort(key=lambda shot: (shot.at, shot.server))
    cycles = tuple(_group(shots))
    if len(cycles) < 2:
        raise UnreadableInput(f"{path}: at least two frames are needed")
    stage = _Stage(cast, arguments, shots)
    frames = tuple(stage.film(cycle) for cycle in cycles)
    gaps = [later.at - earlier.at for earlier, later in pairwise(frames)]
    return Movie(objects=stage.opening, frames=frames, spacing=median(gaps))


def in_movie(pool: Body) -> dict[str, Any]:
    """The pool with the movie's servers as its pods, whatever it selects in its cluster."""
    spec = {key: value for key, value in dict(pool.get("spec") or {}).items() if key != "poolRef"}
    metadata = {"name": "movie", **dict(pool.get("metadata") or {}), "namespace": NAMESPACE}
    return {**pool, "metadata": metadata, "spec": {**spec, "selector": {"matchLabels": {LABEL: "server"}}}}


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield from raw
            return
        with gzip.open(raw) as unpacked:
            for line in unpacked:
                yield line
                if unpacked.tell() > LARGEST_MOVIE:
                    raise UnreadableInput(f"{path}: larger than 2 GiB unpacked")


def _read_shot(entry: Mapping[str, Any]) -> _Shot:
    body = entry.get("body")
    good = entry.get("status") == 200 and isinstance(body, str)
    return _Shot(float(entry["t"]), int(entry["server"]), str(body).encode() if good else None)


def _group(shots: Iterable[_Shot]) -> Iterator[tuple[_Shot, ...]]:
    """Shots of several servers within 2.5 s are one cycle; a server is in it once."""
    group: list[_Shot] = []
    for shot in shots:
        if group and (
            shot.at - group[0].at > SAME_CYCLE_SECONDS or any(shot.server == item.server for item in group)
        ):
            yield tuple(group)
            group = []
        group.append(shot)
    if group:
        yield tuple(group)


class _Stage:
    """The pods as the movie goes on: a server whose process began anew has restarted once more."""

    def __init__(self, cast: Cast, arguments: object, shots: Iterable[_Shot]) -> None:
        self._cast = cast
        self._arguments = arguments if isinstance(arguments, list) else []
        shots = tuple(shots)
        self._servers = sorted({shot.server for shot in shots})
        self._model = next((m for shot in shots if shot.body and (m := _model_of(shot.body))), "model")
        self._marks: dict[int, tuple[float, float]] = {}
        self._restarts = dict.fromkeys(self._servers, 0)
        self.opening = self._objects()

    def film(self, cycle: tuple[_Shot, ...]) -> Frame:
        restarted = False
        for shot in cycle:
            if shot.body is None:
                continue
            mark, before = _mark_of(shot.body), self._marks.get(shot.server)
            self._marks[shot.server] = mark
            if before is not None and (mark[0] > before[0] + 1 or mark[1] < before[1]):
                self._restarts[shot.server] += 1
                restarted = True
        pages = {
            f"server-{shot.server}_{PORT}": SavedPage(shot.body, shot.at)
            for shot in cycle
            if shot.body is not None
        }
        return Frame(max(shot.at for shot in cycle), pages, self._objects() if restarted else None)

    def _objects(self) -> tuple[Body, ...]:
        labels = {"nvidia.com/gpu.product": self._cast.product} if self._cast.product else {}
        node = {"kind": "Node", "metadata": {"name": NODE, "uid": NODE, "labels": labels}, "status": {}}
        return (node, *(self._pod(server) for server in self._servers))

    def _pod(self, server: int) -> Body:
        name, role = f"server-{server}", self._cast.roles.get(server)
        labels = {LABEL: "server"} | ({ROLE_LABEL: role.value} if role else {})
        container = {
            "name": "engine",
            "image": "vllm/vllm-openai",
            "command": ["vllm", "serve", self._model],
            "args": [*self._arguments_of(server), "--port", str(PORT)],
            "ports": [{"containerPort": PORT}],
            "resources": {"limits": {"nvidia.com/gpu": self._cast.gpus}},
        }
        status = {
            "name": "engine",
            "ready": True,
            "restartCount": self._restarts[server],
            "state": {"running": {"startedAt": None}},
        }
        return {
            "kind": "Pod",
            "metadata": {"namespace": NAMESPACE, "name": name, "uid": name, "labels": labels},
            "spec": {"nodeName": NODE, "containers": [container]},
            "status": {
                "phase": "Running",
                "podIP": f"10.{(server >> 16) % 256}.{(server >> 8) % 256}.{server % 256}",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [status],
            },
        }

    def _arguments_of(self, server: int) -> list[str]:
        own = self._arguments[server] if 0 <= server < len(self._arguments) else []
        words = own if isinstance(own, list) else []
        return [word if isinstance(word, str) else json.dumps(word) for word in words]


def _mark_of(body: bytes) -> tuple[float, float]:
    """When the page's process began (0 where it does not say) and the tokens that it counted."""
    began = _BEGAN.search(body)
    made = sum(float(found) for found in _MADE.findall(body))
    return float(began[1]) if began else 0.0, made


def _model_of(body: bytes) -> str:
    found = _MODEL.search(body)
    return found[1].decode() if found else ""
