"""Kubernetes' own expansion of `$(NAME)` in command and args, within limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping

LARGEST = 256 * 1024
UNKNOWN = "\x00"
"""Stands in expanded text for a value that the pod does not say. Kubernetes allows no such character."""

ANY = "*"
NO_NAME = "="
"""The name that discovery puts for arguments over its limits: no environment can hold it."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_REFERENCE = re.compile(r"\$(?:\$|\(([^()$]{1,256})\))")


def expand(text: str, env: Mapping[str, str]) -> str:
    """`text` with `$(NAME)` replaced from `env`, `$$` by `$`; UNKNOWN for each name that is not in `env`.

    Linear in the length of the result; a result over 256 KiB is UNKNOWN as a whole.
    """
    return _replace(text, lambda name: env.get(name, UNKNOWN))


def fill(text: str, env: Mapping[str, str], unknown: Collection[str], *, hole: str) -> str:
    """As `expand` for a script, where a name that nothing sets stays: the shell reads it as a command.

    `hole` stands for variables of `unknown` ("*": any name), whose value the pod does not say.
    """

    def value_of(name: str) -> str:
        if name in env:
            return env[name]
        given = name in unknown or name == NO_NAME or (ANY in unknown and _NAME.fullmatch(name))
        return hole if given else f"$({name})"

    return _replace(text, value_of).replace(UNKNOWN, hole)


def _replace(text: str, value_of: Callable[[str], str]) -> str:
    if "$" not in text:
        return text
    parts: list[str] = []
    position = size = 0
    for found in _REFERENCE.finditer(text):
        name = found.group(1)
        value = "$" if name is None else value_of(name)
        parts += (text[position : found.start()], value)
        position = found.end()
        size += len(value)
        if size > LARGEST:
            return UNKNOWN
    return "".join((*parts, text[position:]))


def environment(literals: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The variables in order, each expanded with those before it; what is not known stays out."""
    known: dict[str, str] = {}
    left = LARGEST
    for name, written in literals:
        value = expand(written, known)
        left -= len(value)
        if UNKNOWN not in value and left >= 0:
            known[name] = value
        else:
            known.pop(name, None)
    return known
