"""What runs in a pod, engine by engine: role, model, GPUs, metrics page and the five declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tokenfactory.inspection.engines import identify, llmd, unknown
from tokenfactory.inspection.engines.capability import consider_gpu
from tokenfactory.inspection.engines.declaring import as_follower
from tokenfactory.inspection.engines.orchestrated import roles_by_port, take_role
from tokenfactory.inspection.engines.recognised import (
    Declared,
    MetricsEndpoint,
    MetricsState,
    Recognised,
)
from tokenfactory.inspection.engines.setaside import declare as declare_aside
from tokenfactory.inspection.engines.wrapping import check_pod, wrapper_of
from tokenfactory.inspection.program import Program, read_programs
from tokenfactory.model import Container, Declaration, EngineKind, OptimizationName, Pod, Role

__all__ = ["EngineReport", "MetricsEndpoint", "MetricsState", "inspect_container", "inspect_pod"]

_NOTHING: Mapping[OptimizationName, str] = MappingProxyType({})
SIDECAR_NAMES = frozenset(
    {"istio-proxy", "envoy", "linkerd-proxy", "queue-proxy", "vault-agent", "otel-collector"}
)
SIDECAR_MARKS = ("exporter", "envoyproxy", "istio/proxyv2")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """One server process of a container, or a container that holds GPUs without a known server.

    `wrapper` is dynamo, llm-d, kserve, nim-operator or empty. `gpus` are the container's limits by
    resource. `declarations` hold all five optimizations in the order of OptimizationName. `fixes` say what
    to add for each optimization that is not in effect. `weight_only`: FP4 weights are or would be stored
    in four bits and multiplied wider, because of a forced kernel, the checkpoint or the GPU.
    `note` is a sentence for what is set aside: why nothing is declared here.
    """

    container: str
    engine: EngineKind
    wrapper: str
    role: Role
    model: str
    gpus: tuple[tuple[str, float], ...]
    metrics: MetricsEndpoint
    declarations: tuple[Declaration, ...]
    fixes: Mapping[OptimizationName, str] = field(default_factory=lambda: _NOTHING)
    weight_only: bool = False
    note: str = ""


def inspect_pod(
    pod: Pod, *, files: Mapping[str, Mapping[str, str]], capability_major: int | None
) -> tuple[EngineReport, ...]:
    """The engines of a pod, in the order of its containers and of the processes in them. Never raises.

    `files` maps container name to container path to text. `capability_major` is the GPUs' compute
    capability (10 for Blackwell), None when not known.
    """
    found = [
        pair
        for container in pod.containers
        for pair in _read(container, pod.labels, files.get(container.name, {}))
    ]
    orchestrated = roles_by_port(tuple(recognised.program for recognised, _ in found))
    reports = []
    for recognised, declared in found:
        told = check_pod(recognised, declared, labels=pod.labels, containers=pod.containers)
        told = take_role(told, orchestrated)
        told = consider_gpu(told, capability_major)
        reports.append(_report(recognised, told, labels=pod.labels))
    return tuple(reports)


def inspect_container(
    container: Container, labels: Mapping[str, str], *, files: Mapping[str, str]
) -> tuple[EngineReport, ...]:
    """The engines of one container, without what the rest of the pod and its node say."""
    return tuple(
        _report(recognised, declared, labels=labels)
        for recognised, declared in _read(container, labels, files)
    )


def is_helper(container: Container) -> bool:
    """Whether the container only helps a server: proxies and exporters are never engines."""
    if container.name in SIDECAR_NAMES or container.name.endswith("-exporter") or llmd.is_sidecar(container):
        return True
    return any(mark in container.image for mark in SIDECAR_MARKS)


def _read(
    container: Container, labels: Mapping[str, str], files: Mapping[str, str]
) -> Iterator[tuple[Recognised, Declared]]:
    """Every process that is an engine; for GPUs without one, a single entry that says so."""
    if is_helper(container):
        return
    programs = read_programs(container, files) or (Program(env=dict(container.env), files=files),)
    matches = [match for program in programs if (match := identify(program, container, labels)) is not None]
    readable = [match for match in matches if not match[0].program.opaque]
    for recognised, declare in readable or matches[:1]:
        yield recognised, as_follower(declare(recognised))
    if not matches and container.gpu_limits:
        recognised = unknown(programs[-1], container, labels)
        yield recognised, declare_aside(recognised)


def _report(recognised: Recognised, declared: Declared, *, labels: Mapping[str, str]) -> EngineReport:
    return EngineReport(
        container=recognised.container.name,
        engine=recognised.kind,
        wrapper=wrapper_of(recognised, labels),
        role=declared.role,
        model=declared.model,
        gpus=recognised.container.gpu_limits,
        metrics=declared.metrics,
        declarations=declared.declarations,
        fixes=declared.fixes,
        weight_only=declared.weight_only,
        note=recognised.why,
    )
