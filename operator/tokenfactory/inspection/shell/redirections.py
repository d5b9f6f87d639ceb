"""What a command reads and writes: here-documents, files and the text in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tree_sitter import Node

from tokenfactory.inspection.shell.run import Run, Signal, Status, branch
from tokenfactory.inspection.shell.state import State
from tokenfactory.inspection.shell.words import Expander
from tokenfactory.inspection.variables import UNKNOWN

WRITES = frozenset({">", ">|", "&>", ">>", "&>>"})
APPENDS = frozenset({">>", "&>>"})
READS = frozenset({"<"})


def input_of(node: Node, expander: Expander) -> str | None:
    """The text that `<`, `<<` or `<<<` gives; None when the node is no input or the text is not known."""
    if node.type == "herestring_redirect":
        return expander.text(node.children[-1]) + "\n"
    if node.type == "heredoc_redirect":
        body = next((child for child in node.children if child.type == "heredoc_body"), None)
        start = next((child for child in node.children if child.type == "heredoc_start"), None)
        if body is None or start is None:
            return ""
        literal = any(mark in expander.raw(start) for mark in "'\"\\")
        return expander.heredoc(body, literal=literal, tabs=node.children[0].type == "<<-")
    if any(child.type in READS for child in node.children):
        return expander.state.read_file(_destination(node, expander))
    return None


def follow_redirected(
    nodes: Sequence[Node], expander: Expander, run: Run, state: State, body: Callable[[Run], Status]
) -> Status:
    """Follows `body` with its input and output redirected, then what a here-document's line goes on with."""
    flat = [*nodes, *(child for node in nodes for child in node.children if child.type == "file_redirect")]
    stdin = run.stdin
    for node in flat:
        if node.type != "file_redirect" or any(child.type in READS for child in node.children):
            stdin = input_of(node, expander)
    outputs = [node for node in flat if _writes(node, expander)]
    sink: list[str] | None = [] if outputs else run.sink
    rest = [child for node in nodes if node.type == "heredoc_redirect" for child in _continued(node)]
    piped = bool(rest) and rest[0].type in ("|", "|&", "pipeline")
    if piped and sink is run.sink:
        sink = []
    inner = replace(run, sink=sink, stdin=stdin)
    try:
        status = body(inner)
    finally:
        for node in outputs:
            _write(node, "".join(sink or ()), expander, state)
    if not rest:
        return status
    return _go_on(rest, status, replace(run, stdin="".join(sink or ()) if piped else run.stdin), state)


def _go_on(rest: Sequence[Node], status: Status, run: Run, state: State) -> Status:
    """`&& command` or `| command` behind the mark of a here-document."""
    operator, command = rest[0].type, rest[-1]
    if operator in ("|", "|&", "pipeline"):
        commands = [
            child for child in (rest[0].children if operator == "pipeline" else rest) if child.is_named
        ]
        for command in commands:
            sink: list[str] | None = run.sink if command is commands[-1] else []
            try:
                status = run.follow(command, replace(run, sink=sink, exits=[]), state.subshell())
            except Signal:
                status = Status.LIKELY
            run = replace(run, stdin="".join(sink or ()))
        return status
    certain = (Status.SUCCESS, Status.LIKELY) if operator == "&&" else (Status.FAILURE,)
    if status in certain:
        return run.follow(command, run, state)
    if status is (Status.FAILURE if operator == "&&" else Status.SUCCESS):
        return status
    branch(run, state, [lambda inner, at: inner.follow(command, inner, at), lambda _, __: None])
    return Status.UNDECIDED


def _continued(node: Node) -> list[Node]:
    """The nodes of a here-document's first line that are neither its mark nor a redirection."""
    known = {"<<", "<<-", "heredoc_start", "heredoc_body", "heredoc_end", "file_redirect", "comment", "\n"}
    return [child for child in node.children if child.type not in known]


def _writes(node: Node, expander: Expander) -> bool:
    """Whether standard output goes to a file that a later command may read."""
    if node.type != "file_redirect" or not any(child.type in WRITES for child in node.children):
        return False
    descriptor = node.child_by_field_name("descriptor")
    standard = descriptor is None or expander.raw(descriptor) == "1"
    return standard and not _destination(node, expander).startswith(("/dev/", "/proc/"))


def _write(node: Node, text: str, expander: Expander, state: State) -> None:
    path = _destination(node, expander)
    if any(child.type in APPENDS for child in node.children):
        before = state.read_file(path)
        text = (UNKNOWN if before is None else before) + text
    state.write_file(path, text)


def _destination(node: Node, expander: Expander) -> str:
    found = node.child_by_field_name("destination")
    return UNKNOWN if found is None else expander.text(found)
