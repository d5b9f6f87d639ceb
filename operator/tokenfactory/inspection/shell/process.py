"""One process that a container starts."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process: its words after shell evaluation, its environment and the files it can read.

    Wrappers such as env, exec and numactl are gone, `python3 -u -m x` is `python3 -m x`. An unresolvable
    piece of a word contains `variables.UNKNOWN`. `unknown_env` names variables whose value the pod does
    not say ("*": any of them). `files` maps container paths to text (mounted ConfigMap files,
    here-documents), which may contain UNKNOWN too. `opaque` says in one sentence why the command line
    can't be followed; `words` are empty then.
    """

    words: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    unknown_env: frozenset[str] = frozenset()
    files: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    opaque: str = ""

    def text_of(self, path: str) -> str | None:
        """The text of a file, None when the pod does not hold it."""
        return self.files.get(posixpath.normpath(path))
