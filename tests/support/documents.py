"""The Markdown files of the repository, and the parts of them that can be checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = (
    *sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))),
    Path("hack/README.md"),
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")


def read(page: str | Path) -> str:
    """The text of a page, named by its path from the root."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> tuple[str, ...]:
    """The fenced blocks in one of the languages."""
    return tuple(body for language, body in _FENCE.findall(text) if language in languages)


def prose(text: str) -> str:
    """The text without fenced blocks."""
    return _FENCE.sub("", text)


def section(text: str, heading: str) -> str:
    """What stands below `heading` (with its marks), up to the next heading of its depth or above.

    Raises ValueError when there is none.
    """
    lines = prose(text).splitlines()
    start = lines.index(heading) + 1
    depth = len(heading) - len(heading.lstrip("#"))
    ends = (number for number, line in enumerate(lines[start:], start) if re.match(rf"#{{1,{depth}}} ", line))
    return "\n".join(lines[start : next(ends, len(lines))])


def rows(text: str) -> Iterator[tuple[str, ...]]:
    """The cells of every table row that begins with code, the row's subject."""
    for line in text.splitlines():
        if line.startswith("| `"):
            yield tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])


def codes(cell: str) -> tuple[str, ...]:
    """What a cell sets in code."""
    return tuple(_CODE.findall(cell))


def anchors(text: str) -> frozenset[str]:
    """The anchors that headings make."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return frozenset(heading.replace(" ", "-") for heading in plain)
