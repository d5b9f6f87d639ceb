"""The bundled pages: they are what the sandbox renders, and `once -o json` makes of them what is committed.

After a wanted change of the sandbox's pages or of the line's figures:
`python -c "from tests.golden.replay.test_bundled_pages import refresh; refresh()"`.
"""

from __future__ import annotations

import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tokenfactory.cli.main import COMMANDS, build
from tokenfactory.sandbox.bundle import write_bundled_pages

GOLDEN = Path(__file__).with_name("bundled.json")
BUNDLED = Path(str(files("tokenfactory.sandbox").joinpath("bundled")))
DIGITS = 1e-9


def _run_once(folder: Path, output: str) -> str:
    done = CliRunner().invoke(
        build(COMMANDS),
        [
            *("once", "-f", str(folder / "pools.yaml"), "--objects", str(folder / "objects.yaml")),
            *("--metrics", str(folder / "metrics"), "-o", output),
        ],
    )
    assert done.exit_code == 0, done.output
    return done.output


def _texts(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _differences(seen: Any, golden: Any, where: str = "") -> list[str]:
    """Where the two differ. Floats may differ in their last digits: libm's exp is not the same everywhere."""
    if isinstance(seen, dict) and isinstance(golden, dict):
        found = [f"{where}.{key}: only in one" for key in sorted(seen.keys() ^ golden.keys())]
        for key in sorted(seen.keys() & golden.keys()):
            found += _differences(seen[key], golden[key], f"{where}.{key}")
        return found
    if isinstance(seen, list) and isinstance(golden, list) and len(seen) == len(golden):
        pairs = enumerate(zip(seen, golden, strict=True))
        return [text for at, (one, other) in pairs for text in _differences(one, other, f"{where}[{at}]")]
    if isinstance(seen, float) and isinstance(golden, float) and math.isclose(seen, golden, rel_tol=DIGITS):
        return []
    return [] if seen == golden else [f"{where}: {seen!r}, golden {golden!r}"]


def refresh() -> None:
    """Writes the bundled pages and the golden file anew."""
    write_bundled_pages(BUNDLED)
    GOLDEN.write_text(_run_once(BUNDLED, "json"))


def test_once_on_the_bundled_pages_gives_the_golden_document() -> None:
    assert _differences(json.loads(_run_once(BUNDLED, "json")), json.loads(GOLDEN.read_text())) == []


def test_the_comparison_sees_a_number_that_moved_by_a_millionth() -> None:
    golden = json.loads(GOLDEN.read_text())
    moved = json.loads(GOLDEN.read_text())
    figure = next(row for row in moved[0]["figures"] if row["value"] not in (0.0, 1.0))
    figure["value"] *= 1.000001
    assert len(_differences(moved, golden)) == 1


def test_the_bundled_files_are_what_the_sandbox_renders(tmp_path: Path) -> None:
    write_bundled_pages(tmp_path)
    rendered, bundled = _texts(tmp_path), _texts(BUNDLED)
    assert rendered.keys() == bundled.keys()
    assert [name for name in rendered if rendered[name] != bundled[name]] == []


@pytest.mark.parametrize(
    ("pool", "per_million", "per_hour"),
    [("llama-h200", 4.198, 11.28), ("deepseek-gb300", 0.1228, 10.608), ("mixtral-idle", None, 11.28)],
)
def test_the_golden_document_holds_the_truth_of_the_bundled_fleet(
    pool: str, per_million: float | None, per_hour: float
) -> None:
    """GPUs x price over tokens/s of the plans, worked out by hand: 8 x 1.41 / (746.4 x 0.0036) and so on."""
    document = next(item for item in json.loads(GOLDEN.read_text()) if item["name"] == pool)
    rows = {
        (row["name"].removeprefix("tokenfactory_pool_"), *row["labels"]): row["value"]
        for row in document["figures"]
    }
    assert math.isclose(rows["cost_per_hour", "USD"], per_hour, rel_tol=1e-3)
    seen = rows.get(("cost_per_million_tokens", "total", "USD"))
    assert (seen is None) == (per_million is None)
    if seen is not None and per_million is not None:
        assert math.isclose(seen, per_million, rel_tol=1e-3)


def test_the_first_table_shows_every_bundled_pool_and_a_blank_cost_for_the_idle_one() -> None:
    header, *lines = _run_once(BUNDLED, "table").splitlines()
    left, right = header.index("$/MTOK"), header.index("TOK/S/GPU")
    costs = {line.split()[0]: line[left:right].strip() for line in lines if line.startswith("serving/")}
    assert costs == {
        "serving/llama-h200": "4.198",
        "serving/deepseek-gb300": "0.1228",
        "serving/mixtral-idle": "",
    }
