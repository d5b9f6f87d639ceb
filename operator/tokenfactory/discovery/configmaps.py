"""What ConfigMaps add to a container: variables and mounted files. Never a Secret.

At the border a container's use of ConfigMaps becomes a `ConfigUse`; `configure` then fills in the text of
those that were read. What was not read, or was edited after the container started, stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from tokenfactory.discovery.border import ITEMS, mapping, mappings, object_name, seconds, text
from tokenfactory.model import ConfigText, ConfigUse, Container, EnvKey, EnvSource, FileMount, Fleet, Pod

FILE_CHARACTERS = 512 * 1024
FILES = 256
PATH_LENGTH = 1024
ENV_BYTES = 64 * 1024
MOST_MAPS = 64

UNKNOWN_VARIABLES = "*"
"""In `opaque_env`: envFrom brings variables whose names the pod does not say."""

Body: TypeAlias = Mapping[str, Any]
Texts: TypeAlias = Mapping[str, ConfigText]


class ConfigMaps:
    """The ConfigMaps of one input, by namespace and name. A left-out namespace matches any."""

    def __init__(self, documents: Iterable[Body]) -> None:
        self._texts: dict[tuple[str, str], ConfigText] = {}
        for body in documents:
            if body.get("kind") == "ConfigMap":
                metadata = mapping(body, "metadata")
                key = text(metadata.get("namespace")), text(metadata.get("name"))
                self._texts[key] = read_config_map(body)

    def find(self, namespace: str, name: str) -> ConfigText | None:
        """The text entries of the ConfigMap, None when it is not among the documents."""
        if not name:
            return None
        exact = self._texts.get((namespace, name), self._texts.get(("", name)))
        if exact is not None or namespace:
            return exact
        found = [item for (_, other), item in self._texts.items() if other == name]
        return found[0] if len(found) == 1 else None

    def configure(self, pod: Pod) -> Pod:
        """The pod with what these ConfigMaps say."""
        names = _names(pod.containers)
        return configure(pod, {n: item for n in names if (item := self.find(pod.namespace, n)) is not None})


def read_config_map(body: Body) -> ConfigText:
    """A ConfigMap's text entries; those over 512 Ki characters and binary ones are left out."""
    metadata = mapping(body, "metadata")
    times = [seconds(metadata.get("creationTimestamp"))]
    times += [seconds(item.get("time")) for item in mappings(metadata.get("managedFields"))]
    data = mapping(body, "data")
    return ConfigText(
        {
            key: value
            for key, value in data.items()
            if text(key) and type(value) is str and len(value) <= FILE_CHARACTERS
        },
        max((moment for moment in times if moment is not None), default=None),
    )


def project_use(container: Body, volumes: object, literals: Iterable[str]) -> ConfigUse | None:
    """The ConfigMaps that a container's object names. `literals` are its literal variables, in order."""
    use = ConfigUse(
        sources=tuple(map(_source, mappings(container.get("envFrom")))),
        keys=tuple(_keys(container, tuple(literals))),
        mounts=tuple(_mounts(container, volumes))[:FILES],
    )
    return use if use.names() else None


def _source(item: Body) -> EnvSource:
    prefix = item.get("prefix")
    name = "" if "secretRef" in item else object_name(mapping(item, "configMapRef").get("name"))
    return EnvSource(name, prefix if isinstance(prefix, str) else "")


def _keys(container: Body, literals: tuple[str, ...]) -> Iterator[EnvKey]:
    """The last one for each variable that no literal outranks."""
    found: dict[str, EnvKey] = {}
    after = 0
    for item in mappings(container.get("env")):
        name = text(item.get("name"))
        if name in literals:
            after = literals.index(name) + 1 if "valueFrom" not in item else after
            continue
        found.pop(name, None)
        reference = mapping(item, "valueFrom", "configMapKeyRef")
        config_map, key = object_name(reference.get("name")), reference.get("key")
        if name and config_map and isinstance(key, str):
            found[name] = EnvKey(name, config_map, key, after)
    yield from found.values()


def _mounts(container: Body, volumes: object) -> Iterator[FileMount]:
    known = {text(volume.get("name")): tuple(_volume(volume)) for volume in mappings(volumes)}
    for mount in mappings(container.get("volumeMounts")):
        where = text(mount.get("mountPath"), longest=PATH_LENGTH).rstrip("/")
        below = mount.get("subPath", "")
        if not where or "subPathExpr" in mount or not isinstance(below, str):
            continue
        for config_map, items in known.get(text(mount.get("name")), ()):
            yield FileMount(where, below.strip("/"), config_map, items)


def _volume(volume: Body) -> Iterator[tuple[str, tuple[tuple[str, str], ...] | None]]:
    """The ConfigMaps of a volume, each with the keys that it picks (None: all)."""
    projected = (mapping(item, "configMap") for item in mappings(mapping(volume, "projected").get("sources")))
    for reference in (mapping(volume, "configMap"), *projected):
        name = object_name(reference.get("name"))
        if name:
            yield name, tuple(_items(reference)) if "items" in reference else None


def _items(reference: Body) -> Iterator[tuple[str, str]]:
    for item in mappings(reference.get("items")):
        key, path = item.get("key"), text(item.get("path"), longest=PATH_LENGTH)
        if isinstance(key, str) and path:
            yield key, path


def config_maps_of(fleet: Fleet) -> tuple[str, ...]:
    """The ConfigMaps that the engines of a fleet use, by name, at most 64 of them."""
    engines = (engine.container for replica in fleet.replicas for engine in replica.engines)
    return tuple(sorted(_names(engines)))[:MOST_MAPS]


def _names(containers: Iterable[Container]) -> frozenset[str]:
    return frozenset(name for item in containers if item.config for name in item.config.names())


def configure(pod: Pod, texts: Texts) -> Pod:
    """The pod with the variables and files that `texts`, the read ConfigMaps by name, put into it."""
    if not texts or not any(item.config for item in pod.containers):
        return pod
    return replace(pod, containers=tuple(_configure(item, texts) for item in pod.containers[:ITEMS]))


def _configure(container: Container, texts: Texts) -> Container:
    use = container.config
    if use is None:
        return container
    read = {name: texts[name] for name in use.names() if name in texts}
    known = {name: item.data for name, item in read.items() if _as_started(item, container)}
    sourced, unknown = _sourced(use, known)
    own, opaque = _own(container, use, known)
    left = ENV_BYTES - sum(len(value) for _, value in own)
    env: dict[str, str] = {}
    for name, value in sourced.items():
        if name in opaque or any(name == other for other, _ in own):
            continue
        left -= len(value)
        if left < 0:
            unknown.add(name)
        else:
            env[name] = value
    written = {name for name, _ in own}
    return replace(
        container,
        env=(*env.items(), *own),
        opaque_env=tuple(sorted((unknown - written) | opaque)),
        files=tuple(list(_files(use, known).items())[:FILES]),
    )


def _as_started(read: ConfigText, container: Container) -> bool:
    """Whether the process can have read this text: an edit after its start is not in it."""
    if read.edited_at is None or container.started_at is None:
        return True
    return read.edited_at <= container.started_at


def _sourced(use: ConfigUse, known: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, str], set[str]]:
    """envFrom's variables, and the names that are not certain.

    A source that is not known hides what came before it: a later source wins.
    """
    values: dict[str, str] = {}
    unknown: set[str] = set()
    for source in use.sources:
        data = known.get(source.config_map)
        if data is None:
            unknown.add(UNKNOWN_VARIABLES)
            if not source.prefix:
                unknown |= values.keys()
                values = {}
            continue
        named = {source.prefix + key: value for key, value in data.items()}
        values |= named
        unknown -= named.keys()
    return values, unknown


def _own(
    container: Container, use: ConfigUse, known: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[tuple[str, str], ...], set[str]]:
    """The container's own variables in their order, and the names of those whose value is not known."""
    opaque = set(container.opaque_env) - {UNKNOWN_VARIABLES}
    left = ENV_BYTES - sum(len(value) for _, value in container.env)
    placed: dict[int, list[tuple[str, str]]] = {}
    for item in use.keys:
        value = known.get(item.config_map, {}).get(item.key)
        if value is not None and len(value) <= left:
            left -= len(value)
            opaque.discard(item.variable)
            placed.setdefault(item.after, []).append((item.variable, value))
    own: list[tuple[str, str]] = []
    for position, literal in enumerate(container.env):
        own += (*placed.pop(position, ()), literal)
    return (*own, *(pair for pairs in placed.values() for pair in pairs)), opaque


def _files(use: ConfigUse, known: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Container path to text, for every file that a known ConfigMap puts into the container."""
    found: dict[str, str] = {}
    for mount in use.mounts:
        data = known.get(mount.config_map)
        if data is not None:
            picked = data if mount.items is None else {p: data[k] for k, p in mount.items if k in data}
            found |= dict(_placed(picked, mount.path, mount.below))
    return found


def _placed(files: Mapping[str, str], where: str, below: str) -> Iterator[tuple[str, str]]:
    """The files of a volume as one mount shows them: all, one of them, or those of a folder."""
    if not below:
        yield from ((f"{where}/{path}", content) for path, content in files.items())
    elif below in files:
        yield where, files[below]
    else:
        for path, content in files.items():
            if path.startswith(f"{below}/"):
                yield f"{where}/{path[len(below) + 1 :]}", content
