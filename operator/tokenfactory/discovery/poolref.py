"""A Gateway API Inference Extension pool (inference.networking.k8s.io/v1), read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenfactory.discovery.border import labels_of, mapping, mappings, whole
from tokenfactory.model import LabelSelector
from tokenfactory.ports import ReferencedPool

MOST_PORTS = 8


def read_referenced_pool(body: Mapping[str, Any]) -> ReferencedPool:
    """Its selector and target ports. Never raises: an unreadable selector selects nothing."""
    spec = mapping(body, "spec")
    written = mapping(spec, "selector", "matchLabels")
    labels = labels_of(written)
    numbers = (
        whole(port.get("number"), most=65535) for port in mappings(spec.get("targetPorts"), most=MOST_PORTS)
    )
    return ReferencedPool(
        selector=LabelSelector(tuple(sorted(labels.items())) if len(labels) == len(written) else ()),
        ports=tuple(dict.fromkeys(number for number in numbers if number)),
    )
