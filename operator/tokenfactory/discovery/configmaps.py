"""What the ConfigMaps among the given documents add to a pod: variables and mounted files. Never a Secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from tokenfactory.discovery.border import mapping, mappings, text

FILE_CHARACTERS = 512 * 1024
FILES = 256
PATH_LENGTH = 1024

Data: TypeAlias = Mapping[str, str]
Body: TypeAlias = Mapping[str, Any]


class ConfigMaps:
    """The ConfigMaps of one input, by namespace and name. A left-out namespace matches any."""

    def __init__(self, documents: Iterable[Body]) -> None:
        self._data: dict[tuple[str, str], Data] = {}
        for body in documents:
            if body.get("kind") == "ConfigMap":
                metadata = mapping(body, "metadata")
                key = text(metadata.get("namespace")), text(metadata.get("name"))
                self._data[key] = _strings(body.get("data"))

    def find(self, namespace: str, name: str) -> Data | None:
        """The text entries of the ConfigMap, None when it is not among the documents."""
        if not name:
            return None
        exact = self._data.get((namespace, name), self._data.get(("", name)))
        if exact is not None or namespace:
            return exact
        found = [data for (_, other), data in self._data.items() if other == name]
        return found[0] if len(found) == 1 else None


def _strings(data: object) -> Data:
    if not isinstance(data, Mapping):
        return {}
    return {
        key: value
        for key, value in data.items()
        if text(key) and type(value) is str and len(value) <= FILE_CHARACTERS
    }


def with_environment(container: Body, maps: ConfigMaps, namespace: str) -> dict[str, Any]:
    """The container with the variables of known ConfigMaps written out as literal ones.

    A source that is not known (a Secret, a ConfigMap that was not given) stays, and hides what came
    before it from another source: a later source wins, so an earlier value is not certain.
    """
    sourced: dict[str, dict[str, Any]] = {}
    unresolved: list[Body] = []
    for source in mappings(container.get("envFrom")):
        data = maps.find(namespace, text(mapping(source, "configMapRef").get("name")))
        prefix = source.get("prefix")
        if data is None or "secretRef" in source:
            unresolved.append(source)
            if not prefix:
                sourced = {name: {"name": name, "valueFrom": {}} for name in sourced}
            continue
        lead = prefix if isinstance(prefix, str) else ""
        sourced |= {lead + key: {"name": lead + key, "value": value} for key, value in data.items()}
    own = [_literal(item, maps, namespace) for item in mappings(container.get("env"))]
    for item in own:
        sourced.pop(str(item.get("name")), None)
    return {**container, "env": [*sourced.values(), *own], "envFrom": unresolved}


def _literal(item: Body, maps: ConfigMaps, namespace: str) -> Body:
    reference = mapping(item, "valueFrom", "configMapKeyRef")
    data = maps.find(namespace, text(reference.get("name"))) if reference else None
    key = reference.get("key")
    if data is None or not isinstance(key, str) or key not in data:
        return item
    return {"name": item.get("name"), "value": data[key]}


def mounted_files(spec: Body, container: Body, maps: ConfigMaps, namespace: str) -> dict[str, str]:
    """Container path to text, for every file that a known ConfigMap puts into the container."""
    volumes = {
        text(volume.get("name")): dict(_volume(volume, maps, namespace))
        for volume in mappings(spec.get("volumes"))
    }
    found: dict[str, str] = {}
    for mount in mappings(container.get("volumeMounts")):
        files = volumes.get(text(mount.get("name")), {})
        where = text(mount.get("mountPath"), longest=PATH_LENGTH).rstrip("/")
        below = mount.get("subPath", "")
        if not where or "subPathExpr" in mount or not isinstance(below, str):
            continue
        found |= dict(_placed(files, where, below.strip("/")))
    return dict(list(found.items())[:FILES])


def _volume(volume: Body, maps: ConfigMaps, namespace: str) -> Iterator[tuple[str, str]]:
    """Relative path to text of a volume's files."""
    direct = mapping(volume, "configMap")
    if direct:
        yield from _items(direct, maps.find(namespace, text(direct.get("name"))))
    for source in mappings(mapping(volume, "projected").get("sources")):
        reference = mapping(source, "configMap")
        if reference:
            yield from _items(reference, maps.find(namespace, text(reference.get("name"))))


def _items(reference: Body, data: Data | None) -> Iterator[tuple[str, str]]:
    if data is None:
        return
    if "items" not in reference:
        yield from data.items()
        return
    for item in mappings(reference.get("items")):
        key, path = item.get("key"), text(item.get("path"), longest=PATH_LENGTH)
        if isinstance(key, str) and key in data and path:
            yield path, data[key]


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
