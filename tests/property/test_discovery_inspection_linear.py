"""Any command line is read without raising, and the work grows with its length only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.inspection.engines_of import container, engine, fleet_of
from tokenfactory.discovery.programs import find_program
from tokenfactory.inspection.fleet import inspect

PROGRAMS = ["vllm", "serve", "bash", "-c", "-m", "vllm.entrypoints.openai.api_server"]
FLAGS = ["--speculative-config", "-sc", "--kv-transfer-config", "--quantization", "--config", "--model"]
VALUES = ['{"method":"mtp"}', '{"kv_connector":"MultiConnector"}', "$(A)", "$(B)", "mxfp4", "{", "}", ""]
ODDITIES = ["--no-", "--", "-", "--a.b.c", "--x+", "=", "\x00"]
PIECES = st.sampled_from(PROGRAMS + FLAGS + VALUES + ODDITIES)
WORDS = st.lists(PIECES | st.text(max_size=12), max_size=20).map(tuple)


@given(WORDS, WORDS, st.lists(st.tuples(st.sampled_from("ABC"), st.text(max_size=8)), max_size=4).map(tuple))
@settings(max_examples=400, deadline=None)
def test_any_command_line_gets_five_declarations(command: Any, args: Any, env: Any) -> None:
    found = inspect(fleet_of(engine(*args, command=command, env=env)))[0]
    assert len(found.declarations) == 5
    assert all(item.explanation for item in found.declarations)
    assert all(item.explanation.isprintable() for item in found.declarations)
    find_program(container(*args, command=command, env=env))


def calls_of(action: Callable[[], object]) -> int:
    """Python function calls made by `action`: a measure of work that no other process disturbs."""
    count = 0

    def count_call(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def test_work_grows_no_faster_than_the_command_line() -> None:
    def work(words: int) -> int:
        args = tuple(f"--flag-{number}.a.b=$(A){{[" for number in range(words))
        return calls_of(lambda: inspect(fleet_of(engine(*args, env=(("A", "x" * 64),)))))

    assert work(400) < 2.5 * work(200)
