"""The resources of crds/examples, and what the API server says to the invalid ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).parents[2] / "crds"
MARK = "# rejected: "


def list_examples(folder: str) -> tuple[Path, ...]:
    """Files of crds/examples/`folder`, `valid` or `invalid`, by name."""
    return tuple(sorted((CRDS / "examples" / folder).glob("*.yaml")))


def sentence(path: Path) -> str:
    """The name of an example as a test id."""
    return path.stem.replace("-", " ")


def load_example(path: Path) -> dict[str, Any]:
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(body, dict)
    return body


def expected_rejection(path: Path) -> str:
    """The part of the API server's message that names the field and the fix."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(MARK), f"{path.name} does not say how it is rejected"
    return first.removeprefix(MARK)
