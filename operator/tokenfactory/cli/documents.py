"""YAML and JSON as people hand it in: files, folders, standard input. Bounded, and never quoted back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tokenfactory.errors import UnreadableInput, name_fault

LARGEST_INPUT = 64 * 1024 * 1024
MOST_NODES = 2_000_000
DEEPEST = 100
ENDINGS = (".yaml", ".yml", ".json")
STANDARD_INPUT = "stdin"
HELM = "a Helm template; render it first: helm template … | tokenfactory check -f -"


@dataclass(frozen=True, slots=True)
class Document:
    """One document: where it came from, its value, and its YAML node, which knows the lines.

    `chosen`: the input was named itself, not found in a folder.
    """

    source: str
    value: Any
    node: yaml.Node | None
    chosen: bool = True

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line (from 1) of what `path` leads to, or of the last part of it that is there."""
        node = self.node
        for step in path:
            below = _child(node, step)
            if below is None:
                break
            node = below
        return node.start_mark.line + 1 if node is not None else 1


def read_documents(names: Sequence[Path]) -> Iterator[Document]:
    """Every document of the inputs; `-` is the standard input, a folder all its YAML and JSON files.

    Raises UnreadableInput naming the input and the line, never what stands there.
    """
    for name in names:
        if str(name) == "-":
            yield from _parse(
                _decode(sys.stdin.buffer.read(LARGEST_INPUT + 1), STANDARD_INPUT), STANDARD_INPUT
            )
        elif name.is_dir():
            for path in sorted(name.rglob("*")):
                if path.suffix.lower() in ENDINGS and path.is_file():
                    for document in _read(path):
                        yield Document(document.source, document.value, document.node, chosen=False)
        else:
            yield from _read(name)


def _read(path: Path) -> Iterator[Document]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_INPUT + 1)
    except OSError as error:
        raise UnreadableInput(f"{path}: {name_fault(error)}") from None
    return _parse(_decode(content, str(path)), path.as_posix())


def _decode(content: bytes, source: str) -> str:
    if len(content) > LARGEST_INPUT:
        raise UnreadableInput(f"{source}: larger than 64 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableInput(f"{source}: not UTF-8") from None


def _parse(text: str, source: str) -> Iterator[Document]:
    if text.lstrip()[:1] == "{":
        try:
            yield Document(source, json.loads(text), None)
            return
        except (ValueError, RecursionError):
            pass
    try:
        _measure(text, source)
        loader = yaml.CSafeLoader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            _weigh(node, source)
            value = loader.construct_document(node)
            if value is not None:
                yield Document(source, value, node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        hint = HELM if "{{" in text else "not valid YAML"
        raise UnreadableInput(f"{source}{where}: {hint}") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise UnreadableInput(f"{source}: not valid YAML ({type(error).__name__})") from None


def _measure(text: str, source: str) -> None:
    """Refuses nesting that would exhaust the stack, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise UnreadableInput(f"{source}: nested deeper than {DEEPEST}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _weigh(node: yaml.Node, source: str) -> None:
    """Refuses aliases that multiply: a document counts with every alias written out."""
    known: dict[int, int] = {}
    open_nodes: set[int] = set()

    def weight(item: yaml.Node) -> int:
        key = id(item)
        if key in known:
            return known[key]
        if key in open_nodes:
            raise UnreadableInput(f"{source}:{item.start_mark.line + 1}: an alias that contains itself")
        open_nodes.add(key)
        total = 1 + sum(weight(child) for child in _children(item))
        open_nodes.discard(key)
        known[key] = total
        return total

    if weight(node) > MOST_NODES:
        raise UnreadableInput(f"{source}:{node.start_mark.line + 1}: aliases that multiply the document")


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None
