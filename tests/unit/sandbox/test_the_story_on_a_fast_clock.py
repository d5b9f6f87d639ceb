"""The demo's story through the line on the sandbox's own clock: seconds here, six minutes there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from tokenfactory.runtime.files import Frame, SavedPage
from tokenfactory.runtime.offline import Replay
from tokenfactory.sandbox.bundle import list_objects
from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.exporter_page import render_exporter_page
from tokenfactory.sandbox.fleet import GB300, ReplayedFleet, factory_body
from tokenfactory.sandbox.story import COST_JUMP, LOADING_SECONDS, WITHOUT_MTP
from tokenfactory.sandbox.truth import state_truth, state_truth_now

BEGAN = 1_795_000_000.0
STEP = 6.0
ROLLOUT, ROLLBACK, END = BEGAN + 168, BEGAN + 270, BEGAN + 420


class Clock:
    now = BEGAN

    def __call__(self) -> float:
        return self.now


def objects(fleet: ReplayedFleet) -> tuple[dict[str, Any], ...]:
    """As the API server would hold them: a pod that was replaced has another UID."""
    bodies = list_objects(fleet)
    for body in bodies:
        engine = fleet.engines.get(body["metadata"]["name"])
        if engine is not None:
            body["metadata"]["uid"] += f"-{engine.pod.started_at}"
    return tuple(bodies)


def frames() -> Iterator[Frame]:
    clock = Clock()
    fleet = ReplayedFleet((GB300,), clock=clock)
    due = [
        (at + index * LOADING_SECONDS, plan, index)
        for at, plan in ((ROLLOUT, WITHOUT_MTP), (ROLLBACK, GB300))
        for index in range(GB300.replicas)
    ]
    loading: list[tuple[float, str]] = []
    while clock.now < END:
        while loading and loading[0][0] <= clock.now:
            fleet.make_ready(loading.pop(0)[1])
        while due and due[0][0] <= clock.now:
            _, plan, index = due.pop(0)
            fleet.replace(f"{GB300.name}-{index}", plan)
            loading.append((clock.now + LOADING_SECONDS, f"{GB300.name}-{index}"))
        pages = {
            f"{name}_{engine.pod.port}": render_engine_page(engine.odometer, now=clock.now)
            for name, engine in fleet.engines.items()
        }
        for node in fleet.nodes:
            elapsed = clock.now - BEGAN + 86_400
            pages[f"{node.name}_dcgm"] = render_exporter_page(fleet.boards(node), elapsed=elapsed)
        saved = {name: SavedPage(page.encode(), clock.now) for name, page in pages.items()}
        yield Frame(clock.now, saved, objects(fleet))
        clock.now += STEP


@cache
def played() -> tuple[tuple[float, dict[str, Any]], ...]:
    resources = [factory_body((GB300,)), GB300.body(window_seconds=30)]
    first, *rest = frames()
    assert isinstance(first.objects, tuple)
    return tuple(
        (result.at, dict(result.status)) for result in Replay(resources, first.objects).run([first, *rest])
    )


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(dict(row) for row in status["conditions"] if row["type"] == kind)


def verdicts() -> list[tuple[float, str]]:
    """(seconds since the start, state) whenever the state changes."""
    found: list[tuple[float, str]] = []
    for at, status in played():
        reason = condition(status, "DenominatorHealthy")["reason"]
        if not found or found[-1][1] != reason:
            found.append((at - BEGAN, reason))
    return found


def at_the_worst() -> dict[str, Any]:
    return next(status for at, status in reversed(played()) if at <= ROLLBACK)


def test_the_states_come_in_the_order_in_which_they_are_told_and_in_time() -> None:
    assert [name for _, name in verdicts()] == ["WarmingUp", "Healthy", "ThroughputCollapsed", "Healthy"]
    times = {name: at for at, name in verdicts()[1:]}
    assert times["ThroughputCollapsed"] <= ROLLOUT - BEGAN + 75
    assert times["Healthy"] <= END - BEGAN - 12


def test_the_collapse_names_the_lost_flag_and_a_price() -> None:
    message = condition(at_the_worst(), "DenominatorHealthy")["message"]
    assert message.startswith("since revision ")
    assert (
        "likely cause: MultiTokenPrediction disappeared in the rollout (--speculative-config is gone)"
        in message
    )
    assert " USD an hour" in message


def test_the_cost_jumps_as_the_truth_does() -> None:
    healthy = next(status for at, status in reversed(played()) if at <= ROLLOUT)
    before, after = (float(one["cost"]["perMillionTokens"]) for one in (healthy, at_the_worst()))
    true_before, true_after = (state_truth(plan).dollars_per_million or 0 for plan in (GB300, WITHOUT_MTP))
    assert abs(before / true_before - 1) < 0.01
    assert abs(after / true_after - 1) < 0.01
    assert after >= COST_JUMP * before


def test_the_truth_follows_the_engines() -> None:
    fleet = ReplayedFleet((GB300,), clock=Clock())
    assert state_truth_now(fleet, GB300) == state_truth(GB300)
    for index in range(GB300.replicas):
        fleet.replace(f"{GB300.name}-{index}", WITHOUT_MTP)
    assert state_truth_now(fleet, GB300).dollars_per_million is None
    for index in range(GB300.replicas):
        fleet.make_ready(f"{GB300.name}-{index}")
    assert state_truth_now(fleet, GB300) == state_truth(WITHOUT_MTP)
