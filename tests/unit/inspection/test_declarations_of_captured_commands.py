"""The command lines under which the captured pages were made, and what each of them declares."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.unit.inspection.engines_of import inspected
from tokenfactory.model import DeclarationState, Role

CAPTURES = Path(__file__).parents[2] / "golden" / "captures" / "vllm-0.32.0"
S = DeclarationState
NOT = S.NOT_DECLARED
NOTHING = [NOT] * 5

EXPECTED = {
    "a-plain": (NOTHING, Role.AGGREGATED),
    "a-queue-during": (NOTHING, Role.AGGREGATED),
    "b-ngram-drafts-rejected": ([NOT, S.DECLARED, NOT, NOT, NOT], Role.AGGREGATED),
    "b-ngram-effective": ([NOT, S.DECLARED, NOT, NOT, NOT], Role.AGGREGATED),
    "c-example-connector-shared-storage": (NOTHING, Role.AGGREGATED),
    "c-offload-outoftree-effective": ([NOT, NOT, S.DECLARED, NOT, NOT], Role.AGGREGATED),
    "c-offload-outoftree-stored-never-loaded": ([NOT, NOT, S.DECLARED, NOT, NOT], Role.AGGREGATED),
    "d-prefix-caching-off": (NOTHING, Role.AGGREGATED),
    "d-prefix-declared-short-prompts": (NOTHING, Role.AGGREGATED),
    "e-api-server-count-2": (NOTHING, Role.AGGREGATED),
    "f-load-format-dummy": (NOTHING, Role.AGGREGATED),
    "g-pd-example/decode": ([NOT, NOT, NOT, NOT, S.DECLARED], Role.DECODE),
    "g-pd-example/prefill": ([NOT, NOT, NOT, NOT, S.DECLARED], Role.PREFILL),
    "g-pd-nixl/decode": ([NOT, NOT, NOT, NOT, S.DECLARED], Role.DECODE),
    "g-pd-nixl/prefill": ([NOT, NOT, NOT, NOT, S.DECLARED], Role.PREFILL),
}


def test_every_captured_command_is_looked_at() -> None:
    found = {str(path.parent.relative_to(CAPTURES)) for path in CAPTURES.rglob("command.txt")}
    assert found == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_a_captured_command_declares(name: str) -> None:
    line = (CAPTURES / name / "command.txt").read_text(encoding="utf-8")
    words = shlex.split(line[line.index("vllm serve") :])
    states, role = EXPECTED[name]
    found = inspected(command=tuple(words), args=())
    assert [item.state for item in found.declarations] == states
    assert (found.role, found.model) == (role, "tiny")
