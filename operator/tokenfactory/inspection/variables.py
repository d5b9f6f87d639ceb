"""Kubernetes' own expansion of `$(NAME)` in command and args, within limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

LARGEST = 256 * 1024
UNKNOWN = "\x00"
"""Stands in expanded text for a value that the pod does not say. Kubernetes allows no such character."""

_REFERENCE = re.compile(r"\$(?:\$|\(([^()$]{1,256})\))")


def expand(text: str, env: Mapping[str, str]) -> str:
    """`text` with `$(NAME)` replaced from `env`, `$$` by `$`; UNKNOWN for each name that is not in `env`.

    Linear in the length of the result; a result over 256 KiB is UNKNOWN as a whole.
    """
    if "$" not in text:
        return text
    parts: list[str] = []
    position = size = 0
    for found in _REFERENCE.finditer(text):
        name = found.group(1)
        value = "$" if name is None else env.get(name, UNKNOWN)
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
