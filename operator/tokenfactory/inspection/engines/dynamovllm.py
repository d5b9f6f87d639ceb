"""Dynamo's vLLM worker: vLLM's arguments, and Dynamo's word on disaggregation and connectors."""

from __future__ import annotations

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.connectors import CONFIG, OFFLOAD, TRANSFER, read_connectors
from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.arguments import in_context, read_arguments, shown
from tokenfactory.inspection.engines.declaring import S, fixes_of, role_or, say, unreadable
from tokenfactory.inspection.engines.dynamopage import MODE, mode_is_hidden, mode_of, system_page
from tokenfactory.inspection.engines.kvbm import check_kvbm
from tokenfactory.inspection.engines.recognised import (
    Declared,
    MetricsEndpoint,
    MetricsState,
    Recognised,
)
from tokenfactory.inspection.engines.roles import NAMED
from tokenfactory.inspection.engines.vllm import kv_role
from tokenfactory.inspection.engines.words import image_version
from tokenfactory.inspection.flags import Broken
from tokenfactory.inspection.values import FROM_A_VARIABLE, broken_value
from tokenfactory.inspection.vllm import declare as declare_command
from tokenfactory.inspection.weights import weight_only_forced
from tokenfactory.model import Declaration, OptimizationName, Role

VARIABLE = "DYN_VLLM_DISAGGREGATION_MODE"
CONNECTOR = "--connector"
REMOVED_IN = (1, 6)
REMOVED = "--connector is removed in this version: the worker refuses to start"
OLD_DEFAULT = ("nixl",)
PARTS = frozenset({Role.PREFILL, Role.DECODE})
LOG_STATS = "remove --disable-log-stats"
FAMILY = "dynamo-vllm"


def declare(recognised: Recognised) -> Declared:
    """vLLM's five, with offloading and disaggregation by Dynamo's rules."""
    read = read_arguments(recognised)
    if isinstance(read, str):
        return unreadable(recognised, read, metrics=_page(recognised, None))
    command, why = read
    fp4, spec, offload, mtp, _ = declare_command(command)
    image = recognised.container.image
    found = in_context(
        (
            fp4,
            spec,
            check_offloading(command, offload, image=image),
            mtp,
            check_disaggregation(recognised, command),
        ),
        dummy=False,
        file_unread=why,
    )
    role = mode_of(command, VARIABLE)
    return Declared(
        declarations=found,
        role=role_or(kv_role(command) if role is None else role, recognised),
        metrics=_page(recognised, command),
        model=shown(command),
        fixes=fixes_of(found, FAMILY),
        weight_only=weight_only_forced(command),
    )


def check_offloading(command: Command, found: Declaration, *, image: str) -> Declaration:
    """Connectors of older versions (`--connector`), when vLLM's own flags ask for no offloading."""
    named = connectors_of(command)
    if found.state is not S.NOT_DECLARED or not {"kvbm", "lmcache"} & set(named):
        return found
    name = OptimizationName.KV_CACHE_OFFLOADING
    if _removed(image):
        return say(name, S.INVALID, REMOVED, source=CONNECTOR)
    if "kvbm" in named:
        return check_kvbm(command.env, command.unknown_env, source=CONNECTOR)
    return say(name, S.DECLARED, "LMCache keeps KV blocks outside of the GPU", source=CONNECTOR)


def check_disaggregation(recognised: Recognised, command: Command) -> Declaration:
    """The mode says whether the worker is a part of a pair; a connector alone does not."""
    name = OptimizationName.DISAGGREGATED_SERVING
    role = mode_of(command, VARIABLE)
    if role is None and mode_is_hidden(command, VARIABLE):
        return say(name, S.OPAQUE, FROM_A_VARIABLE, source=MODE)
    source = MODE
    if role is None:
        role, source = kv_role(command) or NAMED.get(recognised.role.value), CONFIG
    if role not in PARTS:
        why = "the worker is aggregated: a connector alone does not disaggregate"
        return say(name, S.NOT_DECLARED, why, source=MODE if source == MODE and role else "")
    connectors = read_connectors(command)
    if isinstance(connectors, Broken):
        return broken_value(name, connectors, source=CONFIG)
    if any(item.name in TRANSFER or item.name not in OFFLOAD for item in connectors):
        return say(name, S.DECLARED, sentences.ROLE_IS.format(role=role.value), source=source)
    return _by_old_connector(recognised, command, role)


def connectors_of(command: Command) -> tuple[str, ...]:
    """What `--connector` or DYN_CONNECTOR names, in lower case."""
    written = command.flags.text("connector")
    if written is None:
        written = command.env.get("DYN_CONNECTOR", "")
    return tuple(written.lower().replace(",", " ").split())


def _by_old_connector(recognised: Recognised, command: Command, role: Role) -> Declaration:
    """No transfer connector by vLLM's flag: older versions had their own, nixl by default."""
    name = OptimizationName.DISAGGREGATED_SERVING
    named = connectors_of(command)
    if "is-prefill-worker" in command.flags.values or "is-decode-worker" in command.flags.values:
        named = named or OLD_DEFAULT
    if named and _removed(recognised.container.image):
        return say(name, S.INVALID, REMOVED, source=CONNECTOR)
    if "nixl" in named:
        return say(name, S.DECLARED, sentences.ROLE_IS.format(role=role.value), source=CONNECTOR)
    why = f"a {role.value} worker without a transfer connector in {CONFIG} moves no KV blocks"
    return say(name, S.INVALID, why, source=MODE)


def _removed(image: str) -> bool:
    version = image_version(image)
    return version is not None and version >= REMOVED_IN


def _page(recognised: Recognised, command: Command | None) -> MetricsEndpoint:
    if command is not None and command.flags.switch("enable-log-stats") is False:
        return system_page(recognised, MetricsState.PARTIAL, fix=LOG_STATS)
    return system_page(recognised, MetricsState.ON)
