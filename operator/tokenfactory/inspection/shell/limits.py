"""What following one command line may cost. Everything is counted, nothing is timed."""

from __future__ import annotations

LONGEST_SCRIPT = 64 * 1024
MOST_STEPS = 50_000
MOST_TEXT = 2 * 1024 * 1024
MOST_PROGRAMS = 64
DEEPEST = 100
DEEPEST_SCRIPT = 4

TOO_LONG = "the script is longer than 64 KiB"
TOO_MUCH = "the script takes too many steps to follow"
TOO_DEEP = "the script is nested too deeply to follow"
CONTROL = "the script holds control characters"
NOT_SHELL = "the script is not shell that the grammar understands"
ENDLESS = "the script is too irregular to be parsed within its budget"


class Untraceable(Exception):
    """A script that can't be followed; `reason` is one sentence without any word of the script."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Budget:
    """Steps and characters that are left for one container."""

    def __init__(self, *, steps: int = MOST_STEPS, text: int = MOST_TEXT) -> None:
        self.steps = steps
        self.text = text

    def step(self, count: int = 1) -> None:
        """Spends `count` steps; raises Untraceable when none is left."""
        self.steps -= count
        if self.steps < 0:
            raise Untraceable(TOO_MUCH)

    def write(self, text: str) -> str:
        """Spends the length of `text`, which is returned; raises Untraceable when nothing is left."""
        self.text -= len(text) + 1
        if self.text < 0:
            raise Untraceable(TOO_MUCH)
        return text
