"""What a shell knows at one point of a script."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tree_sitter import Node

from tokenfactory.inspection.shell.limits import Budget
from tokenfactory.inspection.variables import UNKNOWN

ANY = "*"
"""Among the unknown names: every variable that is not assigned may have any value."""

GIVEN_AT_RUN_TIME = frozenset(
    {
        "HOME",
        "HOSTNAME",
        "PATH",
        "PWD",
        "OLDPWD",
        "USER",
        "UID",
        "EUID",
        "SHELL",
        "RANDOM",
        "SECONDS",
        "LINENO",
    }
    | {"IFS", "PPID", "HOSTTYPE", "OSTYPE", "MACHTYPE", "SHLVL", "LD_LIBRARY_PATH", "PYTHONPATH"}
)
GIVEN_PREFIXES = (
    "KUBERNETES_",
    "LWS_",
    "GROVE_",
    "OMPI_",
    "PMI",
    "SLURM_",
    "NVIDIA_",
    "RAY_",
    "BASH",
    "EPOCH",
)
GIVEN_SUFFIXES = ("_SERVICE_HOST", "_SERVICE_PORT")

Value = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function's body and the text that the body points into."""

    body: Node
    source: bytes


@dataclass(slots=True)
class State:
    """Variables (arrays are tuples), files and functions. `cwd` is None where it is not known.

    An array element that is UNKNOWN as a whole stands for any number of words. `unknown` names variables
    that have a value which the pod does not say.
    """

    budget: Budget
    variables: dict[str, Value] = field(default_factory=dict)
    exported: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Function | None] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    name: str = UNKNOWN
    cwd: str | None = None
    export_all: bool = False

    def copy(self) -> State:
        """An independent copy, as a subshell or a branch has it."""
        self.budget.step(1 + (len(self.variables) + len(self.files)) // 16)
        return replace(
            self,
            variables=dict(self.variables),
            exported=set(self.exported),
            unknown=set(self.unknown),
            files=dict(self.files),
            functions=dict(self.functions),
        )

    def subshell(self) -> State:
        """A copy whose files are the same: what a subshell writes stays."""
        return replace(self.copy(), files=self.files)

    def become(self, other: State) -> None:
        """Takes over everything that `other` knows."""
        files = dict(other.files)
        self.files.clear()
        self.files.update(files)
        self.variables, self.exported, self.unknown = other.variables, other.exported, other.unknown
        self.functions, self.positional, self.cwd = other.functions, other.positional, other.cwd
        self.export_all = other.export_all

    def look_up(self, name: str) -> Value | None:
        """The value; UNKNOWN for one that the pod does not say; None when nothing sets the variable."""
        if name in self.variables:
            return self.variables[name]
        return UNKNOWN if name in self.unknown or self._may_be_given(name) else None

    def scalar(self, name: str) -> str | None:
        """As `look_up`, of an array its first element."""
        value = self.look_up(name)
        if isinstance(value, tuple):
            return value[0] if value else ""
        return value

    def elements(self, name: str) -> tuple[str, ...]:
        """All elements; of a variable that nothing sets one unknown."""
        value = self.look_up(name)
        if value is None:
            return (UNKNOWN,)
        return value if isinstance(value, tuple) else (value,)

    def assign(self, name: str, value: Value) -> None:
        """Sets a variable, within the budget of text."""
        for item in (value,) if isinstance(value, str) else value:
            self.budget.write(item)
        self.budget.step()
        self.variables[name] = value
        if self.export_all:
            self.exported.add(name)

    def unset(self, names: Iterable[str]) -> None:
        """Forgets variables and functions."""
        for name in names:
            self.variables.pop(name, None)
            self.unknown.discard(name)
            self.exported.discard(name)
            self.functions.pop(name, None)

    def forget_all(self) -> None:
        """After text from outside of the pod ran in this shell, any variable may have any value."""
        for name in self.variables:
            self.variables[name] = UNKNOWN
        self.unknown.add(ANY)
        self.functions = dict.fromkeys(self.functions)

    def write_file(self, path: str, text: str) -> None:
        """A file as later commands see it. Where the path is not known, any file may have changed."""
        if UNKNOWN in path:
            self.budget.step(len(self.files))
            for key in self.files:
                self.files[key] = UNKNOWN
            return
        self.budget.write(text)
        for key in self.places(path):
            self.files[key] = text

    def read_file(self, path: str) -> str | None:
        """The text, which may hold UNKNOWN; None when it is not in the pod."""
        return next((self.files[key] for key in reversed(self.places(path)) if key in self.files), None)

    def places(self, path: str) -> tuple[str, ...]:
        """The names under which a file is known: as written, and from the root when that is known."""
        name = posixpath.normpath(path)
        if self.cwd is None or name.startswith("/"):
            return (name,)
        return (name, posixpath.normpath(posixpath.join(self.cwd, name)))

    def environment(self, prefixes: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
        """What a process started now gets: variables with a known value, names of those without."""
        self.budget.step(1 + (len(self.variables) + len(self.files)) // 16)
        known: dict[str, str] = {}
        unknown = set(self.unknown)
        for name in sorted(self.exported & set(self.variables)):
            value = self.variables[name]
            if isinstance(value, str):
                known[name] = value
        known.update(prefixes)
        for name in [name for name, value in known.items() if UNKNOWN in value]:
            unknown.add(name)
            del known[name]
        return known, frozenset(unknown - set(known))

    def _may_be_given(self, name: str) -> bool:
        if ANY in self.unknown or name in GIVEN_AT_RUN_TIME:
            return True
        return name.startswith(GIVEN_PREFIXES) or name.endswith(GIVEN_SUFFIXES)


def merge(states: Sequence[State]) -> State:
    """One state that says only what all of `states` say."""
    first = states[0].copy()
    for other in states[1:]:
        for name in first.variables.keys() | other.variables.keys():
            left, right = first.look_up(name), other.look_up(name)
            if left != right:
                first.variables[name] = _either(left, right)
        for path in first.files.keys() | other.files.keys():
            if first.files.get(path) != other.files.get(path):
                first.files[path] = UNKNOWN
        for name in first.functions.keys() | other.functions.keys():
            if first.functions.get(name) != other.functions.get(name):
                first.functions[name] = None
        first.exported |= other.exported
        first.unknown |= other.unknown
        first.positional = first.positional if first.positional == other.positional else (UNKNOWN,)
        first.cwd = first.cwd if first.cwd == other.cwd else None
        first.export_all = first.export_all or other.export_all
    return first


def _either(left: Value | None, right: Value | None) -> Value:
    """Arrays keep the words that they begin with alike."""
    if not isinstance(left, tuple) or not isinstance(right, tuple):
        return (UNKNOWN,) if isinstance(left, tuple) or isinstance(right, tuple) else UNKNOWN
    same: list[str] = []
    for one, two in zip(left, right, strict=False):
        if one != two:
            break
        same.append(one)
    return (*same, UNKNOWN)
