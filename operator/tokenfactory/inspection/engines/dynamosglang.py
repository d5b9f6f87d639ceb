"""Dynamo's SGLang worker: SGLang's arguments, a section of a shared file, and the system port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines import sglang
from tokenfactory.inspection.engines.arguments import in_context, read_arguments, shown
from tokenfactory.inspection.engines.declaring import fixes_of, role_or, unreadable
from tokenfactory.inspection.engines.documents import Unreadable, as_words, read_document, section
from tokenfactory.inspection.engines.dynamopage import system_page
from tokenfactory.inspection.engines.recognised import (
    Declared,
    MetricsEndpoint,
    MetricsState,
    Recognised,
)
from tokenfactory.inspection.engines.roles import NAMED
from tokenfactory.inspection.flags import parse

FILE = ("disagg-config", "DYN_SGL_DISAGG_CONFIG")
KEY = ("disagg-config-key", "DYN_SGL_DISAGG_CONFIG_KEY")
NO_SECTION = "the section that --disagg-config-key names can't be read"


def declare(recognised: Recognised) -> Declared:
    """SGLang's five; `--disagg-config` with its key brings more arguments from a file."""
    merged, unread = _with_section(recognised)
    read = read_arguments(merged)
    if isinstance(read, str):
        return unreadable(recognised, read, metrics=_page(recognised, None))
    command, why = read
    own = sglang.declare_command(command)
    found = in_context(own, dummy=sglang.is_dummy(command), file_unread=why or unread)
    keyed = NAMED.get(_written(recognised, KEY).lower()) if unread else None
    return Declared(
        declarations=found,
        role=role_or(sglang.mode_of(command) or keyed, recognised),
        metrics=_page(recognised, command),
        model=shown(command),
        fixes=fixes_of(found, "sglang"),
        weight_only=sglang.is_weight_only(command),
    )


def _with_section(recognised: Recognised) -> tuple[Recognised, str]:
    """Arguments of the named section before those of the command line; why it can't be read."""
    path, key = _written(recognised, FILE), _written(recognised, KEY)
    if not path:
        return recognised, ""
    document = read_document(recognised.program.files, path)
    if isinstance(document, Unreadable):
        return recognised, document.why
    body: Mapping[str, object] | None = section(document, key)
    if body is None:
        return recognised, NO_SECTION
    return replace(recognised, arguments=(*as_words(body), *recognised.arguments)), ""


def _written(recognised: Recognised, names: tuple[str, str]) -> str:
    flag, variable = names
    return parse(recognised.arguments).text(flag) or recognised.program.env.get(variable, "")


def _page(recognised: Recognised, command: Command | None) -> MetricsEndpoint:
    if command is not None and command.flags.switch("enable-metrics"):
        return system_page(recognised, MetricsState.ON)
    return system_page(recognised, MetricsState.PARTIAL, fix=sglang.ENABLE_METRICS)
