"""YAML files that an engine reads: bounded, without aliases, unknown pieces marked. Never raises."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tokenfactory.inspection.variables import UNKNOWN

LARGEST = 64 * 1024
DEEPEST = 24
MOST_EVENTS = 4000
MARK = "\ue000"
"""Stands in YAML, where a NUL is not allowed, for a piece that the pod does not say."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a file says nothing here: not in the documents given, no YAML object, or over the limits."""

    why: str


ABSENT = Unreadable("the configuration file is in no ConfigMap of the pod that could be read")
NOT_YAML = Unreadable("the configuration file is not a YAML object that can be read here")
UNKNOWN_PIECE = Unreadable("the configuration file has pieces from variables that the pod does not say")


def find_file(files: Mapping[str, str], path: str) -> str | None:
    """The text at a container path, relative ones as written; None when the pod does not hold it."""
    if path in files:
        return files[path]
    wanted = posixpath.normpath(path)
    return next((text for name, text in files.items() if posixpath.normpath(name) == wanted), None)


def read_document(files: Mapping[str, str], path: str) -> Mapping[str, Any] | Unreadable:
    """The YAML object in the file."""
    if UNKNOWN in path:
        return Unreadable("the name of the configuration file comes from a variable")
    text = find_file(files, path)
    return ABSENT if text is None else parse_document(text)


def parse_document(text: str) -> Mapping[str, Any] | Unreadable:
    """A YAML or JSON object of at most 64 KiB, 4,000 parts and 24 levels; an alias makes it unreadable."""
    if len(text) > LARGEST:
        return NOT_YAML
    written = text.replace(UNKNOWN, MARK)
    try:
        if not _is_plain(written):
            return NOT_YAML
        loaded = yaml.load(written, Loader=_LOADER)  # noqa: S506 - a safe loader, chosen above
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError):
        return UNKNOWN_PIECE if UNKNOWN in text else NOT_YAML
    if not isinstance(loaded, dict):
        return UNKNOWN_PIECE if UNKNOWN in text else NOT_YAML
    if _has_unknown_key(loaded):
        return UNKNOWN_PIECE
    return loaded


def is_unknown(value: object) -> bool:
    """Whether a value, or a piece of it, comes from a variable that the pod does not say."""
    return isinstance(value, str) and (MARK in value or UNKNOWN in value)


def section(document: Mapping[str, Any], *names: str) -> Mapping[str, Any] | None:
    """The first of these keys that holds an object; None when none does."""
    for name in names:
        value = document.get(name)
        if isinstance(value, dict):
            return value
    return None


def merge(low: Mapping[str, Any], high: Mapping[str, Any], depth: int = DEEPEST) -> dict[str, Any]:
    """`low` with the keys of `high` over it, objects merged key by key."""
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        if depth and isinstance(below, dict) and isinstance(value, dict):
            merged[key] = merge(below, value, depth - 1)
        else:
            merged[key] = value
    return merged


def as_words(document: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a document as command line words, for engines that read a file as arguments.

    A switch that is false is left out, as the engines do it.
    """
    for key, value in document.items():
        name = str(key)
        if value is True:
            yield f"--{name}"
        elif isinstance(value, dict | list):
            yield f"--{name}={json.dumps(value, default=str).replace(chr(92) + 'ue000', UNKNOWN)}"
        elif value is not None and value is not False:
            yield f"--{name}={str(value).replace(MARK, UNKNOWN)}"


def with_config(arguments: Sequence[str], files: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Arguments with the keys of `--config FILE` before them, so that the command line wins.

    The second value says why the file could not be read, empty when it was or when there is none.
    """
    for position in range(len(arguments) - 1):
        if arguments[position] == "--config":
            document = read_document(files, arguments[position + 1])
            if isinstance(document, Unreadable):
                return tuple(arguments), document.why
            rest = (*arguments[:position], *arguments[position + 2 :])
            lead = rest[:1] if rest and not rest[0].startswith("-") else ()
            return (*lead, *as_words(document), *rest[len(lead) :]), ""
    return tuple(arguments), ""


def _is_plain(text: str) -> bool:
    """No alias and no more than we read: an alias could grow a small file beyond any bound."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if count > MOST_EVENTS or isinstance(event, yaml.AliasEvent):
            return False
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            return False
    return True


def _has_unknown_key(node: Any) -> bool:
    if isinstance(node, dict):
        return any(is_unknown(key) for key in node) or any(_has_unknown_key(value) for value in node.values())
    return isinstance(node, list) and any(_has_unknown_key(item) for item in node)
