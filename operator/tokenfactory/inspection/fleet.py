"""Every engine of a fleet, inspected; replicas of one template are read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tokenfactory.inspection.engines import identify, llmd, vllm
from tokenfactory.inspection.engines.arguments import read_arguments
from tokenfactory.inspection.engines.declaring import NO_PAGE
from tokenfactory.inspection.engines.orchestrated import Call, read_calls, role_at
from tokenfactory.inspection.engines.recognised import Declare, Declared, Recognised
from tokenfactory.inspection.engines.roles import telling_labels
from tokenfactory.inspection.engines.wrapping import check_pod, wrapper_of
from tokenfactory.inspection.epoch import epoch_of
from tokenfactory.inspection.program import Program, read_programs
from tokenfactory.model import (
    Beside,
    Container,
    Declaration,
    DeclarationState,
    Engine,
    EngineKind,
    Fleet,
    Inspected,
    MetricsEndpoint,
    OptimizationName,
    Pod,
    Replica,
    Role,
)

NOT_READABLE = "the command names no server that is known here"
_SAID = frozenset({Role.PREFILL, Role.DECODE, Role.WORKER})
SEVERAL = "the container starts several servers that are told different things"


@dataclass(frozen=True, slots=True)
class Findings:
    """What one process was told, the same for all replicas of a template."""

    declarations: tuple[Declaration, ...]
    epoch: str
    role: Role | None = None
    model: str = ""
    weight_only: bool = False
    kind: EngineKind = EngineKind.OTHER
    wrapper: str = ""
    metrics: MetricsEndpoint = NO_PAGE
    beside: tuple[Beside, ...] = ()
    calls: tuple[Call, ...] = ()


def inspect(fleet: Fleet) -> tuple[Inspected, ...]:
    """One Inspected for each engine, sorted by pod UID, container and instance. Never raises.

    A container that starts several engines on ports of their own gives one for each; `instance` is the port.
    """
    seen: dict[tuple[object, ...], tuple[Findings, ...]] = {}
    inspected, calls = list[Inspected](), list[tuple[Pod, Call]]()
    for replica in fleet.replicas:
        labels = telling_labels(replica.pod.labels)
        sidecars = tuple(filter(llmd.is_sidecar, replica.pod.containers)) if llmd.LABELS in labels else ()
        for engine in replica.engines:
            template = (*_template(engine, replica.product), tuple(labels.items()), bool(sidecars))
            found = seen.get(template)
            if found is None:
                found = seen[template] = tuple(_inspect(engine, replica.product, labels, sidecars))
            inspected += [_said(replica, engine, item, alone=len(found) == 1) for item in found]
            calls += [(replica.pod, call) for call in found[0].calls]
    if calls:
        inspected = _take_roles(fleet, inspected, calls)
    return tuple(sorted(inspected, key=lambda item: (item.pod_uid, item.container, item.instance)))


def _take_roles(
    fleet: Fleet, inspected: Iterable[Inspected], calls: list[tuple[Pod, Call]]
) -> list[Inspected]:
    """A TensorRT-LLM server that says no role itself has the one in which an orchestrator calls it."""
    pods = {replica.pod.uid: replica.pod for replica in fleet.replicas}
    return [
        replace(item, role=role_at(pods[item.pod_uid], item.metrics.port, calls) or item.role)
        if item.kind is EngineKind.TENSORRT_LLM and item.role is Role.AGGREGATED
        else item
        for item in inspected
    ]


def _said(replica: Replica, engine: Engine, findings: Findings, *, alone: bool) -> Inspected:
    return Inspected(
        pod_uid=replica.pod.uid,
        container=engine.container.name,
        instance="" if alone else str(findings.metrics.port),
        kind=findings.kind,
        wrapper=findings.wrapper,
        role=_role(engine, findings),
        declarations=findings.declarations,
        metrics=findings.metrics,
        model=findings.model,
        weight_only_forced=findings.weight_only,
        epoch=findings.epoch,
        beside=findings.beside,
    )


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


def _inspect(
    engine: Engine, product: str | None, labels: Mapping[str, str], sidecars: tuple[Container, ...]
) -> Iterator[Findings]:
    """What each server of the container was told; one that is opaque where they can't be told apart."""
    container = engine.container
    programs = read_programs(container, dict(container.files))
    matches = [match for program in programs if (match := _server(program, engine, labels)) is not None]
    reason = next((program.opaque for program in programs if program.opaque), "")
    if reason or not matches:
        kind, wrapper = (matches[0][0].kind, matches[0][0].wrapper) if matches else (EngineKind.OTHER, "")
        yield _opaque(container, reason or NOT_READABLE, product, kind=kind, wrapper=wrapper)
        return
    calls = read_calls(programs)
    told = [
        (server, check_pod(server, declare(server), labels=labels, containers=sidecars))
        for server, declare in matches
    ]
    read_too = tuple(Beside(item.companion, item.metrics) for _, item in told if item.companion)
    found = _without_fronts(told)
    ports = {declared.metrics.port for _, declared in found}
    if len(found) > 1 and (len(ports) < len(found) or None in ports):
        server = found[0][0]
        yield _opaque(container, SEVERAL, product, kind=server.kind, wrapper=server.wrapper)
        return
    for server, declared in found:
        findings = _findings(container, server, declared, product)
        yield replace(findings, wrapper=wrapper_of(server, labels), calls=calls, beside=read_too)


def _without_fronts(found: list[tuple[Recognised, Declared]]) -> list[tuple[Recognised, Declared]]:
    """Without what executes no model, if anything does, and each of several equal ones once."""
    serving = [pair for pair in found if pair[1].role not in (Role.ROUTER, Role.NONE)] or found[:1]
    distinct: list[tuple[Recognised, Declared]] = []
    for server, declared in serving:
        told = (server.arguments, declared.metrics.port)
        if told not in [(other.arguments, known.metrics.port) for other, known in distinct]:
            distinct.append((server, declared))
    return distinct


def _findings(container: Container, server: Recognised, declared: Declared, product: str | None) -> Findings:
    if len(declared.declarations) != len(OptimizationName):
        why = server.why or NOT_READABLE
        return _opaque(container, why, product, kind=server.kind, wrapper=server.wrapper)
    read = read_arguments(server)
    told = () if server.kind is EngineKind.VLLM and not server.wrapper else _told(declared)
    fronts = declared.role in (Role.ROUTER, Role.NONE) and server.kind is EngineKind.NONE
    return Findings(
        declarations=declared.declarations,
        epoch=epoch_of(container, read if isinstance(read, str) else read[0], product, told=told),
        role=declared.role if fronts or declared.role in _SAID else None,
        model=declared.model,
        weight_only=declared.weight_only,
        kind=server.kind,
        wrapper=server.wrapper,
        metrics=declared.metrics,
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


def _told(declared: Declared) -> tuple[str, ...]:
    """The declarations as a part of the epoch: files and variables decide them where flags do not."""
    return tuple(f"{item.optimization}={item.state}:{item.method}" for item in declared.declarations)


def _opaque(
    container: Container, reason: str, product: str | None, *, kind: EngineKind, wrapper: str
) -> Findings:
    return Findings(
        declarations=tuple(
            Declaration(optimization=name, state=DeclarationState.OPAQUE, explanation=reason)
            for name in OptimizationName
        ),
        epoch=epoch_of(container, reason, product),
        kind=kind,
        wrapper=wrapper,
    )


def _role(engine: Engine, findings: Findings) -> Role:
    """A follower stays one; otherwise the command line's word goes before the pod's label."""
    return engine.role if engine.role is Role.WORKER else findings.role or engine.role
