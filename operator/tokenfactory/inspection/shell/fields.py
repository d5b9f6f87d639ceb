"""Words put together from pieces, with the shell's splitting at blanks."""

from __future__ import annotations

from collections.abc import Sequence

from tokenfactory.inspection.shell.limits import Budget

BLANKS = " \t\n"


class Fields:
    """Collects the fields that one word of a script becomes: none, one or many."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._done: list[str] = []
        self._current: list[str] | None = None

    def add(self, text: str) -> None:
        """Text that is never split; an empty one still makes a word."""
        self._budget.write(text)
        if self._current is None:
            self._current = []
        self._current.append(text)

    def split(self, text: str) -> None:
        """An expansion outside of quotes: split at blanks, nothing when empty."""
        if text[:1] and text[0] in BLANKS:
            self._close()
        parts = text.split()
        for position, part in enumerate(parts):
            if position:
                self._close()
            self.add(part)
        if parts and text[-1] in BLANKS:
            self._close()

    def spread(self, items: Sequence[str]) -> None:
        """`"${A[@]}"`: one word for each item, the first and the last joined with their neighbours."""
        for position, item in enumerate(items):
            if position:
                self._close()
            self.add(item)

    def take(self) -> list[str]:
        """The finished fields."""
        self._close()
        return self._done

    def _close(self) -> None:
        if self._current is not None:
            self._budget.step()
            self._done.append("".join(self._current))
            self._current = None
