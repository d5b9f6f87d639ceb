"""Shorthand for the processes of a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenfactory.inspection.program import Program, read_programs
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.model import Container

U = UNKNOWN


def programs(*command: str, files: Mapping[str, str] | None = None, **fields: Any) -> tuple[Program, ...]:
    container = Container(name="c", image="own:1", command=command, **fields)
    return read_programs(container, files or {})


def script(text: str, *, files: Mapping[str, str] | None = None, **fields: Any) -> tuple[Program, ...]:
    return programs("bash", "-c", text, files=files, **fields)


def words(text: str, **fields: Any) -> list[tuple[str, ...]]:
    found = script(text, **fields)
    assert not [program.opaque for program in found if program.opaque]
    return [program.words for program in found]


def reason(text: str, **fields: Any) -> str:
    """Why the script is opaque; every Program of it that is has the same reason."""
    reasons = {program.opaque for program in script(text, **fields) if program.opaque}
    assert len(reasons) == 1
    return reasons.pop()
