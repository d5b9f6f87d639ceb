"""The page of engines is made from the code, and the code reads what the page names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hack import render_engine_reference

from tokenfactory.inspection.engines.understood import UNDERSTOOD
from tokenfactory.model import Histogram, Level, OptimizationName, Signal

ROOT = Path(__file__).parents[3]
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "operator/tokenfactory/inspection").rglob("*.py"))
    if path.name not in ("understood.py", "sentences.py")
)


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs/reference/engines.md").read_text(encoding="utf-8")
    assert page == render_engine_reference.render(), "run .venv/bin/python hack/render_engine_reference.py"


@pytest.mark.parametrize("title", [engine.title for engine in UNDERSTOOD])
def test_every_name_on_the_page_is_read_by_the_code(title: str) -> None:
    engine = next(item for item in UNDERSTOOD if item.title == title)
    assert set(engine.read) == set(OptimizationName)
    for sources in engine.read.values():
        for name in sources:
            key = name.lstrip("-").rsplit(".", 1)[-1]
            found = any(form in SOURCES for form in (name, f'"{key}"', f'"{key.replace("_", "-")}"'))
            assert found or name == "as the engine", name


def test_every_signal_that_some_engine_gives_has_a_meaning_on_the_page() -> None:
    known = set(render_engine_reference.MEANINGS)
    assert known == {*Signal, *Histogram, *Level}
    for system in render_engine_reference.SYSTEMS:
        assert set(system.families) | set(system.levels) <= known
