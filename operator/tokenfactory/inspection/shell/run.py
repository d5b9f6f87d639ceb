"""One evaluation of one text: where programs and output go, and how statements end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from tree_sitter import Node

from tokenfactory.inspection.shell.launching import may_serve
from tokenfactory.inspection.shell.limits import MOST_PROGRAMS, TOO_MUCH, Budget, Untraceable
from tokenfactory.inspection.shell.process import Program
from tokenfactory.inspection.shell.state import State, merge
from tokenfactory.inspection.variables import UNKNOWN

CONDITIONAL = "a condition that the pod does not decide chooses what is started"


class Status(Enum):
    """How a command ended. LIKELY: the pod serves only if it worked. UNDECIDED: asks the system."""

    SUCCESS = "success"
    LIKELY = "likely"
    FAILURE = "failure"
    UNDECIDED = "undecided"


class Signal(Exception):
    """Control leaves a sequence of statements."""


class Stop(Signal):
    """`exit`, or `exec` of a program that took the shell's place (`replaced`)."""

    def __init__(self, *, replaced: bool = False) -> None:
        super().__init__()
        self.replaced = replaced


class Leave(Signal):
    """`return`, `break` or `continue`."""

    def __init__(self, *, again: bool = False) -> None:
        super().__init__()
        self.again = again


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`sink` collects what statements print where somebody reads it. `exits` are states at which control
    may have left the function or loop, with the number of programs at that moment."""

    source: bytes
    budget: Budget
    follow: Callable[[Node, Run, State], Status]
    follow_text: Callable[[str, Run, State], Status]
    programs: list[Program] = field(default_factory=list)
    sink: list[str] | None = None
    stdin: str | None = None
    exits: list[tuple[State, int]] = field(default_factory=list)
    level: int = 0

    def print(self, text: str) -> None:
        """Output of a command, for a reader if there is one."""
        if self.sink is not None:
            self.sink.append(self.budget.write(text))

    def start(self, program: Program) -> None:
        """Adds a program; raises Untraceable when there are too many."""
        if len(self.programs) >= MOST_PROGRAMS:
            raise Untraceable(TOO_MUCH)
        self.programs.append(program)

    def settle(self, state: State) -> None:
        """Merges the states at which control may have left; programs after such a point are conditional."""
        if not self.exits:
            return
        if any(may_serve(program.words) or program.opaque for program in self.programs[self.exits[0][1] :]):
            raise Untraceable(CONDITIONAL)
        state.become(merge([state, *(left for left, _ in self.exits)]))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one branch did."""

    state: State
    programs: list[Program]
    sink: list[str] | None
    signal: Signal | None

    @property
    def serving(self) -> tuple[tuple[object, ...], ...]:
        """The programs that matter, comparable."""
        return tuple(
            (program.words, program.opaque, tuple(sorted(program.env.items())))
            for program in self.programs
            if program.opaque or may_serve(program.words)
        )


def branch(run: Run, state: State, options: list[Callable[[Run, State], object]]) -> None:
    """Follows every option on its own and keeps what all of them agree on."""
    outcomes = [_follow_one(run, state, option) for option in options]
    _merge_programs(run, state, outcomes)
    if run.sink is not None:
        sinks = {tuple(outcome.sink or ()) for outcome in outcomes}
        run.sink.extend(sinks.pop() if len(sinks) == 1 else (UNKNOWN,))
    going = [outcome.state for outcome in outcomes if outcome.signal is None]
    left = [outcome for outcome in outcomes if isinstance(outcome.signal, Leave)]
    if going:
        run.exits.extend((outcome.state, len(run.programs)) for outcome in left)
        state.become(merge(going))
        return
    final = left or outcomes
    state.become(merge([outcome.state for outcome in final]))
    raise final[0].signal or Stop


def _follow_one(run: Run, state: State, option: Callable[[Run, State], object]) -> Outcome:
    inner = Run(
        source=run.source,
        budget=run.budget,
        follow=run.follow,
        follow_text=run.follow_text,
        sink=None if run.sink is None else [],
        stdin=run.stdin,
        exits=[],
        level=run.level,
    )
    copy = state.copy()
    signal: Signal | None = None
    try:
        option(inner, copy)
    except Signal as raised:
        signal = raised
    run.exits.extend((left, len(run.programs)) for left, _ in inner.exits)
    return Outcome(copy, inner.programs, inner.sink, signal)


def _merge_programs(run: Run, state: State, outcomes: list[Outcome]) -> None:
    if any(isinstance(outcome.signal, Stop) and outcome.signal.replaced for outcome in outcomes):
        raise Untraceable(CONDITIONAL)
    if len({outcome.serving for outcome in outcomes}) == 1:
        for program in outcomes[0].programs:
            run.start(program)
        return
    if any(outcome.signal for outcome in outcomes):
        raise Untraceable(CONDITIONAL)
    run.start(Program(opaque=CONDITIONAL, files=MappingProxyType(dict(state.files))))
