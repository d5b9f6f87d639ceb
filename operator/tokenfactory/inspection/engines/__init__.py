"""The engines, one module each: `recognise` says what a process is, `declare` what it was told.

A new engine is one module and one line in ENGINES (docs/how-to/add-an-engine.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tokenfactory.inspection.engines import (
    cacheserver,
    dynamo,
    llmd,
    nim,
    sentences,
    setaside,
    sglang,
    trtllm,
    vllm,
)
from tokenfactory.inspection.engines.declaring import unreadable
from tokenfactory.inspection.engines.recognised import Declare, Declared, Recognise, Recognised
from tokenfactory.inspection.engines.rough import recognise_opaque
from tokenfactory.inspection.engines.words import own_entrypoint, runs_own_script
from tokenfactory.inspection.program import Program
from tokenfactory.model import Container, EngineKind, Role


@dataclass(frozen=True, slots=True)
class EngineModule:
    """The two functions of one engine."""

    recognise: Recognise
    declare: Declare


def _refuse(recognised: Recognised) -> Declared:
    return unreadable(recognised, recognised.why)


ENGINES: tuple[EngineModule, ...] = (
    EngineModule(cacheserver.recognise, cacheserver.declare),
    EngineModule(setaside.recognise, setaside.declare),
    EngineModule(dynamo.recognise, dynamo.declare),
    EngineModule(llmd.recognise, llmd.declare),
    EngineModule(vllm.recognise, vllm.declare),
    EngineModule(sglang.recognise, sglang.declare),
    EngineModule(trtllm.recognise, trtllm.declare),
    EngineModule(nim.recognise, nim.declare),
    EngineModule(setaside.follower_of, setaside.declare),
    EngineModule(recognise_opaque, _refuse),
)


def identify(
    program: Program, container: Container, labels: Mapping[str, str]
) -> tuple[Recognised, Declare] | None:
    """The first engine that knows the process, and how to declare it; None when none does."""
    for engine in ENGINES:
        found = engine.recognise(program, container, labels)
        if found is not None:
            return found, (setaside.declare if found.why == sentences.AN_EMBEDDER else engine.declare)
    return None


def unknown(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised:
    """A container with GPUs whose processes nobody knows; its image names the engine at most."""
    inside = own_entrypoint(program, container) or runs_own_script(program)
    kind = setaside.kind_by_image(container.image) if inside else EngineKind.OTHER
    why = sentences.OWN_SCRIPT if runs_own_script(program) else sentences.NOT_KNOWN
    return Recognised(
        kind=kind,
        program=program,
        container=container,
        labels=labels,
        role=Role.AGGREGATED,
        why=sentences.NO_COMMAND if own_entrypoint(program, container) else why,
    )
