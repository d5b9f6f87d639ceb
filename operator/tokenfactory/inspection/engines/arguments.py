"""A recognised process's arguments as the checks read them, configuration files merged in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.declaring import IN_EFFECT, S
from tokenfactory.inspection.engines.documents import with_config
from tokenfactory.inspection.engines.recognised import Recognised
from tokenfactory.inspection.engines.words import shown_model
from tokenfactory.inspection.flags import parse
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.model import Declaration

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{1,15}://", re.ASCII)
CONFIG = "--config"
LOAD_FORMAT = "--load-format"


def read_arguments(recognised: Recognised) -> tuple[Command, str] | str:
    """The command with `--config FILE` merged below it, and why that file could not be read.

    In one sentence instead, why the whole line is opaque.
    """
    arguments, why = with_config(recognised.arguments, recognised.program.files)
    command = command_of(recognised, arguments)
    return command if isinstance(command, str) else (command, why)


def command_of(recognised: Recognised, arguments: Sequence[str]) -> Command | str:
    """The parsed arguments; in one sentence why they are opaque."""
    flags = parse(arguments)
    if flags.stray_unknown:
        return sentences.IN_A_VARIABLE
    written = flags.text("model-path") or flags.first or flags.text("model") or ""
    return Command(
        flags=flags,
        env=recognised.program.env,
        unknown_env=recognised.program.unknown_env,
        model=written if UNKNOWN in written else shown_model(written),
        remote=bool(_SCHEME.match(written)),
    )


def shown(command: Command) -> str:
    """The model as it may be shown, empty when a piece of it is not known."""
    return "" if UNKNOWN in command.model else command.model


def in_context(found: tuple[Declaration, ...], *, dummy: bool, file_unread: str) -> tuple[Declaration, ...]:
    """Dummy weights make every claim fiction; a file that can't be read may ask for what no flag does."""
    return tuple(_in_context(item, dummy=dummy, file_unread=file_unread) for item in found)


def _in_context(item: Declaration, *, dummy: bool, file_unread: str) -> Declaration:
    if dummy and item.state in IN_EFFECT:
        return replace(item, state=S.SIMULATED, source=LOAD_FORMAT, explanation=sentences.DUMMY)
    if file_unread and item.state is S.NOT_DECLARED:
        return replace(item, state=S.OPAQUE, source=CONFIG, explanation=file_unread)
    return item
