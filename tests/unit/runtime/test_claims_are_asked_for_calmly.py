"""ResourceClaims are read one by one, remembered, and never missed on clusters that don't have them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from tokenfactory.errors import Forbidden, Unavailable
from tokenfactory.model import Claim
from tokenfactory.runtime import claims
from tokenfactory.runtime.claims import ClusterClaims
from tokenfactory.runtime.kube import ApiError, Collection, Kube

ME, OTHER = "uid-1", "uid-2"
Answer = dict[str, Any] | Exception


def body(*users: str, allocated: bool = True) -> dict[str, Any]:
    result = {"driver": "gpu.nvidia.com", "pool": "n", "device": "gpu-0", "request": "r"}
    status: dict[str, Any] = {"reservedFor": [{"resource": "pods", "uid": user} for user in users]}
    if allocated:
        status["allocation"] = {"devices": {"results": [result]}}
    return {"status": status}


def not_served() -> ApiError:
    return ApiError(404, "Not Found", is_status_object=False)


def refused(status: int) -> ApiError:
    return ApiError(status, "no", is_status_object=True)


class Server:
    """Answers by the version asked for; remembers what was asked."""

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def get(self, where: Collection, name: str) -> dict[str, Any]:
        self.asked.append(where.path(name))
        found = self.answer(where.prefix.rsplit("/", 1)[-1])
        if isinstance(found, Exception):
            raise found
        return found


class Desk:
    """A reader before a server, with a clock in hand."""

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        self.now = 1000.0
        self.server = Server(answer)
        self.claims = ClusterClaims(cast(Kube, self.server), clock=lambda: self.now)

    def read(self, *pods: str, names: tuple[str, ...] = ("c",)) -> Mapping[str, Claim]:
        wanted = dict.fromkeys(names, frozenset(pods))
        return asyncio.run(self.claims.read("serving", wanted))

    def asks_after(self, seconds: float, *pods: str) -> bool:
        before = len(self.server.asked)
        self.now += seconds
        self.read(*pods)
        return len(self.server.asked) > before


def only(version: str, found: Answer) -> Callable[[str], Answer]:
    return lambda asked: found if asked == version else not_served()


@pytest.mark.parametrize("version", ["v1", "v1beta2", "v1beta1"])
def test_the_version_that_is_served_is_found_and_asked_first_from_then_on(version: str) -> None:
    desk = Desk(only(version, body(ME)))
    assert len(desk.read(ME)["c"].devices) == 1
    desk.server.asked.clear()
    desk.read(ME, names=("d",))
    assert desk.server.asked == [f"/apis/resource.k8s.io/{version}/namespaces/serving/resourceclaims/d"]


def test_a_cluster_without_the_api_is_asked_again_after_ten_minutes_only() -> None:
    desk = Desk(lambda _: not_served())
    assert desk.read(ME) == {}
    assert not desk.asks_after(599.0, ME)
    assert desk.asks_after(2.0, ME)


def test_an_allocated_claim_is_asked_for_once_in_ten_minutes_or_so() -> None:
    desk = Desk(lambda _: body(ME))
    desk.read(ME)
    assert not desk.asks_after(440.0, ME)
    assert desk.asks_after(320.0, ME)


def test_a_pod_that_the_claim_does_not_know_makes_it_old() -> None:
    desk = Desk(lambda _: body(ME))
    desk.read(ME)
    assert desk.asks_after(11.0, ME, OTHER)


def test_a_shared_claim_is_asked_for_about_once_a_minute() -> None:
    desk = Desk(lambda _: body(ME, OTHER))
    desk.read(ME, OTHER)
    assert not desk.asks_after(44.0, ME, OTHER)
    assert desk.asks_after(32.0, ME, OTHER)


def test_a_claim_without_an_allocation_is_asked_for_soon_again() -> None:
    desk = Desk(lambda _: body(allocated=False))
    desk.read(ME)
    assert desk.asks_after(11.0, ME)


@pytest.mark.parametrize("answer", [Forbidden("403"), 404], ids=["forbidden", "not there"])
def test_a_claim_that_can_not_be_had_is_left_out(answer: Forbidden | int) -> None:
    desk = Desk(lambda _: refused(answer) if isinstance(answer, int) else answer)
    assert desk.read(ME) == {}
    assert not desk.asks_after(30.0, ME)


def test_an_api_server_that_fails_is_unavailable_until_something_is_known() -> None:
    desk = Desk(lambda _: refused(500))
    with pytest.raises(Unavailable):
        desk.read(ME)
    desk.server.answer = lambda _: body(ME)
    desk.read(ME)
    desk.server.answer = lambda _: Unavailable("gone")
    desk.now += 3600.0
    assert len(desk.read(ME)["c"].devices) == 1


def test_a_storm_of_names_is_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "MOST_ASKED", 10)
    desk = Desk(lambda _: body(ME))
    names = tuple(f"c{number}" for number in range(25))
    assert [len(desk.read(ME, names=names)) for _ in range(3)] == [10, 20, 25]
    assert len(desk.server.asked) == 25


def test_claims_of_a_namespace_are_told_apart() -> None:
    desk = Desk(lambda _: body(ME))
    asyncio.run(desk.claims.read("a", {"c": frozenset({ME})}))
    asyncio.run(desk.claims.read("b", {"c": frozenset({ME})}))
    assert [path.split("/")[5] for path in desk.server.asked] == ["a", "b"]
