"""Simple commands: what a builtin does to the shell, what a helper prints, and what is a program."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from tokenfactory.inspection.shell.conditions import decide_words
from tokenfactory.inspection.shell.invocation import Invocation, read_invocation
from tokenfactory.inspection.shell.launching import HELPERS, MUTATORS, PROBES, program_of
from tokenfactory.inspection.shell.limits import DEEPEST_SCRIPT, TOO_DEEP, Untraceable
from tokenfactory.inspection.shell.process import Program
from tokenfactory.inspection.shell.run import Leave, Run, Status, Stop
from tokenfactory.inspection.shell.state import State
from tokenfactory.inspection.shell.wrappers import base, is_python, strip
from tokenfactory.inspection.variables import UNKNOWN

FROM_A_VARIABLE = "the script's text comes from a variable that the pod does not say"
FROM_INPUT = "the shell reads its script from its input"
NAMELESS = "the name of a command comes from a variable that the pod does not say"

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ACTIVATES = re.compile(r".*/bin/activate")
_FORMAT = re.compile(r"%s(?:\\n)?")
_MOST_COUNTED = 256

Words = tuple[str, ...]


def run_command(words: Words, assigned: dict[str, str], run: Run, state: State) -> Status:
    """A command with its words expanded; `assigned` are the variables written before it."""
    name = words[0]
    builtin = BUILTINS.get(name)
    if builtin is not None:
        return builtin(words, run, state)
    if name in state.functions:
        return _call(name, words, run, state)
    if name in ("exec", "command", "builtin", "nohup", "time"):
        return _prefixed(words, assigned, run, state)
    return _start(words, assigned, run, state)


def _prefixed(words: Words, assigned: dict[str, str], run: Run, state: State) -> Status:
    """A wrapper that the shell itself knows: `command -v` asks, `exec` never comes back."""
    name = words[0]
    if name == "command" and words[1:2] and words[1] in ("-v", "-V"):
        run.print(UNKNOWN)
        return Status.UNDECIDED
    inner = strip(words).words
    if not inner or inner == words:
        return Status.SUCCESS
    if name != "exec" and inner[0] in BUILTINS:
        return run_command(inner, assigned, run, state)
    before = len(run.programs)
    status = _start(words, assigned, run, state)
    if name == "exec":
        raise Stop(replaced=len(run.programs) > before)
    return status


def _start(words: Words, assigned: dict[str, str], run: Run, state: State) -> Status:
    """A process: another shell is followed, a helper is done, the rest are programs."""
    started = strip(words)
    inner = started.words
    invocation = read_invocation(inner)
    if invocation is not None:
        environment = program_of(started, state, assigned)
        return follow_shell(invocation, environment, run, state)
    name = base(inner[0]) if inner else ""
    if UNKNOWN in name:
        raise Untraceable(NAMELESS)
    if inner[0] in state.files or (name.endswith(".sh") and "/" in inner[0]):
        known = state.read_file(inner[0]) is not None
        if known:
            environment = program_of(started, state, assigned)
            return follow_shell(
                Invocation(path=inner[0], arguments=inner[1:], name=inner[0]), environment, run, state
            )
    _note_changes(name, inner, state)
    if name in PRINTERS:
        PRINTERS[name](inner, run, state)
        return Status.UNDECIDED if name in PROBES else Status.SUCCESS
    run.print(UNKNOWN if name not in SILENT else "")
    if name not in HELPERS:
        run.start(program_of(started, state, assigned))
    return Status.UNDECIDED if name in PROBES else Status.LIKELY


def follow_shell(invocation: Invocation, environment: Program, run: Run, state: State) -> Status:
    """A script in a process of its own: it starts from the environment, and only files come back.

    One that is not in the pod is a program like any other.
    """
    if run.level >= DEEPEST_SCRIPT:
        raise Untraceable(TOO_DEEP)
    script = invocation.script
    if invocation.path is not None:
        script = state.read_file(invocation.path)
        if script is None:
            run.start(environment)
            return Status.LIKELY
    if script is None:
        raise Untraceable(FROM_INPUT)
    if UNKNOWN in script:
        raise Untraceable(FROM_A_VARIABLE)
    inner = State(
        budget=run.budget,
        variables=dict(environment.env),
        exported=set(environment.env),
        unknown=set(environment.unknown_env),
        files=state.files,
        positional=invocation.arguments,
        name=invocation.name,
        cwd=state.cwd,
    )
    try:
        return run.follow_text(script, replace(run, exits=[], level=run.level + 1), inner)
    except Stop:
        return Status.LIKELY


def _call(name: str, words: Words, run: Run, state: State) -> Status:
    function = state.functions[name]
    if function is None or run.level >= DEEPEST_SCRIPT * 2:
        raise Untraceable(TOO_DEEP if function else NAMELESS)
    positional, state.positional = state.positional, words[1:]
    inner = replace(run, source=function.source, exits=[], level=run.level + 1)
    try:
        status = run.follow(function.body, inner, state)
    except Leave:
        status = Status.UNDECIDED
    inner.settle(state)
    state.positional = positional
    return status


def _note_changes(name: str, words: Words, state: State) -> None:
    """Files of the pod that a helper rewrites are not known any more; `cp` and `mv` carry them along.

    A Python module reads the files that its arguments name; only a script of one's own may rewrite them.
    """
    if name not in MUTATORS or (is_python(name) and "-m" in words):
        return
    paths = [word for word in words[1:] if not word.startswith("-")]
    if name in ("cp", "mv") and len(paths) == 2:
        text = state.read_file(paths[0])
        state.write_file(paths[1], UNKNOWN if text is None else text)
        return
    for path in paths:
        if UNKNOWN in path or state.read_file(path) is not None:
            state.write_file(path, UNKNOWN)


def _echo(words: Words, run: Run, _: State) -> None:
    options, rest = [], list(words[1:])
    while rest and re.fullmatch(r"-[neE]+", rest[0]):
        options.append(rest.pop(0))
    text = " ".join(rest)
    if "\\" in text:
        text = UNKNOWN
    run.print(text if any("n" in option for option in options) else text + "\n")


def _printf(words: Words, run: Run, _: State) -> None:
    """`printf '%s\\n' a b`; other formats are not followed."""
    if words[1:2] == ("--",):
        words = (words[0], *words[2:])
    if len(words) < 2 or not _FORMAT.fullmatch(words[1]):
        plain = len(words) == 2 and "%" not in words[1]
        run.print(
            words[1].replace("\\n", "\n") if plain and "\\" not in words[1].replace("\\n", "") else UNKNOWN
        )
        return
    end = "\n" if words[1].endswith("n") else ""
    run.print("".join(item + end for item in words[2:]) or end)


def _cat(words: Words, run: Run, state: State) -> None:
    paths = words[1:] or ("-",)
    for path in paths:
        text = run.stdin if path == "-" else state.read_file(path)
        run.print(UNKNOWN if text is None else text)


def _tee(words: Words, run: Run, state: State) -> None:
    text = UNKNOWN if run.stdin is None else run.stdin
    append = "-a" in words
    for path in words[1:]:
        if not path.startswith("-"):
            state.write_file(path, (state.read_file(path) or UNKNOWN) + text if append else text)
    run.print(text)


def _seq(words: Words, run: Run, _: State) -> None:
    numbers = words[1:]
    if not 1 <= len(numbers) <= 2 or not all(re.fullmatch(r"\d{1,6}", item, re.ASCII) for item in numbers):
        run.print(UNKNOWN)
        return
    first, last = (1, int(numbers[0])) if len(numbers) == 1 else (int(numbers[0]), int(numbers[1]))
    counted = range(first, last + 1)
    run.print("".join(f"{number}\n" for number in counted) if len(counted) <= _MOST_COUNTED else UNKNOWN)


def _set(words: Words, _: Run, state: State) -> Status:
    rest = list(words[1:])
    while rest and rest[0][:1] in ("-", "+") and rest[0] != "--":
        word = rest.pop(0)
        if "a" in word[1:]:
            state.export_all = word[0] == "-"
        if word[-1] in "oO" and rest:
            name = rest.pop(0)
            state.export_all = word[0] == "-" if name == "allexport" else state.export_all
    if rest:
        state.positional = tuple(rest[1:] if rest[0] == "--" else rest)
    return Status.SUCCESS


def _shift(words: Words, _: Run, state: State) -> Status:
    count = words[1] if len(words) > 1 else "1"
    known = count.isdigit() and len(count) < 4 and UNKNOWN not in state.positional[: int(count)]
    state.positional = state.positional[int(count) :] if known else (UNKNOWN,)
    return Status.SUCCESS


def _change_directory(words: Words, _: Run, state: State) -> Status:
    target = words[-1] if len(words) > 1 else UNKNOWN
    if UNKNOWN in target or target == "-" or words[0] == "popd":
        state.cwd = None
    else:
        state.cwd = state.places(target)[-1] if target.startswith("/") or state.cwd else None
    return Status.LIKELY


def _source(words: Words, run: Run, state: State) -> Status:
    path = words[1] if len(words) > 1 else UNKNOWN
    script = state.read_file(path)
    if script is not None and UNKNOWN not in script and run.level < DEEPEST_SCRIPT:
        inner = replace(run, exits=[], level=run.level + 1)
        with suppress(Leave):
            run.follow_text(script, inner, state)
        inner.settle(state)
        return Status.LIKELY
    if not _ACTIVATES.fullmatch(path):
        state.forget_all()
    return Status.LIKELY


def _eval(words: Words, run: Run, state: State) -> Status:
    text = " ".join(words[1:])
    if UNKNOWN in text:
        raise Untraceable(FROM_A_VARIABLE)
    if run.level >= DEEPEST_SCRIPT:
        raise Untraceable(TOO_DEEP)
    return run.follow_text(text, replace(run, level=run.level + 1), state)


def _read(words: Words, _: Run, state: State) -> Status:
    for word in words[1:]:
        if _NAME.fullmatch(word):
            state.assign(word, (UNKNOWN,) if words[0] != "read" or "-a" in words else UNKNOWN)
    return Status.UNDECIDED


def _let(words: Words, _: Run, state: State) -> Status:
    for word in words[1:]:
        for name in _NAME.findall(word):
            state.assign(name, UNKNOWN)
    return Status.UNDECIDED


def _test(words: Words, _: Run, state: State) -> Status:
    truth = decide_words([*words[1:-1]] if words[0] == "[" else [*words[1:]], state)
    if truth is None:
        return Status.UNDECIDED
    return Status.SUCCESS if truth else Status.FAILURE


def _exit(*_: object) -> Status:
    raise Stop


def _return(*_: object) -> Status:
    raise Leave


def _continue(*_: object) -> Status:
    raise Leave(again=True)


def _succeed(*_: object) -> Status:
    return Status.SUCCESS


def _fail(*_: object) -> Status:
    return Status.FAILURE


Builtin = Callable[[Words, Run, State], Status]
BUILTINS: Final[Mapping[str, Builtin]] = MappingProxyType(
    {
        **dict.fromkeys((":", "true", "trap", "shopt", "umask", "ulimit", "wait", "hash", "alias"), _succeed),
        "false": _fail,
        "exit": _exit,
        "return": _return,
        "break": _return,
        "continue": _continue,
        "set": _set,
        "shift": _shift,
        **dict.fromkeys(("cd", "pushd", "popd"), _change_directory),
        **dict.fromkeys((".", "source"), _source),
        "eval": _eval,
        **dict.fromkeys(("read", "mapfile", "readarray", "getopts"), _read),
        "let": _let,
        **dict.fromkeys(("test", "["), _test),
    }
)
Printer = Callable[[Words, Run, State], None]
PRINTERS: Final[Mapping[str, Printer]] = MappingProxyType(
    {"echo": _echo, "printf": _printf, "cat": _cat, "tee": _tee, "seq": _seq}
)
SILENT = frozenset({"mkdir", "sleep", "rm", "cp", "mv", "ln", "chmod", "chown", "touch", "kill", "export"})
