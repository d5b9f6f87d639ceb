"""The API server's audit log as values: who did what, as the API server itself counted it."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


class Audit(enum.Enum):
    """Whether the API server keeps an audit log."""

    OFF = "off"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One request. `code` is the HTTP status; empty strings where a request names no such thing.

    For a request outside the resources (`/version`), `resource` is empty and `path` says what was asked.
    """

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    path: str
    received: str


def read_audit_log(path: Path) -> tuple[AuditEvent, ...]:
    """All requests answered so far, in the order they came in.

    A watch is listed from the moment it is answered. An answer can reach its client a moment before its
    line is in the log. A last line that is still being written is left out.
    """
    requests: dict[str, AuditEvent] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                document = json.loads(line)
                requests[document["auditID"]] = _read_event(document)
    return tuple(sorted(requests.values(), key=lambda event: event.received))


def _read_event(document: dict[str, Any]) -> AuditEvent:
    target = document.get("objectRef", {})
    return AuditEvent(
        user=document["user"].get("username", ""),
        verb=document["verb"],
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=document.get("responseStatus", {}).get("code", 0),
        path=document["requestURI"],
        received=document["requestReceivedTimestamp"],
    )
