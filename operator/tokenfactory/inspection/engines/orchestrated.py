"""Roles of TensorRT-LLM workers that only the orchestrator's file tells: its static URLs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenfactory.inspection.engines.documents import Unreadable, read_document, section
from tokenfactory.inspection.engines.recognised import Declared, MetricsEndpoint, MetricsState
from tokenfactory.inspection.engines.words import find_command, port_of
from tokenfactory.inspection.flags import parse
from tokenfactory.inspection.program import Program
from tokenfactory.model import Pod, Role

SECTIONS = (("context_servers", Role.PREFILL), ("generation_servers", Role.DECODE))
MOST_URLS = 256
DEFAULT_PORT = 8000
PAGE = "/prometheus/metrics"
_OWN = re.compile(r"localhost|127\.0\.0\.1|0\.0\.0\.0")

_ADDRESS = re.compile(r"(?:https?://)?(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9.-]{1,253})):(\d{1,5})/?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """An address that an orchestrator calls, and the role that it expects there."""

    host: str
    port: int
    role: Role


def read_calls(programs: Iterable[Program]) -> tuple[Call, ...]:
    """Every static address in the files of the orchestrators among these processes."""
    return tuple(call for program in programs for call in _calls(program))


def roles_by_port(programs: Sequence[Program]) -> Mapping[int, Role]:
    """Ports on this pod's own address, with the role that an orchestrator in the pod gives them."""
    found: dict[int, Role] = {}
    for call in read_calls(programs):
        if _OWN.fullmatch(call.host):
            known = found.get(call.port, call.role)
            found[call.port] = call.role if known is call.role else Role.AGGREGATED
    return found


def take_role(declared: Declared, roles: Mapping[int, Role]) -> Declared:
    """The orchestrator's role for an engine that says none itself."""
    role = roles.get(declared.metrics.port or 0)
    if role is None or declared.role is not Role.AGGREGATED:
        return declared
    return replace(declared, role=role)


def role_at(pod: Pod, port: int | None, calls: Iterable[tuple[Pod, Call]]) -> Role | None:
    """The role of the server on that port of the pod; None when no side, or both, call it there.

    A host is the pod when it is its address, or begins with its name (of a StatefulSet's pod, with the
    Service behind it). A Service's own name leads nowhere from here: Services are not read.
    """
    roles = {call.role for caller, call in calls if call.port == port and _is_host(call.host, pod, caller)}
    return roles.pop() if len(roles) == 1 else None


def orchestrator_page(program: Program) -> MetricsEndpoint:
    """The page of an orchestrator: its port is a key of its file, 8000 without one."""
    port = (_document(program) or {}).get("port", DEFAULT_PORT)
    return MetricsEndpoint(port=port_of(str(port)), path=PAGE, state=MetricsState.ON)


def _is_host(host: str, pod: Pod, caller: Pod) -> bool:
    if _OWN.fullmatch(host):
        return pod.uid == caller.uid
    if host == pod.ip:
        return bool(host)
    first, *rest = host.split(".")
    elsewhere = len(rest) > 1 and rest[1] != pod.namespace
    return bool(rest) and first == pod.name and not elsewhere


def _calls(program: Program) -> Iterator[Call]:
    document = _document(program) or {}
    for name, role in SECTIONS:
        urls = (section(document, name) or {}).get("urls")
        for url in urls[:MOST_URLS] if isinstance(urls, list) else ():
            matched = _ADDRESS.fullmatch(url.lower()) if isinstance(url, str) else None
            if matched:
                yield Call(matched[1] or matched[2], int(matched[3]), role)


def _document(program: Program) -> Mapping[str, Any] | None:
    """The file of an orchestrator, None for another program or a file that can't be read."""
    found = find_command(program, lambda name, after: name == "trtllm-serve" and after == "disaggregated")
    if found is None:
        return None
    flags = parse(found.rest[1:])
    path = next((flags.text(name) for name in ("config-file", "config", "-c") if flags.text(name)), None)
    document = read_document(program.files, path) if path else {}
    return None if isinstance(document, Unreadable) else document
