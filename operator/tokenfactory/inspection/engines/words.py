"""Finding a server in the words of a process, and facts that every engine module needs of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tokenfactory.inspection.command import ANY_VARIABLE
from tokenfactory.inspection.program import Program
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.model import Container

MOST_SCANNED = 64
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
NOT_LAUNCHERS = frozenset(
    {"echo", "printf", "cat", "grep", "pgrep", "pkill", "killall", "kill", "ps", "which", "type", "test", "["}
    | {"pip", "pip3", "apt", "apt-get", "curl", "wget", "git", "cp", "mv", "rm", "ln", "ls", "sed", "awk"}
    | {"mkdir", "chmod", "chown", "sleep", "tail", "tee", "touch", "huggingface-cli", "hf", "aws", "gsutil"}
)
ON = frozenset({"1", "true", "yes", "on"})

_MARKS = re.compile(r"[\s;&|()`\"'\\=]+")
_SHOWN = re.compile(r"[A-Za-z0-9./][A-Za-z0-9._/-]{0,255}", re.ASCII)
_MODEL_FIRST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}", re.ASCII)
_VERSION = re.compile(r":v?(\d{1,3})\.(\d{1,3})(?:[.\-]|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Found:
    """The name that was found and the words after it."""

    name: str
    rest: tuple[str, ...]


def find_command(program: Program, names: Callable[[str, str], bool]) -> Found | None:
    """The first word that `names(word, next word)` accepts in a process that may launch it.

    Words are compared without their folder. A process that only mentions a server is none.
    """
    words = program.words
    if not words or base_name(words[0]) in NOT_LAUNCHERS:
        return None
    for position, word in enumerate(words[:MOST_SCANNED]):
        following = words[position + 1] if position + 1 < len(words) else ""
        if names(base_name(word), following):
            return Found(base_name(word), words[position + 1 :])
    return None


def find_module(program: Program, modules: Callable[[str], bool]) -> Found | None:
    """A Python module that is run with `-m`."""
    words = program.words
    if not words or base_name(words[0]) in NOT_LAUNCHERS:
        return None
    for position, word in enumerate(words[: MOST_SCANNED - 1]):
        if word == "-m" and position + 1 < len(words) and modules(words[position + 1]):
            return Found(words[position + 1], words[position + 2 :])
    return None


def mentioned(container: Container) -> Iterator[str]:
    """Every piece of a command that can't be followed: enough to tell which server it is about."""
    for word in container.command + container.args:
        for piece in _MARKS.split(word):
            if piece:
                yield base_name(piece)


def base_name(word: str) -> str:
    return word.rsplit("/", 1)[-1]


def repository_of(image: str) -> str:
    """The image's name without tag and digest."""
    path, slash, last = image.split("@", 1)[0].rpartition("/")
    return path + slash + last.split(":", 1)[0]


def image_version(image: str) -> tuple[int, int] | None:
    """Major and minor version in the image's tag, None when the tag is no version."""
    found = _VERSION.search(base_name(image.split("@", 1)[0]))
    return (int(found[1]), int(found[2])) if found else None


def own_entrypoint(program: Program, container: Container) -> bool:
    """Whether the image's own entrypoint runs: no command, and arguments that are no program."""
    words = program.words
    if container.command or program.opaque:
        return False
    return not words or words[0].startswith("-")


def starts_with_model(program: Program, container: Container) -> bool:
    """Whether the arguments of the image's entrypoint begin with a model: `org/name`, then flags."""
    words = program.words
    if container.command or program.opaque or not words or not _MODEL_FIRST.fullmatch(words[0]):
        return False
    is_program = base_name(words[0]) in SHELLS | NOT_LAUNCHERS or words[0].endswith((".sh", ".py"))
    return not is_program and all(word.startswith("-") for word in words[1:2])


def runs_own_script(program: Program) -> bool:
    """Whether the process is a script that lies in the image or in a volume: it can't be read here."""
    words = program.words[1:] if program.words and base_name(program.words[0]) in SHELLS else program.words
    return bool(words) and words[0].endswith(".sh")


def shown_model(written: str) -> str:
    """The model when it is a plain name or path: anything else may hide a credential and is not kept."""
    return written if _SHOWN.fullmatch(written) and ".." not in written else ""


def is_zero(written: str | None) -> bool:
    """Whether a number was written and is 0."""
    try:
        return written is not None and float(written) == 0
    except ValueError:
        return False


def switched_on(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "").strip().lower() in ON


def may_set(program: Program, name: str) -> bool:
    """Whether the variable may be set to something that the pod does not say."""
    unknown = program.unknown_env
    return name in unknown or (ANY_VARIABLE in unknown and name not in program.env)


def port_of(*written: str | None) -> int | None:
    """The first of these that is a port number; None when one before it is not known or none is."""
    for text in written:
        if text is None or not text:
            continue
        if UNKNOWN in text:
            return None
        if text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535:
            return int(text)
    return None
