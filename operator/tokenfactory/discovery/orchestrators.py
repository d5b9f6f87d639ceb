"""Roles that only TensorRT-LLM's orchestrator tells: the addresses in its ConfigMap, by way of Services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tokenfactory.discovery.border import labels_of, mapping, text
from tokenfactory.model import Pod, Role

SECTIONS = (("context_servers", Role.PREFILL), ("generation_servers", Role.DECODE))
MOST_URLS = 256
LONGEST_FILE = 64 * 1024

_ADDRESS = re.compile(r"(?:https?://)?([a-z0-9-]{1,63})(?:\.[a-z0-9.-]{1,190})?:(\d{1,5})/?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What an orchestrator calls: a Service or a pod by its first name, a port, and the role behind it."""

    namespace: str
    host: str
    port: int
    role: Role


class Orchestrators:
    """The orchestrators' files among the documents, and the Services that their addresses name."""

    def __init__(self, documents: Iterable[Mapping[str, Any]]) -> None:
        bodies = tuple(documents)
        self._addresses = tuple(address for body in bodies for address in _addresses(body))
        self._selectors = {
            (_namespace(body), text(mapping(body, "metadata").get("name"))): labels_of(
                mapping(body, "spec").get("selector")
            )
            for body in bodies
            if body.get("kind") == "Service" and self._addresses
        }

    def role_of(self, pod: Pod, port: int | None) -> Role | None:
        """The role of the server on that port of the pod; None when no side, or both, call it."""
        roles = {
            address.role
            for address in self._addresses
            if address.port == port and address.namespace == pod.namespace and self._leads(address, pod)
        }
        return roles.pop() if len(roles) == 1 else None

    def _leads(self, address: Address, pod: Pod) -> bool:
        selector = self._selectors.get((address.namespace, address.host))
        if not selector:
            return address.host == pod.name
        return all(pod.labels.get(key) == value for key, value in selector.items())


def _namespace(body: Mapping[str, Any]) -> str:
    return text(mapping(body, "metadata").get("namespace"))


def _addresses(body: Mapping[str, Any]) -> Iterator[Address]:
    for content in mapping(body, "data").values() if body.get("kind") == "ConfigMap" else ():
        if not isinstance(content, str) or len(content) > LONGEST_FILE or "generation_servers" not in content:
            continue
        document = _plain(content)
        for section, role in SECTIONS:
            urls = mapping(document, section).get("urls")
            for url in urls[:MOST_URLS] if isinstance(urls, list) else ():
                found = _ADDRESS.fullmatch(url) if isinstance(url, str) else None
                if found:
                    yield Address(namespace=_namespace(body), host=found[1], port=int(found[2]), role=role)


def _plain(content: str) -> Any:
    """The YAML document without aliases; None for anything else."""
    if "&" in content or "*" in content:
        return None
    try:
        return yaml.load(content, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return None
