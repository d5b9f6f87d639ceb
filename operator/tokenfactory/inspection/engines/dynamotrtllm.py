"""Dynamo's TensorRT-LLM worker: override JSON over the engine's YAML, and Dynamo's mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.arguments import command_of, shown
from tokenfactory.inspection.engines.declaring import S, fixes_of, role_or, say, unreadable
from tokenfactory.inspection.engines.documents import Unreadable, merge, parse_document, read_document
from tokenfactory.inspection.engines.dynamopage import MODE, mode_is_hidden, mode_of, system_page
from tokenfactory.inspection.engines.recognised import (
    Declared,
    MetricsEndpoint,
    MetricsState,
    Recognised,
)
from tokenfactory.inspection.engines.roles import NAMED
from tokenfactory.inspection.engines.trtllmchecks import Settings, declare_settings, is_weight_only
from tokenfactory.inspection.engines.words import switched_on
from tokenfactory.inspection.values import FROM_A_VARIABLE
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.model import Declaration, OptimizationName, Role

VARIABLE = "DYN_TRTLLM_DISAGGREGATION_MODE"
EXTRA = "DYN_TRTLLM_EXTRA_ENGINE_ARGS"
OVERRIDE = "DYN_TRTLLM_OVERRIDE_ENGINE_ARGS"
PUBLISH = "DYN_TRTLLM_PUBLISH_METRICS"
PUBLISH_METRICS = "add --publish-metrics"
PARTS = frozenset({Role.PREFILL, Role.DECODE})


def declare(recognised: Recognised) -> Declared:
    """TensorRT-LLM's five, with disaggregation by Dynamo's mode."""
    command = command_of(recognised, recognised.arguments)
    if isinstance(command, str):
        return unreadable(recognised, command, metrics=_page(recognised, None))
    settings = read_settings(recognised, command)
    own = declare_settings(settings)
    found = (*own[:-1], check_disaggregation(recognised, settings, own[-1]))
    return Declared(
        declarations=found,
        role=role_or(mode_of(command, VARIABLE), recognised),
        metrics=_page(recognised, command),
        model=shown(command),
        fixes=fixes_of(found, "dynamo-trtllm"),
        weight_only=is_weight_only(settings),
    )


def read_settings(recognised: Recognised, command: Command) -> Settings:
    """`--extra-engine-args` (a file) with `--override-engine-args` (JSON) over it."""
    files = recognised.program.files
    path = command.flags.text("extra-engine-args") or command.env.get(EXTRA)
    low: Mapping[str, Any] | Unreadable = read_document(files, path) if path else {}
    if not path and EXTRA in command.unknown_env:
        low = Unreadable(FROM_A_VARIABLE)
    written = command.flags.text("override-engine-args") or command.env.get(OVERRIDE)
    high: Mapping[str, Any] | Unreadable = parse_document(written) if written else {}
    if not written and OVERRIDE in command.unknown_env:
        high = Unreadable(FROM_A_VARIABLE)
    why = next((item.why for item in (low, high) if isinstance(item, Unreadable)), "")
    if isinstance(high, Unreadable):
        return Settings(command=command, document={}, unread=why)
    return Settings(
        command=_with_connector(command),
        document=merge({} if isinstance(low, Unreadable) else low, high),
        unread=why,
    )


def check_disaggregation(recognised: Recognised, settings: Settings, found: Declaration) -> Declaration:
    """The mode says the role; a configuration that was read without a transceiver makes it invalid."""
    name = OptimizationName.DISAGGREGATED_SERVING
    role = mode_of(settings.command, VARIABLE)
    if role is None and mode_is_hidden(settings.command, VARIABLE):
        return say(name, S.OPAQUE, FROM_A_VARIABLE, source=MODE)
    if role is None:
        role = NAMED.get(recognised.role.value)
    if role not in PARTS:
        why = "the worker is aggregated: a cache transceiver alone does not disaggregate"
        return say(name, S.NOT_DECLARED, why, source=MODE if role else "")
    if found.state is S.NOT_DECLARED and not settings.unread:
        why = "a disaggregated worker without cache_transceiver_config.backend moves no KV blocks"
        return say(name, S.INVALID, why, source=MODE)
    if found.state is S.SIMULATED:
        return found
    return say(name, S.DECLARED, sentences.ROLE_IS.format(role=role.value), source=MODE)


def _with_connector(command: Command) -> Command:
    """DYN_CONNECTOR where no flag names a connector."""
    variable = command.env.get("DYN_CONNECTOR")
    if variable is None or command.flags.text("connector") is not None:
        return command
    values = {**command.flags.values, "connector": variable if UNKNOWN not in variable else UNKNOWN}
    return replace(command, flags=replace(command.flags, values=values))


def _page(recognised: Recognised, command: Command | None) -> MetricsEndpoint:
    given = command.flags.values if command else {}
    if "publish-metrics" in given or "publish-events-and-metrics" in given:
        return system_page(recognised, MetricsState.ON)
    if switched_on(recognised.program.env, PUBLISH):
        return system_page(recognised, MetricsState.ON)
    return system_page(recognised, MetricsState.PARTIAL, fix=PUBLISH_METRICS)
