"""The words that start a shell: its options, the script and the script's own arguments."""

from __future__ import annotations

from dataclasses import dataclass

from tokenfactory.inspection.shell.wrappers import SHELLS, base
from tokenfactory.inspection.variables import UNKNOWN

VALUE_OPTIONS = frozenset({"--rcfile", "--init-file"})


@dataclass(frozen=True, slots=True)
class Invocation:
    """`script` is text given with -c, `path` a file that holds it; both None for a shell without either.

    `name` is what the script sees as `$0`.
    """

    script: str | None = None
    path: str | None = None
    arguments: tuple[str, ...] = ()
    name: str = UNKNOWN


def read_invocation(words: tuple[str, ...]) -> Invocation | None:
    """How the shell is started; None when the words start no shell."""
    if not words or base(words[0]) not in SHELLS:
        return None
    position, given = 1, False
    while position < len(words) and words[position][:1] in ("-", "+") and len(words[position]) > 1:
        word = words[position]
        position += 1
        if word == "--":
            break
        if word.startswith("--"):
            position += 1 if word in VALUE_OPTIONS else 0
            continue
        given = given or (word[0] == "-" and "c" in word)
        position += 1 if word[-1] in "oO" else 0
    rest = words[position:]
    if given:
        name = rest[1] if len(rest) > 1 else words[0]
        return Invocation(script=rest[0] if rest else "", arguments=rest[2:], name=name)
    return Invocation(path=rest[0], arguments=rest[1:], name=rest[0]) if rest else Invocation()
