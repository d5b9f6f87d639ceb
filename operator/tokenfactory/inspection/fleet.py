"""Every engine of a fleet, inspected; replicas of one template are read once."""

from __future__ import annotations

from dataclasses import dataclass

from tokenfactory.inspection.command import Command, read_command
from tokenfactory.inspection.connectors import read_connectors, role_of
from tokenfactory.inspection.epoch import epoch_of
from tokenfactory.inspection.flags import Broken
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.inspection.vllm import declare
from tokenfactory.inspection.weights import weight_only_forced
from tokenfactory.model import (
    Container,
    Declaration,
    DeclarationState,
    Engine,
    EngineKind,
    Fleet,
    FleetReason,
    Inspected,
    OptimizationName,
    Role,
)

NOT_SUPPORTED = "engine not supported yet"


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
            template = _template(engine, replica.product)
            findings = seen.get(template)
            if findings is None:
                findings = seen[template] = _inspect(engine, replica.product)
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
    )


def _inspect(engine: Engine, product: str | None) -> Findings:
    container = engine.container
    if engine.kind is not EngineKind.VLLM or engine.problem is FleetReason.ENGINE_NOT_SUPPORTED:
        return _opaque(container, NOT_SUPPORTED, product)
    command = read_command(container)
    if isinstance(command, str):
        return _opaque(container, command, product)
    return Findings(
        declarations=declare(command),
        epoch=epoch_of(container, command, product),
        role=_declared_role(command),
        model="" if UNKNOWN in command.model else command.model,
        weight_only=weight_only_forced(command),
    )


def _opaque(container: Container, reason: str, product: str | None) -> Findings:
    return Findings(
        declarations=tuple(
            Declaration(optimization=name, state=DeclarationState.OPAQUE, explanation=reason)
            for name in OptimizationName
        ),
        epoch=epoch_of(container, reason, product),
    )


def _declared_role(command: Command) -> Role | None:
    connectors = read_connectors(command)
    return None if isinstance(connectors, Broken) else role_of(connectors)


def _role(engine: Engine, findings: Findings) -> Role:
    """A follower stays one; otherwise the command line's word goes before the pod's label."""
    return engine.role if engine.role is Role.WORKER else findings.role or engine.role
