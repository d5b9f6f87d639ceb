"""kopf's webhook server under the guard: it remembers nobody, knows every workload, and starts again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import kopf
import pytest
from kopf._cogs.structs.ephemera import Memo
from kopf._cogs.structs.references import Insights, Resource
from kopf._core.engines.admission import serve_admission_request
from kopf._core.engines.indexing import OperatorIndexers
from kopf._core.intents.registries import OperatorRegistry
from kopf._core.reactor.inventory import ResourceMemories
from structlog.testing import capture_logs

from tokenfactory.runtime import admission
from tokenfactory.runtime.admission import GuardServer, make_anonymous
from tokenfactory.runtime.desk import Desk

PODS = Resource(group="", version="v1", plural="pods", kind="Pod", namespaced=True, verbs=frozenset())


def review(kind: str = "Deployment", *, uid: str = "u", operation: str = "UPDATE") -> dict[str, Any]:
    """What the API server posts when a workload is applied."""
    body = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "chat", "namespace": "serving", "uid": uid},
        "spec": {"template": {"metadata": {"labels": {"app": "chat"}}, "spec": {"containers": []}}},
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "request",
            "resource": {"group": "apps", "version": "v1", "resource": f"{kind.lower()}s"},
            "operation": operation,
            "userInfo": {"username": "somebody"},
            "object": body,
            "oldObject": body if operation == "UPDATE" else None,
        },
    }


class Kopf:
    """kopf's own handling of a request, with its memories in sight."""

    def __init__(self) -> None:
        self.memories = ResourceMemories()
        self._registry = OperatorRegistry()
        self._insights = Insights()
        self._insights.webhook_resources.add(PODS)
        admission._register(self._registry, Desk())

    async def handle(self, request: Any, **given: Any) -> Any:
        return await serve_admission_request(
            request,
            **given,
            settings=kopf.OperatorSettings(),
            memories=self.memories,
            memobase=Memo(),
            registry=self._registry,
            insights=self._insights,
            indices=OperatorIndexers().indices,
        )


class Server:
    """In the place of kopf.WebhookServer: it posts one review, or fails the first `failures` times."""

    def __init__(self, *reviews: dict[str, Any], failures: int = 0) -> None:
        self._reviews, self._failures = reviews, failures
        self.answers: list[Any] = []

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __call__(self, handle: Any) -> AsyncIterator[dict[str, str]]:
        if self._failures:
            self._failures -= 1
            raise FileNotFoundError(2, "No such file or directory")
        self.answers = [await handle(each, webhook="guard") for each in self._reviews]
        yield {"url": "https://127.0.0.1/guard"}


async def serve(server: Server, handle: Any) -> None:
    async for _ in GuardServer(server)(handle):  # type: ignore[arg-type]
        return


async def test_a_thousand_updated_workloads_leave_one_memory() -> None:
    behind = Kopf()
    server = Server(*(review(uid=f"uid-{number}") for number in range(1000)))
    await serve(server, behind.handle)
    assert {answer["response"]["allowed"] for answer in server.answers} == {True}
    assert len(list(behind.memories.iter_all_memories())) == 1


async def test_a_kind_that_was_not_served_at_the_start_is_answered() -> None:
    server = Server(review("LeaderWorkerSet"), review("LeaderWorkerSet", operation="CREATE"))
    await serve(server, Kopf().handle)
    assert [answer["response"]["allowed"] for answer in server.answers] == [True, True]


async def test_a_server_that_fails_starts_again_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def at_once(_: float) -> None:
        return

    monkeypatch.setattr(asyncio, "sleep", at_once)
    server = Server(review(), failures=3)
    with capture_logs() as log:
        await serve(server, Kopf().handle)
    assert len(server.answers) == 1
    assert [(line["log_level"], line.get("why")) for line in log] == [
        ("warning", "No such file or directory"),
        ("info", None),
    ]


def test_the_object_keeps_all_but_its_uid() -> None:
    changed = make_anonymous(review())["request"]
    assert changed["object"]["metadata"] == {"name": "chat", "namespace": "serving"}
    assert changed["object"]["spec"] == review()["request"]["object"]["spec"]
    assert changed["oldObject"] == changed["object"]


@pytest.mark.parametrize("odd", [{}, {"request": None}, {"request": {"object": None}}, {"request": []}])
def test_a_review_without_an_object_does_not_break_it(odd: dict[str, Any]) -> None:
    assert make_anonymous(odd).keys() == odd.keys()
