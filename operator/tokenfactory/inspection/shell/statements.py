"""Statements of the tree, followed in the order in which a shell would run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from tree_sitter import Node

from tokenfactory.inspection.shell.assignments import assign, declare, prefixes, unset
from tokenfactory.inspection.shell.commands import run_command
from tokenfactory.inspection.shell.conditions import decide
from tokenfactory.inspection.shell.grammar import parse_script
from tokenfactory.inspection.shell.limits import LONGEST_SCRIPT, NOT_SHELL, TOO_DEEP, Untraceable
from tokenfactory.inspection.shell.loops import follow_case, follow_for, follow_while, forget_assigned
from tokenfactory.inspection.shell.redirections import follow_redirected, input_of
from tokenfactory.inspection.shell.run import Run, Signal, Status, branch
from tokenfactory.inspection.shell.state import Function, State
from tokenfactory.inspection.shell.words import HOLE, Expander
from tokenfactory.inspection.variables import UNKNOWN

REDIRECTIONS = frozenset({"file_redirect", "heredoc_redirect", "herestring_redirect"})
MARKS = frozenset({"{", "}", "(", ")", ";", "\n", "do", "done", "comment", ";;"})
MOST_CLAUSES = 64
BYTES_A_STEP = 16
NOT_FOLLOWED = "the script uses a construct that is not followed"


def follow_text(script: str, run: Run, state: State) -> Status:
    """A whole script. Raises Untraceable, or a Signal that leaves it."""
    run.budget.step(1 + min(len(script), LONGEST_SCRIPT) // BYTES_A_STEP)
    root, source = parse_script(script)
    return follow_all(root.children, replace(run, source=source), state)


def follow_all(nodes: Sequence[Node], run: Run, state: State) -> Status:
    """Statements one after the other; those with `&` behind them on their own."""
    status = Status.SUCCESS
    for position, node in enumerate(nodes):
        if node.type in MARKS or node.type == "&":
            continue
        if position + 1 < len(nodes) and nodes[position + 1].type == "&":
            status = _apart(node, replace(run, sink=None, stdin=None), state)
        else:
            status = follow(node, run, state)
    return status


def follow(node: Node, run: Run, state: State) -> Status:
    """One statement."""
    run.budget.step()
    handler = HANDLERS.get(node.type)
    if handler is None:
        raise Untraceable(NOT_FOLLOWED)
    return handler(node, run, state)


def expander_of(run: Run, state: State) -> Expander:
    """Reads words of the run's text in this state."""
    return Expander(run.source, state, lambda node: _output_of(node, run, state))


def _output_of(node: Node, run: Run, state: State) -> str:
    """What a command substitution prints, without the line ends behind it."""
    sink: list[str] = []
    inner = Run(
        source=run.source,
        budget=run.budget,
        follow=run.follow,
        follow_text=run.follow_text,
        sink=sink,
        level=run.level,
    )
    nodes = [child for child in node.children if child.type not in ("$(", "`", ")")]
    copy = state.subshell()
    if len(nodes) == 1 and nodes[0].type == "file_redirect":
        text = input_of(nodes[0], expander_of(inner, copy))
        return UNKNOWN if text is None else text.rstrip("\n")
    try:
        follow_all(nodes, inner, copy)
    except Signal:
        return UNKNOWN
    except Untraceable:
        return UNKNOWN
    return "".join(sink).rstrip("\n")


def _apart(node: Node, run: Run, state: State) -> Status:
    """In a process of its own: variables are lost, files stay."""
    try:
        return follow(node, replace(run, exits=[]), state.subshell())
    except Signal:
        return Status.LIKELY


def _command(node: Node, run: Run, state: State) -> Status:
    expander = expander_of(run, state)
    redirections = [child for child in node.children if child.type in REDIRECTIONS]
    if redirections:
        return follow_redirected(
            redirections,
            expander,
            run,
            state,
            lambda inner: _simple(node, expander_of(inner, state), inner, state),
        )
    return _simple(node, expander, run, state)


def _simple(node: Node, expander: Expander, run: Run, state: State) -> Status:
    skipped = REDIRECTIONS | {"variable_assignment", "comment"}
    words = expander.words([child for child in node.children if child.type not in skipped])
    assigned = prefixes(node, expander)
    if not words:
        for name, value in assigned.items():
            state.assign(name, value)
        return Status.LIKELY
    return run_command(tuple(word.replace(HOLE, UNKNOWN) for word in words), assigned, run, state)


def _assignments(node: Node, run: Run, state: State) -> Status:
    expander = expander_of(run, state)
    for item in node.children if node.type == "variable_assignments" else [node]:
        assign(item, expander)
    written = run.source[node.start_byte : node.end_byte]
    return Status.UNDECIDED if b"$(" in written or b"`" in written else Status.SUCCESS


def _declaration(node: Node, run: Run, state: State) -> Status:
    declare(node, expander_of(run, state))
    return Status.SUCCESS


def _unset(node: Node, run: Run, state: State) -> Status:
    unset(node, expander_of(run, state))
    return Status.SUCCESS


def _list(node: Node, run: Run, state: State) -> Status:
    parts = [child for child in node.children if child.type != "comment"]
    if len(parts) != 3:
        raise Untraceable(NOT_SHELL)
    return chain(
        follow(parts[0], run, state), parts[1].type, lambda inner, at: follow(parts[2], inner, at), run, state
    )


def chain(
    status: Status, operator: str, then: Callable[[Run, State], Status], run: Run, state: State
) -> Status:
    """`&&` and `||` after a command that ended with `status`."""
    if operator == "&&":
        if status is Status.SUCCESS:
            return then(run, state)
        if status is Status.LIKELY:
            following = then(run, state)
            return Status.LIKELY if following is Status.SUCCESS else following
        if status is Status.FAILURE:
            return status
    elif status is Status.SUCCESS:
        return status
    elif status is Status.FAILURE:
        return then(run, state)
    branch(run, state, [then, lambda _, __: None])
    return Status.LIKELY if status is Status.LIKELY else Status.UNDECIDED


def _pipeline(node: Node, run: Run, state: State) -> Status:
    commands = [child for child in node.children if child.type not in ("|", "|&", "comment")]
    text, status = run.stdin, Status.SUCCESS
    for position, command in enumerate(commands):
        last = position == len(commands) - 1
        sink = run.sink if last else []
        status = _apart(command, replace(run, sink=sink, stdin=text), state)
        text = None if sink is None else "".join(sink)
    return status


def _redirected(node: Node, run: Run, state: State) -> Status:
    body = node.child_by_field_name("body")
    redirections = [child for child in node.children if child.type in REDIRECTIONS]
    return follow_redirected(
        redirections,
        expander_of(run, state),
        run,
        state,
        lambda inner: Status.SUCCESS if body is None else follow(body, inner, state),
    )


def _if(node: Node, run: Run, state: State) -> Status:
    return _clauses(list(_clauses_of(node)), run, state)


def _clauses(clauses: Sequence[tuple[Sequence[Node], Sequence[Node]]], run: Run, state: State) -> Status:
    """The first body whose condition holds; where that is not decided, it and the rest are alternatives."""
    if not clauses:
        return Status.SUCCESS
    condition, body = clauses[0]
    status = follow_all(condition, run, state)
    if status is Status.SUCCESS:
        return follow_all(body, run, state)
    if status is Status.FAILURE:
        return _clauses(clauses[1:], run, state)
    branch(
        run,
        state,
        [lambda inner, at: follow_all(body, inner, at), lambda inner, at: _clauses(clauses[1:], inner, at)],
    )
    return Status.UNDECIDED


def _clauses_of(node: Node) -> Iterator[tuple[Sequence[Node], Sequence[Node]]]:
    """Condition and body of `if`, of each `elif` and, without a condition, of `else`."""
    if node.type == "else_clause":
        yield (), node.children[1:]
        return
    split = next(position for position, child in enumerate(node.children) if child.type == "then")
    following = [child for child in node.children[split + 1 :] if child.type != "fi"]
    clauses = ("elif_clause", "else_clause")
    further = [child for child in following if child.type in clauses]
    if len(further) > MOST_CLAUSES:
        raise Untraceable(TOO_DEEP)
    yield node.children[1:split], [child for child in following if child.type not in clauses]
    for clause in further:
        yield from _clauses_of(clause)


def _test(node: Node, run: Run, state: State) -> Status:
    truth = decide(node, expander_of(run, state))
    if truth is None:
        return Status.UNDECIDED
    return Status.SUCCESS if truth else Status.FAILURE


def _negated(node: Node, run: Run, state: State) -> Status:
    status = follow(node.children[-1], run, state)
    opposite = {Status.SUCCESS: Status.FAILURE, Status.FAILURE: Status.SUCCESS}
    return opposite.get(status, Status.UNDECIDED)


def _compound(node: Node, run: Run, state: State) -> Status:
    if node.children[0].type == "((":
        forget_assigned(node, run, state)
        return Status.UNDECIDED
    return follow_all(node.children, run, state)


def _subshell(node: Node, run: Run, state: State) -> Status:
    try:
        return follow_all(node.children, replace(run, exits=[]), state.subshell())
    except Signal:
        return Status.LIKELY


def _function(node: Node, run: Run, state: State) -> Status:
    name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
    if name is None or body is None:
        raise Untraceable(NOT_SHELL)
    state.functions[run.source[name.start_byte : name.end_byte].decode()] = Function(body, run.source)
    return Status.SUCCESS


def _for(node: Node, run: Run, state: State) -> Status:
    return follow_for(node, expander_of(run, state), run, state)


def _case(node: Node, run: Run, state: State) -> Status:
    return follow_case(node, expander_of(run, state), run, state, follow_all)


Handler = Callable[[Node, Run, State], Status]
HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "command": _command,
        "variable_assignment": _assignments,
        "variable_assignments": _assignments,
        "declaration_command": _declaration,
        "unset_command": _unset,
        "list": _list,
        "pipeline": _pipeline,
        "redirected_statement": _redirected,
        "if_statement": _if,
        "test_command": _test,
        "negated_command": _negated,
        "compound_statement": _compound,
        "do_group": _compound,
        "subshell": _subshell,
        "function_definition": _function,
        "for_statement": _for,
        "case_statement": _case,
        "while_statement": follow_while,
        "c_style_for_statement": follow_while,
    }
)
