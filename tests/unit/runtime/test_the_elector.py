"""Leader election against a Lease that a small API keeps: taken, respected, taken over, given back."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from tokenfactory.errors import Unavailable
from tokenfactory.runtime import election
from tokenfactory.runtime.election import Elector
from tokenfactory.runtime.kube import ApiError, Collection


class Leases:
    """The API server's part: one Lease with a resource version, and a switch that makes it unreachable."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.lost = False

    def _check(self) -> None:
        if self.lost:
            raise Unavailable("gone")

    async def get(self, where: Collection, name: str) -> dict[str, Any]:
        self._check()
        if self.lease is None:
            raise ApiError(404, "NotFound", is_status_object=True)
        return copy.deepcopy(self.lease)

    async def create(self, where: Collection, body: dict[str, Any]) -> dict[str, Any]:
        self._check()
        return self._store(body)

    async def update(self, where: Collection, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self._check()
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise ApiError(409, "Conflict", is_status_object=True)
        return self._store(body)

    def _store(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = copy.deepcopy(dict(body))
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)

    @property
    def holder(self) -> str:
        return str((self.lease or {"spec": {"holderIdentity": ""}})["spec"]["holderIdentity"])


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(election, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(election, "RENEW_DEADLINE", 0.2)
    monkeypatch.setattr(election, "RETRY_SECONDS", 0.02)


class Work:
    """Counts how many run at a time."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0

    async def __call__(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1


def elector(leases: Leases, identity: str) -> Elector:
    return Elector(leases, "system", "lease", identity=identity)  # type: ignore[arg-type]


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_of_two_electors_one_leads_and_the_other_takes_over_at_once_when_it_stops() -> None:
    leases, work = Leases(), Work()
    first, second = elector(leases, "first"), elector(leases, "second")
    one = asyncio.create_task(first.run(work))
    await until(lambda: first.leading and work.running == 1)
    two = asyncio.create_task(second.run(work))
    await asyncio.sleep(0.5)
    assert (leases.holder, second.leading) == ("first", False)
    await end(one)
    assert leases.holder == ""
    await until(lambda: second.leading)
    assert work.most == 1
    await end(two)


async def test_a_leader_that_loses_the_api_server_stops_its_work_before_the_lease_can_be_taken() -> None:
    leases, work = Leases(), Work()
    first = elector(leases, "first")
    task = asyncio.create_task(first.run(work))
    await until(lambda: work.running == 1)
    leases.lost = True
    await until(lambda: work.running == 0 and not first.leading)
    leases.lost = False
    await until(lambda: work.running == 1)
    assert work.most == 1
    await end(task)


async def test_a_lease_whose_holder_is_silent_is_taken_only_after_its_time() -> None:
    leases, work = Leases(), Work()
    await leases.create(
        Collection("", "leases", "system"),
        {
            "metadata": {"name": "lease"},
            "spec": {"holderIdentity": "dead", "renewTime": "2099-01-01T00:00:00Z"},
        },
    )
    second = elector(leases, "second")
    task = asyncio.create_task(second.run(work))
    await asyncio.sleep(0.1)
    assert not second.leading, "whatever time the Lease shows, our own clock counts from when we saw it"
    await until(lambda: second.leading)
    assert leases.lease is not None
    assert leases.lease["spec"]["leaseTransitions"] == 1
    await end(task)


async def test_work_that_raises_ends_the_election_with_its_error() -> None:
    leases = Leases()

    async def broken() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await elector(leases, "first").run(broken)
    assert leases.holder == "", "the lease is given back"
