"""A command that can't be followed: which server it is about, so that its opacity has the right name."""

from __future__ import annotations

from collections.abc import Mapping

from tokenfactory.inspection.engines import sglang, trtllm, vllm
from tokenfactory.inspection.engines.dynamo import worker_kind
from tokenfactory.inspection.engines.nim import PROGRAMS
from tokenfactory.inspection.engines.recognised import Recognised
from tokenfactory.inspection.engines.roles import is_follower, labelled_role
from tokenfactory.inspection.engines.setaside import kind_by_image
from tokenfactory.inspection.engines.words import mentioned
from tokenfactory.inspection.program import Program
from tokenfactory.model import Container, EngineKind, Role


def recognise_opaque(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """The engine that the text mentions, else the image's when GPUs are held; None for anything else."""
    if not program.opaque:
        return None
    kind, wrapper = _mentioned(container)
    if kind is None and not container.gpu_limits:
        return None
    return Recognised(
        kind=kind or kind_by_image(container.image),
        program=program,
        container=container,
        labels=labels,
        wrapper=wrapper,
        role=Role.WORKER if is_follower(program, labels) else labelled_role(labels),
        why=program.opaque,
    )


def _mentioned(container: Container) -> tuple[EngineKind | None, str]:
    previous = ""
    for piece in mentioned(container):
        kind = worker_kind(piece)
        if kind is not None:
            return kind, "dynamo"
        if piece == vllm.MODULE or (piece == "serve" and previous == "vllm"):
            return EngineKind.VLLM, ""
        if piece == sglang.MODULE or (piece == "serve" and previous == "sglang"):
            return EngineKind.SGLANG, ""
        if piece == trtllm.PROGRAM:
            return EngineKind.TENSORRT_LLM, ""
        if piece in PROGRAMS:
            return EngineKind.NIM, ""
        previous = piece
    return None, ""
