"""A pod's Kubernetes object, projected to the few fields that the line reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenfactory.discovery.border import ITEMS, address, labels_of, mapping, mappings, seconds, text
from tokenfactory.discovery.claims import uses_of
from tokenfactory.discovery.containers import project_container
from tokenfactory.model import Container, Pod

PHASES = frozenset({"Pending", "Running", "Succeeded", "Failed", "Unknown"})


def project_pod(body: Mapping[str, Any]) -> Pod:
    """The frozen projection of a pod. Never raises: a field of the wrong type is treated as absent.

    A pod from a file that has no UID gets `namespace/name` as its UID. Repeated strings are interned, so
    that a thousand replicas of one Deployment share them.
    """
    metadata, spec, status = mapping(body, "metadata"), mapping(body, "spec"), mapping(body, "status")
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    phase = text(status.get("phase"))
    return Pod(
        namespace=namespace,
        name=name,
        uid=text(metadata.get("uid")) or f"{namespace}/{name}",
        labels=labels_of(metadata.get("labels")),
        node_name=text(spec.get("nodeName")),
        ip=address(status.get("podIP")),
        host_network=spec.get("hostNetwork") is True,
        phase=phase if phase in PHASES else "Unknown",
        ready=_is_ready(status),
        deleting=metadata.get("deletionTimestamp") is not None,
        created_at=seconds(metadata.get("creationTimestamp")) or 0.0,
        containers=_containers(spec, status),
        mounts_claims=next(mappings(spec.get("resourceClaims")), None) is not None,
        claims=uses_of(spec, status),
    )


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in mappings(status.get("conditions"))
    )


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[Container, ...]:
    """Containers and restartable init containers (sidecars); other init containers are gone while serving."""
    main = _by_name(status.get("containerStatuses"))
    early = _by_name(status.get("initContainerStatuses"))
    volumes = spec.get("volumes")
    found = [
        project_container(item, status=main.get(text(item.get("name")), {}), volumes=volumes)
        for item in mappings(spec.get("containers"))
    ]
    found += [
        project_container(item, status=early.get(text(item.get("name")), {}), volumes=volumes, sidecar=True)
        for item in mappings(spec.get("initContainers"))
        if item.get("restartPolicy") == "Always"
    ]
    return tuple(found[:ITEMS])


def _by_name(statuses: object) -> dict[str, Mapping[str, Any]]:
    return {text(status.get("name")): status for status in mappings(statuses)}
