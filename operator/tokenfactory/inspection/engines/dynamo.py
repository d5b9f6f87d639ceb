"""NVIDIA Dynamo's workers: `python -m dynamo.vllm`, `dynamo.sglang`, `dynamo.trtllm`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tokenfactory.inspection.engines import dynamosglang, dynamotrtllm, dynamovllm, sentences
from tokenfactory.inspection.engines.recognised import Declared, Recognised
from tokenfactory.inspection.engines.roles import is_follower, labelled_role
from tokenfactory.inspection.engines.vllm import is_embedder, is_headless
from tokenfactory.inspection.engines.words import find_module
from tokenfactory.inspection.flags import parse
from tokenfactory.inspection.program import Program
from tokenfactory.model import Container, EngineKind, Role

WRAPPER = "dynamo"
WORKERS: Mapping[str, EngineKind] = MappingProxyType(
    {
        "dynamo.vllm": EngineKind.VLLM,
        "dynamo.sglang": EngineKind.SGLANG,
        "dynamo.trtllm": EngineKind.TENSORRT_LLM,
    }
)
DECLARE: Mapping[EngineKind, Callable[[Recognised], Declared]] = MappingProxyType(
    {
        EngineKind.VLLM: dynamovllm.declare,
        EngineKind.SGLANG: dynamosglang.declare,
        EngineKind.TENSORRT_LLM: dynamotrtllm.declare,
    }
)


def recognise(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """A worker of Dynamo, or a follower of one."""
    found = find_module(program, lambda name: worker_kind(name) is not None)
    kind = worker_kind(found.name) if found else None
    if found is None or kind is None:
        return None
    flags = parse(found.rest)
    follower = is_follower(program, labels) or is_headless(flags)
    embedder = "embedding-worker" in flags.values or is_embedder(flags)
    return Recognised(
        kind=kind,
        program=program,
        container=container,
        labels=labels,
        arguments=found.rest,
        wrapper=WRAPPER,
        role=Role.NONE if embedder else Role.WORKER if follower else labelled_role(labels),
        why=sentences.AN_EMBEDDER if embedder else "",
    )


def declare(recognised: Recognised) -> Declared:
    """Engine arguments pass straight through; Dynamo adds the role, connectors and the system port."""
    return DECLARE[recognised.kind](recognised)


def worker_kind(module: str) -> EngineKind | None:
    """The engine behind a worker's module; its submodules count."""
    return next(
        (kind for name, kind in WORKERS.items() if module == name or module.startswith(f"{name}.")), None
    )
