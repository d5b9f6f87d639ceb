"""Words in front of a program that only start it: env, exec, nice, numactl, mpirun, interpreters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tokenfactory.inspection.variables import UNKNOWN

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
DEEPEST = 16

VALUE_OPTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "exec": frozenset({"-a"}),
        "command": frozenset(),
        "builtin": frozenset(),
        "time": frozenset({"-o", "-f"}),
        "nohup": frozenset(),
        "setsid": frozenset(),
        "nice": frozenset({"-n", "--adjustment"}),
        "ionice": frozenset({"-c", "-n", "--class", "--classdata"}),
        "chrt": frozenset(),
        "stdbuf": frozenset({"-i", "-o", "-e"}),
        "unbuffer": frozenset(),
        "tini": frozenset({"-p", "-e"}),
        "dumb-init": frozenset({"--rewrite", "-r"}),
        "catatonit": frozenset(),
        "sudo": frozenset({"-u", "-g", "--user", "--group"}),
        "catchsegv": frozenset(),
        "trtllm-llmapi-launch": frozenset(),
        "opentelemetry-instrument": frozenset(),
        "ddtrace-run": frozenset(),
        "nvidia_entrypoint.sh": frozenset(),
        "numactl": frozenset(
            {"-N", "-m", "-C", "-i", "-p", "--cpunodebind", "--membind", "--physcpubind", "--interleave"}
            | {"--preferred", "--localalloc-node"}
        ),
    }
)
"""Wrappers whose options are known, with those options that take the next word."""

COUNTED: Mapping[str, int] = MappingProxyType(
    {"timeout": 1, "taskset": 1, "gosu": 1, "su-exec": 1, "chroot": 1}
)
"""Wrappers that take so many words of their own before the program."""

SEARCHED = frozenset(
    {"mpirun", "mpiexec", "mpiexec.hydra", "orterun", "srun", "nsys", "ncu", "torchrun", "uv", "poetry"}
    | {"conda", "micromamba", "accelerate", "deepspeed", "strace", "py-spy", "xargs", "ray"}
)
"""Wrappers with options of their own that nobody lists: the program is the first word that is known."""

PROGRAMS = frozenset({"vllm", "sglang", "trtllm-serve", "trtllm-llmapi-launch", "nim-serve", "nim-run"})
_PYTHON = re.compile(r"python(?:3(?:\.\d{1,2})?)?", re.ASCII)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)
_PYTHON_VALUES = frozenset({"-X", "-W"})
_MODULE = re.compile(r"-[a-zA-Z]*m", re.ASCII)
_DISTRIBUTED = frozenset({"torch.distributed.run", "torch.distributed.launch"})


@dataclass(frozen=True, slots=True)
class Started:
    """A program without its wrappers. `assigned` is what `env` sets, `alone` whether `env -i` was there."""

    words: tuple[str, ...]
    assigned: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dropped: frozenset[str] = frozenset()
    alone: bool = False


def base(word: str) -> str:
    """The last part of a path."""
    return word.rsplit("/", 1)[-1]


def is_python(word: str) -> bool:
    """Whether the word is a Python interpreter."""
    return bool(_PYTHON.fullmatch(base(word)))


def strip(words: tuple[str, ...]) -> Started:
    """The program that the words start in the end; its words as written when no wrapper is known."""
    started = Started(words)
    for _ in range(DEEPEST):
        following = _strip_one(started)
        if following.words == started.words:
            break
        started = following
    return started


def _strip_one(started: Started) -> Started:
    words = started.words
    name = base(words[0]) if words else ""
    if name == "env":
        return _strip_env(started)
    if name in VALUE_OPTIONS:
        rest = _after_options(words[1:], VALUE_OPTIONS[name])
    elif name in COUNTED:
        rest = _after_options(words[1:], frozenset({"-s", "-k", "--signal", "--kill-after"}))[COUNTED[name] :]
    elif name in SEARCHED:
        rest = _search(words, name)
    elif is_python(name):
        rest = _plain_python(words)
    else:
        rest = words
    return started if not rest else Started(rest, started.assigned, started.dropped, started.alone)


def _after_options(words: tuple[str, ...], with_value: frozenset[str]) -> tuple[str, ...]:
    position = 0
    while position < len(words) and words[position].startswith("-"):
        if words[position] == "--":
            return words[position + 1 :]
        position += 2 if words[position] in with_value else 1
    return words[position:]


def _strip_env(started: Started) -> Started:
    assigned, dropped, alone = dict(started.assigned), set(started.dropped), started.alone
    words, position = started.words, 1
    while position < len(words):
        word = words[position]
        found = _ASSIGNMENT.fullmatch(word)
        if found:
            assigned[found.group(1)] = found.group(2)
            dropped.discard(found.group(1))
        elif word in ("-u", "--unset"):
            position += 1
            dropped.update(words[position : position + 1])
        elif word.startswith(("-u", "--unset=")):
            dropped.add(word.removeprefix("--unset=").removeprefix("-u"))
        elif word in ("-i", "-", "--ignore-environment"):
            alone = True
        elif word in ("-C", "--chdir"):
            position += 1
        elif word.startswith(("-S", "--split-string", UNKNOWN)):
            return Started((UNKNOWN,), assigned, frozenset(dropped), alone)
        elif not word.startswith("-"):
            break
        position += 1
    return Started(words[position:], assigned, frozenset(dropped), alone)


def _search(words: tuple[str, ...], name: str) -> tuple[str, ...]:
    """From the first word that is a program; torchrun's `-m` and script run in Python."""
    for position, word in enumerate(words[1:], 1):
        if base(word) in PROGRAMS or base(word) in SHELLS or is_python(word):
            return words[position:]
        if name == "torchrun" and (word.endswith(".py") or word in ("-m", "--module")):
            return (
                ("python3", "-m", *words[position + 1 :])
                if word[:1] == "-"
                else ("python3", *words[position:])
            )
    return words


def _plain_python(words: tuple[str, ...]) -> tuple[str, ...]:
    """`python -u -X opt -m module …` as `python -m module …`; a launcher module gives way to its program."""
    position = 1
    while position < len(words) and words[position].startswith("-") and words[position] not in ("-", "-c"):
        if _MODULE.fullmatch(words[position]):
            module = words[position + 1 : position + 2]
            if module and module[0] in _DISTRIBUTED:
                return _search(("torchrun", *words[position + 2 :]), "torchrun")
            return (words[0], "-m", *words[position + 1 :])
        position += 2 if words[position] in _PYTHON_VALUES else 1
    if position < len(words) and base(words[position]) in PROGRAMS:
        return words[position:]
    return (words[0], *words[position:])
