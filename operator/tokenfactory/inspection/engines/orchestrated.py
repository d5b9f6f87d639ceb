"""Roles of TensorRT-LLM workers that only the orchestrator's file tells: its static URLs, by port."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tokenfactory.inspection.engines.documents import Unreadable, read_document, section
from tokenfactory.inspection.engines.recognised import Declared, MetricsEndpoint, MetricsState
from tokenfactory.inspection.engines.words import find_command, port_of
from tokenfactory.inspection.flags import parse
from tokenfactory.inspection.program import Program
from tokenfactory.model import Role

SECTIONS = (("context_servers", Role.PREFILL), ("generation_servers", Role.DECODE))
MOST_URLS = 256
DEFAULT_PORT = 8000
PAGE = "/prometheus/metrics"

_LOCAL = re.compile(r"(?:http://)?(?:localhost|127\.0\.0\.1|0\.0\.0\.0):(\d{1,5})/?", re.ASCII)


def roles_by_port(programs: Sequence[Program]) -> Mapping[int, Role]:
    """Ports on this pod's own address, with the role that an orchestrator in the pod gives them."""
    found: dict[int, Role] = {}
    for program in programs:
        for port, role in _orders(program):
            found[port] = role if found.get(port, role) is role else Role.AGGREGATED
    return found


def take_role(declared: Declared, roles: Mapping[int, Role]) -> Declared:
    """The orchestrator's role for an engine that says none itself."""
    role = roles.get(declared.metrics.port or 0)
    if role is None or declared.role is not Role.AGGREGATED:
        return declared
    return replace(declared, role=role)


def orchestrator_page(program: Program) -> MetricsEndpoint:
    """The page of an orchestrator: its port is a key of its file, 8000 without one."""
    port = (_document(program) or {}).get("port", DEFAULT_PORT)
    return MetricsEndpoint(port=port_of(str(port)), path=PAGE, state=MetricsState.ON)


def _orders(program: Program) -> Iterator[tuple[int, Role]]:
    document = _document(program) or {}
    for name, role in SECTIONS:
        for port in _ports((section(document, name) or {}).get("urls")):
            yield port, role


def _document(program: Program) -> Mapping[str, Any] | None:
    """The file of an orchestrator, None for another program or a file that can't be read."""
    found = find_command(program, lambda name, after: name == "trtllm-serve" and after == "disaggregated")
    if found is None:
        return None
    flags = parse(found.rest[1:])
    path = next((flags.text(name) for name in ("config-file", "config", "-c") if flags.text(name)), None)
    document = read_document(program.files, path) if path else {}
    return None if isinstance(document, Unreadable) else document


def _ports(urls: Any) -> Iterator[int]:
    for url in urls[:MOST_URLS] if isinstance(urls, list) else ():
        matched = _LOCAL.fullmatch(url) if isinstance(url, str) else None
        if matched:
            yield int(matched[1])
