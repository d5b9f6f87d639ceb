"""A container's Kubernetes object and its status, projected within the limits of a hostile tenant."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tokenfactory.discovery.border import ITEMS, mapping, mappings, seconds, text, whole
from tokenfactory.discovery.configmaps import UNKNOWN_VARIABLES, project_use
from tokenfactory.model import Container

IMAGE_LENGTH = 1024
ENV_NAME_LENGTH = 256
COMMAND_BYTES = 64 * 1024
MOST_GPUS = 4096
GPU_RESOURCES = frozenset({"nvidia.com/gpu", "nvidia.com/gpu.shared", "amd.com/gpu"})
MIG_PREFIX = "nvidia.com/mig-"

UNKNOWN_ARGUMENTS = "$(=)"
"""Stands for arguments over the limits: a variable that no environment can hold, so it stays unknown."""

SERVING_PORT_NAMES = frozenset(
    {"metrics", "http", "http1", "http-api", "api", "openai", "vllm", "modelserver"}
)


def project_container(
    body: Mapping[str, Any], *, status: Mapping[str, Any], volumes: object = (), sidecar: bool = False
) -> Container:
    """The frozen projection of one container. Never raises; see `project_pod`.

    `volumes` are the pod's, for the ConfigMaps that are mounted.
    """
    command, args = _command_line(body)
    env, opaque_env = _environment(body)
    running = mapping(status, "state", "running")
    return Container(
        name=text(body.get("name")),
        image=text(body.get("image"), longest=IMAGE_LENGTH),
        image_id=text(status.get("imageID"), longest=IMAGE_LENGTH),
        command=command,
        args=args,
        env=env,
        opaque_env=opaque_env,
        ports=_ports(body),
        gpu_limits=_gpu_limits(body),
        running=bool(running),
        ready=status.get("ready") is True,
        restarts=whole(status.get("restartCount"), most=2**31) or 0,
        started_at=seconds(running.get("startedAt")),
        sidecar=sidecar,
        config=project_use(body, volumes, (name for name, _ in env)),
    )


def _words(value: object) -> tuple[str, ...] | None:
    """A list of strings, None when there are too many; a list with anything else in it is absent."""
    if not isinstance(value, list | tuple):
        return ()
    if len(value) > ITEMS:
        return None
    return tuple(map(sys.intern, value)) if all(type(word) is str for word in value) else ()


def _command_line(body: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Command and args, at most 512 words and 64 KiB together."""
    command, args = _words(body.get("command")), _words(body.get("args"))
    if command is None or _size(command) > COMMAND_BYTES:
        return (UNKNOWN_ARGUMENTS,), ()
    if args is None or len(command) + len(args) > ITEMS or _size(command) + _size(args) > COMMAND_BYTES:
        return command, (UNKNOWN_ARGUMENTS,)
    return command, args


def _size(words: tuple[str, ...]) -> int:
    """Bytes of UTF-8, lone surrogates counted like any other character."""
    return sum(len(word) if word.isascii() else len(word.encode("utf-8", "replace")) for word in words)


def _environment(body: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Literal variables, and the names of those whose value is not in the pod or over the limits."""
    literal: dict[str, str] = {}
    opaque = [UNKNOWN_VARIABLES] if next(mappings(body.get("envFrom")), None) is not None else []
    left = COMMAND_BYTES
    for item in mappings(body.get("env")):
        name, value = text(item.get("name"), longest=ENV_NAME_LENGTH), item.get("value", "")
        if not name or "=" in name:
            continue
        literal.pop(name, None)
        if "valueFrom" in item or type(value) is not str or len(value) > left:
            opaque.append(name)
        else:
            left -= len(value)
            literal[name] = sys.intern(value)
    return tuple(literal.items()), tuple(name for name in opaque if name not in literal)


def _ports(body: Mapping[str, Any]) -> tuple[int, ...]:
    """TCP ports; those whose name says that they serve HTTP come first, otherwise as written."""
    named: list[int] = []
    others: list[int] = []
    for item in mappings(body.get("ports")):
        number = whole(item.get("containerPort"), most=65535)
        if number and item.get("protocol", "TCP") == "TCP":
            (named if text(item.get("name")) in SERVING_PORT_NAMES else others).append(number)
    return tuple(dict.fromkeys(named + others))


def _gpu_limits(body: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """Limits of the GPU resources that we know, by name."""
    limits = mapping(body, "resources", "limits")
    found = (
        (text(resource), whole(count, most=MOST_GPUS))
        for resource, count in limits.items()
        if isinstance(resource, str) and (resource in GPU_RESOURCES or resource.startswith(MIG_PREFIX))
    )
    return tuple(sorted((resource, float(count)) for resource, count in found if resource and count))
