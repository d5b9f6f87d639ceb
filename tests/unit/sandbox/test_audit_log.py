"""Audit lines as kube-apiserver 1.37 writes them, read as values."""

from __future__ import annotations

import json
from pathlib import Path

from tokenfactory.sandbox.audit import AuditEvent, read_audit_log


def compose_line(*, audit_id: str, received: str, **fields: object) -> str:
    document = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": audit_id,
        "stage": "ResponseComplete",
        "requestURI": "/version",
        "verb": "get",
        "user": {"username": "someone", "groups": ["system:authenticated"]},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": received,
    }
    return json.dumps(document | fields) + "\n"


def test_a_status_patch_is_told_with_all_its_coordinates(tmp_path: Path) -> None:
    target = {
        "apiGroup": "tokenfactory.dev",
        "apiVersion": "v1alpha1",
        "resource": "inferencepools",
        "subresource": "status",
        "namespace": "serving",
        "name": "r1",
    }
    log = tmp_path / "audit.log"
    log.write_text(
        compose_line(audit_id="a", received="2026-01-01T00:00:00.000000Z", verb="patch", objectRef=target)
    )
    assert read_audit_log(log) == (
        AuditEvent(
            user="someone",
            verb="patch",
            group="tokenfactory.dev",
            resource="inferencepools",
            subresource="status",
            namespace="serving",
            name="r1",
            code=200,
            path="/version",
            received="2026-01-01T00:00:00.000000Z",
        ),
    )


def test_both_stages_of_a_watch_are_one_request_and_the_order_is_that_of_arrival(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(
        compose_line(audit_id="late", received="2026-01-01T00:00:02.000000Z")
        + compose_line(
            audit_id="watch", received="2026-01-01T00:00:01.000000Z", stage="ResponseStarted", verb="watch"
        )
        + compose_line(audit_id="watch", received="2026-01-01T00:00:01.000000Z", verb="watch")
    )
    assert [event.verb for event in read_audit_log(log)] == ["watch", "get"]


def test_a_line_that_is_still_being_written_is_left_for_the_next_time(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    whole = compose_line(audit_id="a", received="2026-01-01T00:00:00.000000Z")
    log.write_text(whole + whole[:40])
    assert len(read_audit_log(log)) == 1
