"""Pods of one container, and shorthand for what the report says of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from tokenfactory.inspection.report import EngineReport, inspect_pod
from tokenfactory.model import Container, Declaration, OptimizationName, Pod

FP4 = OptimizationName.FP4
SPEC = OptimizationName.SPECULATIVE_DECODING
OFFLOAD = OptimizationName.KV_CACHE_OFFLOADING
MTP = OptimizationName.MULTI_TOKEN_PREDICTION
PD = OptimizationName.DISAGGREGATED_SERVING
GPUS = (("nvidia.com/gpu", 8.0),)


def container(command: str = "", **changes: Any) -> Container:
    values = {
        "name": "main",
        "image": "example/server:1",
        "command": tuple(shlex.split(command)),
        "gpu_limits": GPUS,
    }
    return Container(**(values | changes))


def pod_of(*containers: Container, labels: Mapping[str, str] | None = None) -> Pod:
    return Pod(namespace="n", name="p", uid="u", labels=labels or {}, containers=containers)


def reports(
    command: str = "",
    *,
    labels: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    capability: int | None = 10,
    env: Mapping[str, str] | None = None,
    others: tuple[Container, ...] = (),
    **changes: Any,
) -> tuple[EngineReport, ...]:
    main = container(command, env=tuple((env or {}).items()), **changes)
    pod = pod_of(main, *others, labels=labels)
    return inspect_pod(pod, files={"main": files or {}}, capability_major=capability)


def report(command: str = "", **changes: Any) -> EngineReport:
    found = reports(command, **changes)
    assert len(found) == 1, found
    return found[0]


def row(found: EngineReport, name: OptimizationName) -> Declaration:
    assert tuple(item.optimization for item in found.declarations) == tuple(OptimizationName)
    return next(item for item in found.declarations if item.optimization is name)
