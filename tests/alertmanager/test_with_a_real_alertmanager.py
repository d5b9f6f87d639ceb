"""What the operator posts, as a real Alertmanager takes it and notifies: fired, ended, down and back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.alertmanager import AlertmanagerServer, Pager, wait_for
from tests.support.subjects import KEY, economics, subject, verdict
from tokenfactory.model import AlertmanagerTerms, DenominatorState
from tokenfactory.publishing import alerts
from tokenfactory.publishing.alertmanager import Alertmanager
from tokenfactory.publishing.alertrules import POOL_RULES
from tokenfactory.runtime.alerting import Alerting
from tokenfactory.runtime.credentials import MountedCredentials

NAME = "TokenFactoryThroughputCollapsed"
COLLAPSED, HEALTHY = DenominatorState.THROUGHPUT_COLLAPSED, DenominatorState.HEALTHY


@pytest.fixture
def pager() -> Iterator[Pager]:
    with Pager() as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, pager: Pager) -> Iterator[AlertmanagerServer]:
    with AlertmanagerServer(tmp_path, pager) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped rules, but for the two minutes for which a collapse is kept firing."""
    rules = tuple(replace(rule, keep_firing_seconds=1) for rule in POOL_RULES)
    monkeypatch.setattr(alerts, "POOL_RULES", rules)


class Silent:
    def count_alerts(self, outcome: str, number: int) -> None: ...


class Leader:
    """One term of leadership over one pool."""

    def __init__(self, server: AlertmanagerServer) -> None:
        self._terms = (AlertmanagerTerms(url=server.url),)
        nothing = MountedCredentials(Path("/nonexistent"))
        self._alerting = Alerting(
            lambda terms: Alertmanager(terms, nothing), Silent(), clock=time.time, sleep=_hurry
        )

    def see(self, state: DenominatorState) -> None:
        now = time.time()
        told = replace(subject(verdict=verdict(state), economics=economics(at=now)), now=now)
        self._alerting.record("uid-1", KEY, told, self._terms)

    def delete(self) -> None:
        self._alerting.forget("uid-1")

    @contextlib.asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self._alerting.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _hurry(seconds: float) -> None:
    await asyncio.sleep(seconds / 20)


async def until(what: str, holds: object) -> None:
    await asyncio.to_thread(wait_for, what, holds)


async def test_a_collapse_pages_once_and_its_end_once(server: AlertmanagerServer, pager: Pager) -> None:
    leader = Leader(server)
    leader.see(COLLAPSED)
    async with leader.leading():
        await until("the page", lambda: pager.statuses(NAME) == ["firing"])
        alert = server.alerts()[NAME]
        assert alert["labels"]["pool"] == KEY.name
        assert alert["annotations"]["runbook_url"].endswith(f"{NAME}.md")
        assert "an hour" in alert["annotations"]["cost_per_hour"] or alert["annotations"]["cause"]
        leader.see(HEALTHY)
        await until("the end", lambda: pager.statuses(NAME) == ["firing", "resolved"])
        await asyncio.sleep(3)
    assert pager.statuses(NAME) == ["firing", "resolved"]


async def test_a_deleted_pool_pages_nobody_any_longer(server: AlertmanagerServer, pager: Pager) -> None:
    leader = Leader(server)
    leader.see(COLLAPSED)
    async with leader.leading():
        await until("the page", lambda: pager.statuses(NAME) == ["firing"])
        leader.delete()
        await until("the end", lambda: pager.statuses(NAME) == ["firing", "resolved"])


async def test_an_alertmanager_that_was_down_is_told_when_it_is_back(
    server: AlertmanagerServer, pager: Pager
) -> None:
    server.kill()
    leader = Leader(server)
    leader.see(COLLAPSED)
    async with leader.leading():
        await asyncio.sleep(2)
        assert pager.notes == []
        await asyncio.to_thread(server.start)
        await until("the page", lambda: pager.statuses(NAME) == ["firing"])


async def test_what_ended_while_it_was_down_does_not_page_afterwards(
    server: AlertmanagerServer, pager: Pager
) -> None:
    server.kill()
    leader = Leader(server)
    leader.see(COLLAPSED)
    async with leader.leading():
        await asyncio.sleep(1)
        leader.see(HEALTHY)
        await asyncio.sleep(2)
        await asyncio.to_thread(server.start)
        await asyncio.sleep(5)
    assert pager.notes == []


async def test_a_change_of_leader_neither_ends_nor_repeats_the_page(
    server: AlertmanagerServer, pager: Pager
) -> None:
    first, second = Leader(server), Leader(server)
    first.see(COLLAPSED)
    async with first.leading():
        await until("the page", lambda: pager.statuses(NAME) == ["firing"])
    started = server.alerts()[NAME]["startsAt"]
    second.see(COLLAPSED)
    async with second.leading():
        updated = server.alerts()[NAME]["updatedAt"]
        await until("the word of the second", lambda: server.alerts()[NAME]["updatedAt"] > updated)
        await asyncio.sleep(3)
    assert server.alerts()[NAME]["startsAt"] == started
    assert pager.statuses(NAME) == ["firing"]
