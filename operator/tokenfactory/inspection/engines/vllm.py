"""vLLM: `vllm serve`, the API server's module, or the server image with arguments only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.connectors import read_connectors, role_of
from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.arguments import in_context, read_arguments, shown
from tokenfactory.inspection.engines.declaring import NO_PAGE, fixes_of, role_or, unreadable
from tokenfactory.inspection.engines.recognised import (
    Declared,
    MetricsEndpoint,
    MetricsState,
    Recognised,
)
from tokenfactory.inspection.engines.roles import is_follower, is_rank_above_zero, labelled_role
from tokenfactory.inspection.engines.words import (
    base_name,
    find_command,
    find_module,
    own_entrypoint,
    port_of,
    repository_of,
    starts_with_model,
)
from tokenfactory.inspection.flags import Broken, Flags, parse
from tokenfactory.inspection.program import Program
from tokenfactory.inspection.vllm import declare as declare_command
from tokenfactory.inspection.weights import weight_only_forced
from tokenfactory.model import Container, EngineKind, Role

MODULE = "vllm.entrypoints.openai.api_server"
SERVER_IMAGES = ("vllm-openai", "vllm-cpu", "vllm-tpu", "vllm-cuda", "vllm-rocm")
DEFAULT_PORT = 8000
POOLING_TASKS = frozenset({"embed", "embedding", "classify", "score", "reward"})
LOG_STATS = "remove --disable-log-stats"


def recognise(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """The API server of vLLM, a headless follower included."""
    arguments = _arguments(program, container)
    if arguments is None:
        return None
    flags = parse(arguments)
    follower = is_follower(program, labels) or is_headless(flags)
    role = Role.WORKER if follower else labelled_role(labels)
    embedder = is_embedder(flags)
    return Recognised(
        kind=EngineKind.VLLM,
        program=program,
        container=container,
        labels=labels,
        arguments=arguments,
        role=Role.NONE if embedder else role,
        why=sentences.AN_EMBEDDER if embedder else "",
    )


def declare(recognised: Recognised) -> Declared:
    """Five declarations from flags, `--config` (the command line wins) and the model's name."""
    read = read_arguments(recognised)
    if isinstance(read, str):
        return unreadable(recognised, read, metrics=_page(recognised, parse(recognised.arguments)))
    command, why = read
    found = in_context(declare_command(_without_file(command, why)), dummy=False, file_unread=why)
    return Declared(
        declarations=found,
        role=role_or(kv_role(command), recognised),
        metrics=_page(recognised, command.flags),
        model=shown(command),
        fixes=fixes_of(found, "vllm"),
        weight_only=weight_only_forced(command),
    )


def kv_role(command: Command) -> Role | None:
    """Prefill or decode by `kv_role`; None for kv_both, no connector, or one that can't be read."""
    connectors = read_connectors(command)
    return None if isinstance(connectors, Broken) else role_of(connectors)


def is_headless(flags: Flags) -> bool:
    """A follower of a multi-node engine: no HTTP server."""
    return flags.switch("headless") is True or is_rank_above_zero(flags.text("node-rank"))


def is_embedder(flags: Flags) -> bool:
    """A pooling model: it generates no tokens."""
    task = (flags.text("task") or "").lower()
    return task in POOLING_TASKS or (flags.text("runner") or "").lower() == "pooling"


def _arguments(program: Program, container: Container) -> tuple[str, ...] | None:
    module = find_module(program, lambda name: name == MODULE)
    if module:
        return module.rest
    found = find_command(program, lambda name, following: name == "vllm" and following == "serve")
    if found:
        return found.rest[1:]
    image = base_name(repository_of(container.image))
    own = own_entrypoint(program, container) or starts_with_model(program, container)
    if image.startswith(SERVER_IMAGES) and own:
        return program.words
    return None


def _without_file(command: Command, why: str) -> Command:
    """A file that was not found is said once, by `in_context`."""
    if not why:
        return command
    values = {name: value for name, value in command.flags.values.items() if name != "config"}
    return replace(command, flags=replace(command.flags, values=values))


def _page(recognised: Recognised, flags: Flags) -> MetricsEndpoint:
    if recognised.role is Role.WORKER:
        return NO_PAGE
    ports = recognised.container.ports
    port = port_of(flags.text("port"), *map(str, ports[:1]), str(DEFAULT_PORT))
    if flags.switch("enable-log-stats") is False:
        return MetricsEndpoint(port=port, path="/metrics", state=MetricsState.OFF, fix=LOG_STATS)
    return MetricsEndpoint(port=port, path="/metrics", state=MetricsState.ON)
