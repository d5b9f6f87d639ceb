"""Every engine of a fleet, inspected; replicas of one template are read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tokenfactory.inspection.engines import identify, vllm
from tokenfactory.inspection.engines.arguments import read_arguments
from tokenfactory.inspection.engines.recognised import Declare, Recognised
from tokenfactory.inspection.engines.roles import role_labels
from tokenfactory.inspection.epoch import epoch_of
from tokenfactory.inspection.program import Program, read_programs
from tokenfactory.model import (
    Container,
    Declaration,
    DeclarationState,
    Engine,
    EngineKind,
    Fleet,
    Inspected,
    OptimizationName,
    Role,
)

NOT_READABLE = "the command names no server that is known here"
SEVERAL = "the container starts several servers that are told different things"


@dataclass(frozen=True, slots=True)
class Findings:
    """What one command line says, the same for all replicas of a template."""

    declarations: tuple[Declaration, ...]
    epoch: str
    role: Role | None = None
    model: str = ""
    weight_only: bool = False


def inspect(fleet: Fleet) -> tuple[Inspected, ...]:
    """One Inspected for each engine, sorted by pod UID and container. Never raises, never shows a value."""
    seen: dict[tuple[object, ...], Findings] = {}
    inspected = []
    for replica in fleet.replicas:
        for engine in replica.engines:
            labels = role_labels(replica.pod.labels)
            template = (*_template(engine, replica.product), tuple(labels.items()))
            findings = seen.get(template)
            if findings is None:
                findings = seen[template] = _inspect(engine, replica.product, labels)
            inspected.append(
                Inspected(
                    pod_uid=replica.pod.uid,
                    container=engine.container.name,
                    role=_role(engine, findings),
                    declarations=findings.declarations,
                    model=findings.model,
                    weight_only_forced=findings.weight_only,
                    epoch=findings.epoch,
                )
            )
    return tuple(sorted(inspected, key=lambda item: (item.pod_uid, item.container)))


def _template(engine: Engine, product: str | None) -> tuple[object, ...]:
    container = engine.container
    return (
        engine.kind,
        engine.problem,
        product,
        container.image,
        container.image_id,
        container.command,
        container.args,
        container.env,
        container.opaque_env,
        container.files,
    )


def _inspect(engine: Engine, product: str | None, labels: Mapping[str, str]) -> Findings:
    """What the one server of the container was told; opaque where there is no such one."""
    container = engine.container
    programs = read_programs(container, dict(container.files))
    reason = next((program.opaque for program in programs if program.opaque), "")
    servers = [match for program in programs if (match := _server(program, engine, labels)) is not None]
    if reason or not servers:
        return _opaque(container, reason or NOT_READABLE, product)
    server, declare = servers[0]
    if any(other.arguments != server.arguments for other, _ in servers[1:]):
        return _opaque(container, SEVERAL, product)
    declared, read = declare(server), read_arguments(server)
    command = read if isinstance(read, str) else read[0]
    if len(declared.declarations) != len(OptimizationName):
        return _opaque(container, server.why or NOT_READABLE, product)
    role = declared.role if declared.role in (Role.PREFILL, Role.DECODE) else None
    return Findings(
        declarations=declared.declarations,
        epoch=epoch_of(container, command, product),
        role=role,
        model=declared.model,
        weight_only=declared.weight_only,
    )


def _server(program: Program, engine: Engine, labels: Mapping[str, str]) -> tuple[Recognised, Declare] | None:
    """The engine that the process is; discovery knows those that an image's own entrypoint starts."""
    container = engine.container
    known = identify(program, container, labels)
    if known is None and engine.kind is EngineKind.VLLM and not container.command and not program.opaque:
        own = Recognised(
            kind=engine.kind, program=program, container=container, labels={}, arguments=program.words
        )
        return own, vllm.declare
    return known


def _opaque(container: Container, reason: str, product: str | None) -> Findings:
    return Findings(
        declarations=tuple(
            Declaration(optimization=name, state=DeclarationState.OPAQUE, explanation=reason)
            for name in OptimizationName
        ),
        epoch=epoch_of(container, reason, product),
    )


def _role(engine: Engine, findings: Findings) -> Role:
    """A follower stays one; otherwise the command line's word goes before the pod's label."""
    return engine.role if engine.role is Role.WORKER else findings.role or engine.role
