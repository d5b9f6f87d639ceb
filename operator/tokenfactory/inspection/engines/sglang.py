"""SGLang: `python -m sglang.launch_server` or `sglang serve`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.arguments import in_context, read_arguments, shown
from tokenfactory.inspection.engines.declaring import NO_PAGE, S, fixes_of, mtp_from, role_or, say, unreadable
from tokenfactory.inspection.engines.recognised import (
    Declared,
    MetricsEndpoint,
    MetricsState,
    Recognised,
)
from tokenfactory.inspection.engines.roles import NAMED, is_follower, is_rank_above_zero, labelled_role
from tokenfactory.inspection.engines.sglangcache import check_offloading
from tokenfactory.inspection.engines.sglangspec import check_speculation
from tokenfactory.inspection.engines.words import find_command, find_module, port_of, switched_on
from tokenfactory.inspection.flags import Flags, parse
from tokenfactory.inspection.program import Program
from tokenfactory.inspection.values import FROM_A_VARIABLE
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.inspection.weights import check_fp4, weight_only_forced
from tokenfactory.model import Container, Declaration, EngineKind, OptimizationName, Role

MODULE = "sglang.launch_server"
DEFAULT_PORT = 30000
MODE = "--disaggregation-mode"
TRANSFER = "--disaggregation-transfer-backend"
ENABLE_METRICS = "add --enable-metrics"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ANY_HOST = "add --host 0.0.0.0: the page is on 127.0.0.1 only"
WEIGHT_ONLY = frozenset({"marlin", "triton_kernel"})
FP4_KV = frozenset({"nvfp4"})


def recognise(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """The HTTP server of SGLang, or a follower of it."""
    found = find_module(program, lambda name: name == MODULE)
    arguments = found.rest if found else None
    if found is None:
        command = find_command(program, lambda name, after: name == "sglang" and after == "serve")
        arguments = command.rest[1:] if command else None
    if arguments is None:
        return None
    flags = parse(arguments)
    follower = is_follower(program, labels) or is_rank_above_zero(flags.text("node-rank"))
    embedder = flags.switch("is-embedding") is True
    role = Role.WORKER if follower else labelled_role(labels)
    return Recognised(
        kind=EngineKind.SGLANG,
        program=program,
        container=container,
        labels=labels,
        arguments=arguments,
        role=Role.NONE if embedder else role,
        why=sentences.AN_EMBEDDER if embedder else "",
    )


def declare(recognised: Recognised) -> Declared:
    """Five declarations from flags, `--config` (the command line wins), environment and model name."""
    read = read_arguments(recognised)
    if isinstance(read, str):
        page = replace(_page(recognised, parse(recognised.arguments), file_unread=""), unread=True)
        return unreadable(recognised, read, metrics=page)
    command, why = read
    found = in_context(declare_command(command), dummy=is_dummy(command), file_unread=why)
    return Declared(
        declarations=found,
        role=role_or(mode_of(command), recognised),
        metrics=_page(recognised, command.flags, file_unread=why),
        model=shown(command),
        fixes=fixes_of(found, "sglang"),
        weight_only=is_weight_only(command),
    )


def declare_command(command: Command) -> tuple[Declaration, ...]:
    """One declaration for each optimization, in the order of OptimizationName."""
    speculation = check_speculation(command)
    return (
        check_fp4(command),
        speculation,
        check_offloading(command),
        mtp_from(speculation),
        check_disaggregation(command),
    )


def check_disaggregation(command: Command) -> Declaration:
    """Disaggregated serving: the mode says the role. EPD and pdmux are something else."""
    name = OptimizationName.DISAGGREGATED_SERVING
    mode = command.flags.text("disaggregation-mode")
    if mode is None or mode.lower() in ("null", "none"):
        return say(name, S.NOT_DECLARED, _look_alike(command))
    if UNKNOWN in mode:
        return say(name, S.OPAQUE, FROM_A_VARIABLE, source=MODE)
    role = NAMED.get(mode.lower())
    if role is None:
        return say(name, S.INVALID, "the mode must be prefill or decode", source=MODE)
    if (command.flags.text("disaggregation-transfer-backend") or "").lower() == "fake":
        return say(name, S.SIMULATED, "the transfer backend is fake: a benchmark switch", source=TRANSFER)
    if (command.flags.text("kv-cache-dtype") or "").lower() in FP4_KV:
        return say(name, S.INVALID, "an NVFP4 KV cache rejects disaggregation", source=MODE)
    return say(name, S.DECLARED, sentences.ROLE_IS.format(role=role.value), source=MODE)


def mode_of(command: Command) -> Role | None:
    """Prefill or decode by `--disaggregation-mode`."""
    return NAMED.get((command.flags.text("disaggregation-mode") or "").lower())


def is_dummy(command: Command) -> bool:
    return (command.flags.text("load-format") or "").lower() == "dummy"


def is_weight_only(command: Command) -> bool:
    """Whether a kernel or the checkpoint forces weight-only arithmetic."""
    backends = (command.flags.text("moe-runner-backend"), command.flags.text("fp4-gemm-backend"))
    if any((backend or "").lower() in WEIGHT_ONLY for backend in backends):
        return True
    return switched_on(command.env, "SGLANG_DSV4_FP4_DEQUANT") or weight_only_forced(
        replace(command, flags=Flags())
    )


def _look_alike(command: Command) -> str:
    if command.flags.switch("enable-pdmux"):
        return "--enable-pdmux shares one GPU between both phases: it is not disaggregation"
    if "encoder-only" in command.flags.values or "language-only" in command.flags.values:
        return "encoder disaggregation (EPD) splits off the encoder, not prefill from decode"
    return sentences.NO_DISAGGREGATION


def _page(recognised: Recognised, flags: Flags, *, file_unread: str) -> MetricsEndpoint:
    if recognised.role is Role.WORKER:
        return NO_PAGE
    port = port_of(flags.text("port"), str(DEFAULT_PORT))
    if not flags.switch("enable-metrics"):
        fix, off = file_unread or ENABLE_METRICS, MetricsState.OFF
        return MetricsEndpoint(port=port, path="/metrics", state=off, fix=fix, unread=bool(file_unread))
    if (flags.text("host") or "") in LOOPBACK:
        return MetricsEndpoint(port=port, path="/metrics", state=MetricsState.PARTIAL, fix=ANY_HOST)
    fix = "" if flags.text("host") else ANY_HOST
    return MetricsEndpoint(port=port, path="/metrics", state=MetricsState.ON, fix=fix)
