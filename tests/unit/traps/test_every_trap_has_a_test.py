"""The 27 public mistakes that the cost model answers (docs/cost-model.md): each has a test of its own."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
TRAPS = 27


def test_every_trap_has_a_named_test() -> None:
    text = "".join(path.read_text() for path in sorted(HERE.glob("test_traps_*.py")))
    numbers = {int(found) for found in re.findall(r"^def test_T(\d\d)_", text, re.MULTILINE)}
    assert numbers == set(range(1, TRAPS + 1))
