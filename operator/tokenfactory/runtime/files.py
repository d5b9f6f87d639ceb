"""The line's ports filled from files: `tokenfactory once`, the golden tests and bug reports stand on this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tokenfactory.discovery.claims import read_claim
from tokenfactory.discovery.configmaps import ConfigMaps
from tokenfactory.discovery.nodes import project_node
from tokenfactory.discovery.pods import project_pod
from tokenfactory.discovery.poolref import read_referenced_pool
from tokenfactory.errors import InvalidSpec, UnreadableInput, name_fault
from tokenfactory.model import Claim, ConfigText, Endpoint, Failure, FailureReason, FleetReason, Node, Pod
from tokenfactory.ports import Page, ReferencedPool
from tokenfactory.runtime.informer import uid_of
from tokenfactory.runtime.inventory import Inventory, NodeStore, PodStore

Body = Mapping[str, Any]
LARGEST_FILE = 64 * 1024 * 1024
FRAME_OBJECTS = "objects.yaml"


def read_objects(paths: Iterable[Path]) -> tuple[dict[str, Any], ...]:
    """Every Kubernetes object of YAML or JSON files; `List` kinds are flattened.

    Raises UnreadableInput naming the file.
    """
    found: list[dict[str, Any]] = []
    for path in paths:
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise UnreadableInput(f"{path}: larger than 64 MiB")
            documents = list(yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UnreadableInput(f"{path}: {name_fault(error)}") from error
        for document in documents:
            found += _flatten(document, path)
    return tuple(found)


def _flatten(document: Any, path: Path) -> list[dict[str, Any]]:
    if document is None:
        return []
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise UnreadableInput(f"{path}: a document that is no Kubernetes object (no kind)")
    if document["kind"].endswith("List"):
        kind = document["kind"].removesuffix("List")
        items = document.get("items") or []
        return [{**({"kind": kind} if kind else {}), **item} for item in items if isinstance(item, dict)]
    return [document]


@dataclass(frozen=True, slots=True)
class SavedPage:
    """A page and the Unix time at which it was rendered."""

    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Frame:
    """The pages that were saved at one Unix time, by file stem (`<pod>_<port>`, `<node>_dcgm`).

    `objects` are the frame's own (its `objects.yaml`): the pods and nodes from then on.
    """

    at: float
    pages: Mapping[str, Path | SavedPage]
    objects: Path | tuple[Body, ...] | None = None


def read_frames(directory: Path) -> tuple[Frame, ...]:
    """Frames of `<unix-seconds>/<pod>_<port>.prom`, in order of time.

    A frame may hold an `objects.yaml`, which replaces all pods and nodes from that time on.
    Raises UnreadableInput when there are fewer than two frames: a rate needs two readings.
    """
    frames: list[Frame] = []
    try:
        folders = sorted(path for path in directory.iterdir() if path.is_dir())
        for folder in folders:
            try:
                at = float(folder.name)
            except ValueError:
                continue
            pages = {path.stem: path for path in sorted(folder.glob("*.prom"))}
            objects = folder / FRAME_OBJECTS
            frames.append(Frame(at, pages, objects if objects.is_file() else None))
    except OSError as error:
        raise UnreadableInput(f"{directory}: {name_fault(error)}") from error
    if len(frames) < 2:
        raise UnreadableInput(f"{directory}: at least two folders named by Unix seconds are needed")
    return tuple(sorted(frames, key=lambda frame: frame.at))


class FileClock:
    """The frames' own clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FilePages:
    """Fills `ports.PageSource` from the frame that is on."""

    def __init__(self, clock: FileClock) -> None:
        self._names: Mapping[str, str] = {}
        self._exporter_nodes: Mapping[str, str] = {}
        self._clock = clock
        self.frame: Frame | None = None

    def know(self, pods: Iterable[Pod], exporters: Iterable[Pod]) -> None:
        """Whose page an address serves, until told otherwise."""
        self._names = {pod.ip: pod.name for pod in pods}
        self._exporter_nodes = {pod.ip: pod.node_name for pod in exporters}

    async def page(self, endpoint: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
        stem = (
            f"{self._exporter_nodes[endpoint.ip]}_dcgm"
            if endpoint.ip in self._exporter_nodes
            else f"{self._names.get(endpoint.ip, '')}_{endpoint.port}"
        )
        saved = self.frame.pages.get(stem) if self.frame else None
        if saved is None:
            return Failure(at=self._clock(), reason=FailureReason.UNREACHABLE, detail=f"no file {stem}.prom")
        if isinstance(saved, SavedPage):
            return Page(saved.body, saved.at)
        return Page(saved.read_bytes(), self._clock())


class FileReferences:
    """Fills `ports.PoolReferences` from the given objects."""

    def __init__(self, objects: Iterable[Body]) -> None:
        self._bodies = {
            (str(body["metadata"].get("namespace", "default")), str(body["metadata"].get("name"))): body
            for body in objects
            if str(body.get("apiVersion", "")).startswith("inference.networking.k8s.io/")
        }

    async def find(self, namespace: str, name: str) -> ReferencedPool | FleetReason:
        body = self._bodies.get((namespace, name))
        if body is None:
            return FleetReason.POOL_REF_NOT_FOUND
        try:
            return read_referenced_pool(body)
        except InvalidSpec:
            return FleetReason.POOL_REF_NOT_FOUND


class FileConfigMaps:
    """Fills `ports.ConfigMapReader` from the given objects."""

    def __init__(self, objects: Iterable[Body]) -> None:
        self._maps = ConfigMaps(objects)

    async def read(self, namespace: str, name: str) -> ConfigText | None:
        return self._maps.find(namespace, name)


class FileClaims:
    """Fills `ports.ClaimReader` from objects."""

    def __init__(self) -> None:
        self._claims: Mapping[tuple[str, str], Claim] = {}

    def fill(self, objects: Iterable[Body]) -> None:
        """Replaces all claims by those among the objects."""
        self._claims = {
            (str(metadata.get("namespace", "")), str(metadata.get("name", ""))): read_claim(body)
            for body in objects
            if body.get("kind") == "ResourceClaim" and isinstance(metadata := body.get("metadata"), dict)
        }

    async def read(self, namespace: str, wanted: Mapping[str, frozenset[str]]) -> Mapping[str, Claim]:
        return {name: claim for name in wanted if (claim := self._claims.get((namespace, name))) is not None}


class NoStopwatch:
    """Fills `cycle.Stopwatch` where nobody measures."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


class Stock:
    """The pods, nodes and claims of files, as the line's inventory."""

    def __init__(self) -> None:
        self._pods, self._nodes = PodStore(), NodeStore()
        self.inventory = Inventory(self._pods, self._nodes)
        self.claims = FileClaims()

    def fill(self, objects: Iterable[Body]) -> tuple[Pod, ...]:
        """Replaces everything by the given pods, nodes and claims, and returns the pods."""
        objects = tuple(objects)
        self.claims.fill(objects)
        pods: list[tuple[str, Pod]] = []
        nodes: list[tuple[str, Node]] = []
        for body in objects:
            if body.get("kind") == "Pod":
                pod = project_pod(body)
                pods.append((uid_of(body) or f"{pod.namespace}/{pod.name}", pod))
            elif body.get("kind") == "Node":
                nodes.append((uid_of(body) or str(len(nodes)), project_node(body)))
        self._pods.replace(pods)
        self._nodes.replace(nodes)
        return tuple(pod for _, pod in pods)
