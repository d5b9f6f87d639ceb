"""A quiet fleet of twenty pools, its writes counted by the API server itself (design: Writing status)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.scenes import edit, figure, small_plan, writes
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit, AuditEvent
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.scene import Scene

pytestmark = pytest.mark.controlplane

PLANS = tuple(small_plan(f"quiet-{index:02}", output=50.0 + 10 * index) for index in range(20))
CYCLES = 10


@pytest.fixture(scope="module")
def scene(assets: Assets) -> Iterator[Scene]:
    with Scene(assets, PLANS, audit=Audit.METADATA) as running:
        yield running


@pytest.fixture(scope="module")
def operator(scene: Scene) -> OperatorProcess:
    """An operator that has published the numbers of every pool and of the fleet."""
    running = scene.start_operator()
    scene.wait_for("the numbers of all pools", lambda: all(scene.status(p.name).get("cost") for p in PLANS))
    scene.wait_for(
        "the window of all pools",
        lambda: all(scene.status(plan.name).get("windowSeconds") for plan in PLANS),
        seconds=90,
    )
    scene.wait_for("the numbers of the fleet", lambda: published_tokens(scene), seconds=90)
    return running


def published_tokens(scene: Scene) -> str:
    return scene.kubectl("get", "tfactory", "default", "-o", "jsonpath={.status.throughput.tokensPerSecond}")


def cycles(operator: OperatorProcess) -> float:
    """Cycles of all pools so far, by the operator's own count."""
    name = "tokenfactory_cycle_duration_seconds_count "
    lines = operator.get("/metrics")[1].splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def pool_writes(scene: Scene) -> tuple[AuditEvent, ...]:
    return tuple(event for event in writes(scene) if event.resource == "inferencepools")


def scrapes(scene: Scene) -> dict[str, int]:
    """How often each engine's page was asked for, by the page's own count."""
    stations = scene.site.stations
    return {
        name: stations[engine.pod.ip, engine.pod.port].requests
        for name, engine in scene.fleet.engines.items()
    }


def test_filling_the_windows_takes_two_writes_a_pool_and_the_fleets_own(
    scene: Scene, operator: OperatorProcess
) -> None:
    assert operator.get("/readyz")[0] == 200
    made = pool_writes(scene)
    assert {(event.verb, event.subresource, event.code) for event in made} == {("patch", "status", 200)}
    assert sorted(event.name for event in made) == sorted(plan.name for plan in PLANS for _ in range(2))
    assert {event.resource for event in writes(scene)} == {"inferencepools", "tokenfactories"}


def test_a_quiet_fleet_of_twenty_pools_makes_no_write_in_ten_cycles(
    scene: Scene, operator: OperatorProcess
) -> None:
    before, first, asked = len(writes(scene)), cycles(operator), scrapes(scene)
    scene.wait_for(
        "ten cycles of twenty pools",
        lambda: cycles(operator) - first >= CYCLES * len(PLANS),
        seconds=150,
    )
    assert writes(scene)[before:] == ()
    behind = {name: count - asked[name] for name, count in scrapes(scene).items()}
    assert min(behind.values()) >= CYCLES - 1, "every pool was really looked at"


def test_the_same_fleet_is_written_once_when_one_pool_is_edited(
    scene: Scene, operator: OperatorProcess
) -> None:
    """So that the silence above is no deafness."""
    before, edited = len(pool_writes(scene)), PLANS[7].name
    edit(scene, edited, {"price": {"perGPUHour": "2.82"}})
    scene.wait_for("the edit", lambda: scene.status(edited)["cost"].get("perGPUHour") == "2.82")
    made = scene.wait_for("its line in the audit log", lambda: pool_writes(scene)[before:])
    assert [(event.name, event.subresource) for event in made] == [(edited, "status")]
    assert figure(operator, "cost_per_hour", edited) == pytest.approx(2.82)
