"""GPUs by dynamic resource allocation: which claims a pod uses and what was allocated to them.

A claim's allocation is the scheduler's word: once read, it counts like a limit (docs/cost-model.md §4).
Shapes of resource.k8s.io/v1, v1beta2 and v1beta1 are alike where they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from tokenfactory.discovery.border import ITEMS, mapping, mappings, object_name, text
from tokenfactory.model import Claim, ClaimedDevice, ClaimUse, Fleet, Pod
from tokenfactory.units import mig_share

Body: TypeAlias = Mapping[str, Any]

DRIVER = "gpu.nvidia.com"
MOST_CLAIMS = 32
"""Claims of one pod that are looked at."""

_MIG = re.compile(r"gpu-\d{1,4}-mig-(?:([1-9])[cg][0-9a-z-]*|(\d{1,3})-\d{1,2}-(\d{1,2}))", re.ASCII)

PROFILE_SLICES: Mapping[int, int] = {19: 1, 20: 1, 15: 1, 14: 2, 9: 3, 5: 4, 0: 7}
"""Compute slices by the number that `nvidia-smi mig -lgip` gives a profile of a GPU with seven slices."""


def uses_of(spec: Body, status: Body) -> tuple[ClaimUse, ...]:
    """The claims of a pod, each once: named in its spec, made from templates, or the extended one.

    A claim that isn't made yet has no name, and a template that made none holds nothing.
    """
    made = {text(item.get("name")): object_name(item.get("resourceClaimName")) for item in _made(status)}
    found: dict[str, ClaimUse] = {}
    for item in mappings(spec.get("resourceClaims"), most=MOST_CLAIMS):
        own = object_name(item.get("resourceClaimName")) or object_name(
            mapping(item, "source").get("resourceClaimName")
        )
        name = own or made.get(text(item.get("name")), "")
        if name:
            found.setdefault(name, ClaimUse(name))
    extended = mapping(status, "extendedResourceClaimStatus")
    name = object_name(extended.get("resourceClaimName"))
    if name:
        requests = tuple(
            (text(item.get("requestName")), text(item.get("resourceName")))
            for item in mappings(extended.get("requestMappings"))
        )
        found.setdefault(name, ClaimUse(name, requests))
    return tuple(found.values())


def _made(status: Body) -> Iterator[Body]:
    return mappings(status.get("resourceClaimStatuses"), most=MOST_CLAIMS)


def read_claim(body: Body) -> Claim:
    """The frozen projection of a ResourceClaim. Never raises: a field of the wrong type is absent.

    Only GPUs of NVIDIA's driver are devices; admin access (monitoring) holds nothing.
    """
    devices = {
        (text(item.get("pool")), text(item.get("device"))): text(item.get("request"))
        for item in mappings(mapping(body, "status", "allocation", "devices").get("results"))
        if item.get("driver") == DRIVER and item.get("adminAccess") is not True and text(item.get("device"))
    }
    return Claim(
        devices=tuple(ClaimedDevice(*device, request) for device, request in sorted(devices.items())),
        allocated=bool(mapping(body, "status", "allocation")),
        pods=frozenset(
            text(item.get("uid"))
            for item in mappings(mapping(body, "status").get("reservedFor"), most=ITEMS)
            if item.get("resource") == "pods"
        ),
    )


def claims_of(fleet: Fleet) -> dict[str, frozenset[str]]:
    """The claims that the fleet's pods use, by name, with the UIDs of those pods."""
    users: dict[str, set[str]] = {}
    for replica in fleet.replicas:
        for use in replica.pod.claims:
            users.setdefault(use.name, set()).add(replica.pod.uid)
    return {name: frozenset(uids) for name, uids in users.items()}


def devices_held(pod: Pod, claims: Mapping[str, Claim], *, product: str) -> tuple[float, int]:
    """GPUs that the pod holds by its claims, and the most pods that any of those is shared with.

    A shared claim is split evenly between its pods; a device that two claims name counts once. What the pod's
    limits ask for already (an extended resource that a claim backs) is not counted again.
    """
    gpus, turns = 0.0, 1
    if not pod.claims:
        return gpus, turns
    seen: set[tuple[str, str]] = set()
    limited = {resource for container in pod.containers for resource, _ in container.gpu_limits}
    for use in pod.claims:
        claim = claims.get(use.name)
        if claim is None:
            continue
        counted = {request for request, resource in use.requests if resource in limited}
        sharers = len(claim.pods | {pod.uid})
        for device in claim.devices:
            if device.request.partition("/")[0] in counted or (device.pool, device.device) in seen:
                continue
            seen.add((device.pool, device.device))
            gpus += device_share(device.device, product) / sharers
            turns = max(turns, sharers)
    return gpus, turns


def device_share(device: str, product: str) -> float:
    """The part of a GPU behind a device: 1, or its MIG slices by the name that NVIDIA's driver gives it.

    >>> device_share("gpu-0", ""), device_share("gpu-0-mig-1g6gb-14-0", "NVIDIA-A30")
    (1.0, 0.25)
    """
    found = _MIG.fullmatch(device)
    if found is None:
        return 1.0
    named, number, size = found.groups()
    slices = int(named) if named else PROFILE_SLICES.get(int(number), min(int(size), 7))
    return mig_share(f"{slices}g.", product) or 1.0
