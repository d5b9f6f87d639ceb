"""The processes that a container starts, as each of them would see its own command line."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from tokenfactory.inspection.shell.commands import FROM_INPUT, follow_shell
from tokenfactory.inspection.shell.invocation import read_invocation
from tokenfactory.inspection.shell.launching import program_of
from tokenfactory.inspection.shell.limits import CONTROL, LONGEST_SCRIPT, TOO_DEEP, Budget, Untraceable
from tokenfactory.inspection.shell.process import Program
from tokenfactory.inspection.shell.run import Run, Signal
from tokenfactory.inspection.shell.state import State
from tokenfactory.inspection.shell.statements import follow, follow_text
from tokenfactory.inspection.shell.words import HOLE
from tokenfactory.inspection.shell.wrappers import strip
from tokenfactory.inspection.variables import UNKNOWN, environment, expand, fill
from tokenfactory.model import Container

__all__ = ["Program", "read_programs"]


def read_programs(container: Container, files: Mapping[str, str]) -> tuple[Program, ...]:
    """The processes of `container` in the order in which they start. Never raises.

    `files` maps container paths to the text of mounted ConfigMaps. Without a shell there is one Program;
    its words are the arguments alone when the image's own entrypoint runs. A script that can't be followed
    is one Program with `opaque` set. No shell is ever executed.
    """
    env = environment(container.env)
    unknown = set(container.opaque_env) | {name for name, _ in container.env if name not in env}
    known_files = {posixpath.normpath(path): _kept(text) for path, text in files.items()}
    budget = Budget()
    state = State(
        budget=budget, variables=dict(env), exported=set(env), unknown=unknown, files=dict(known_files)
    )
    try:
        return _read(container, state, env)
    except (Untraceable, RecursionError) as error:
        reason = error.reason if isinstance(error, Untraceable) else TOO_DEEP
        return (
            Program(
                env=MappingProxyType(env),
                unknown_env=frozenset(unknown),
                files=MappingProxyType(known_files),
                opaque=reason,
            ),
        )


def _read(container: Container, state: State, env: Mapping[str, str]) -> tuple[Program, ...]:
    written = container.command + container.args
    started = strip(tuple(expand(word, env) for word in written))
    invocation = read_invocation(started.words)
    program = program_of(started, state, {})
    if invocation is None:
        return (program,)
    if invocation.script is not None:
        words = strip(tuple(fill(word, env, state.unknown, hole=HOLE) for word in written)).words
        invocation = read_invocation(words)
    if invocation is None or (invocation.script is None and invocation.path is None):
        raise Untraceable(FROM_INPUT)
    if HOLE in "".join(written) or UNKNOWN in "".join(written):
        raise Untraceable(CONTROL)
    run = Run(source=b"", budget=state.budget, follow=follow, follow_text=follow_text)
    with suppress(Signal):
        follow_shell(invocation, program, run, state)
    return tuple(run.programs)


def _kept(text: str) -> str:
    """A file's text within the limit; a larger one, or one with our own marks, can't be read."""
    return UNKNOWN if len(text) > LONGEST_SCRIPT or HOLE in text else text
