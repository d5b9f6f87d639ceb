"""TensorRT-LLM: `trtllm-serve`, alone, as a disaggregated worker, or as the workers of one MPI job."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.arguments import command_of, shown
from tokenfactory.inspection.engines.declaring import NO_PAGE, fixes_of, role_or, unreadable
from tokenfactory.inspection.engines.documents import Unreadable, merge, read_document, section
from tokenfactory.inspection.engines.recognised import (
    Declared,
    MetricsEndpoint,
    MetricsState,
    Recognised,
)
from tokenfactory.inspection.engines.roles import is_follower, labelled_role
from tokenfactory.inspection.engines.trtllmchecks import Settings, declare_settings, is_weight_only
from tokenfactory.inspection.engines.words import find_command, port_of
from tokenfactory.inspection.flags import Flags
from tokenfactory.inspection.program import Program
from tokenfactory.model import Container, EngineKind, Role

PROGRAM = "trtllm-serve"
MPI_WORKER = "disaggregated_mpi_worker"
ORCHESTRATOR = "disaggregated"
EMBEDDER = "mm_embedding_serve"
SUBCOMMANDS = frozenset({"serve", "grpc", MPI_WORKER, EMBEDDER})
FILE_FLAGS = ("extra-llm-api-options", "config", "config-file", "-c")
DEFAULT_PORT = 8000
PAGE = "/prometheus/metrics"
PERF_METRICS = "set return_perf_metrics: true and enable_iter_perf_stats: true in the file of --config"
ITERATIONS = "set enable_iter_perf_stats: true in the file of --config"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ANY_HOST = "add --host 0.0.0.0: the page is on localhost only"
ROLES: Mapping[str, Role] = MappingProxyType({"CONTEXT": Role.PREFILL, "GENERATION": Role.DECODE})


def recognise(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """`trtllm-serve`, whatever launches it; the orchestrator is a router and not recognised here."""
    found = find_command(program, lambda name, after: name == PROGRAM and after != ORCHESTRATOR)
    if found is None:
        return None
    embedder = found.rest[:1] == (EMBEDDER,)
    role = Role.WORKER if is_follower(program, labels) else labelled_role(labels)
    return Recognised(
        kind=EngineKind.TENSORRT_LLM,
        program=program,
        container=container,
        labels=labels,
        arguments=found.rest,
        role=Role.NONE if embedder else role,
        why=sentences.AN_EMBEDDER if embedder else "",
    )


def declare(recognised: Recognised) -> Declared:
    """Five declarations from the YAML file, which wins over the command line, and the model's name."""
    subcommand, arguments = _split(recognised.arguments)
    command = command_of(recognised, arguments)
    if isinstance(command, str):
        page = MetricsEndpoint(path=PAGE, state=MetricsState.OFF, fix=PERF_METRICS, unread=True)
        return unreadable(recognised, command, metrics=page)
    settings = _settings(recognised, command, whole_job=subcommand == MPI_WORKER)
    found = declare_settings(settings)
    return Declared(
        declarations=found,
        role=role_or(ROLES.get((command.flags.text("server-role") or "").upper()), recognised),
        metrics=_page(recognised, command.flags, settings, subcommand=subcommand),
        model=shown(settings.command),
        fixes=fixes_of(found, "trtllm"),
        weight_only=is_weight_only(settings),
    )


def read_files(
    command: Command, files: Mapping[str, str], flags: tuple[str, ...]
) -> Mapping[str, object] | Unreadable:
    """The document of the last of these flags that is given; an empty one when none is."""
    path = next((command.flags.text(name) for name in flags if command.flags.text(name)), None)
    return {} if not path else read_document(files, path)


def _settings(recognised: Recognised, command: Command, *, whole_job: bool) -> Settings:
    document = read_files(command, recognised.program.files, FILE_FLAGS)
    if isinstance(document, Unreadable):
        return Settings(command=command, document={}, unread=document.why)
    if not whole_job:
        return Settings(
            command=command, document=document, server_role=bool(command.flags.text("server-role"))
        )
    sides = [section(document, name) for name in ("context_servers", "generation_servers")]
    merged: Mapping[str, object] = document
    for side in sides:
        merged = merge(merged, side or {})
    return Settings(command=command, document=merged, both_sides=all(side is not None for side in sides))


def _split(arguments: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if arguments and arguments[0] in SUBCOMMANDS:
        return arguments[0], arguments[1:]
    return "serve", arguments


def _page(recognised: Recognised, flags: Flags, settings: Settings, *, subcommand: str) -> MetricsEndpoint:
    if recognised.role is Role.WORKER or subcommand in ("grpc", EMBEDDER, MPI_WORKER):
        return NO_PAGE
    port = port_of(flags.text("port"), str(DEFAULT_PORT))
    document = settings.document
    if document.get("return_perf_metrics") is not True:
        fix, unread = settings.unread or PERF_METRICS, bool(settings.unread)
        return MetricsEndpoint(port=port, path=PAGE, state=MetricsState.OFF, fix=fix, unread=unread)
    if document.get("enable_iter_perf_stats") is not True:
        return MetricsEndpoint(port=port, path=PAGE, state=MetricsState.PARTIAL, fix=ITERATIONS)
    if (flags.text("host") or "") in LOOPBACK:
        return MetricsEndpoint(port=port, path=PAGE, state=MetricsState.PARTIAL, fix=ANY_HOST)
    fix = "" if flags.text("host") else ANY_HOST
    return MetricsEndpoint(port=port, path=PAGE, state=MetricsState.ON, fix=fix)
