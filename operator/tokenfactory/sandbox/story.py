"""The demo's story: a rollout loses multi-token prediction, the operator says so, the rollback mends it.

Nothing is played by the clock: a chapter ends when the operator said what the chapter waits for. The story
changes pods and their pages only; what it tells of the operator is read from the API server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tokenfactory.sandbox.fleet import GB300, NAMESPACE, PoolPlan
from tokenfactory.sandbox.pager import Page, Pager
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.workload import Workload

LOADING_SECONDS = 6.0
COST_JUMP = 1.6
PATIENCE = 240.0

WITHOUT_MTP = replace(
    GB300,
    args=tuple(arg for arg in GB300.args if not arg.startswith("--speculative-config")),
    workload=Workload(
        model=GB300.workload.model,
        uncached_input=6800.0,
        cached_input=1733.0,
        output=1067.0,
        requests=1.04,
        concurrency=24.0,
        inter_token_latency=0.0225,
        queue=5.0,
        waiting=8.0,
    ),
)
"""The same engines without speculation: one token a step where it was three, and requests queue up."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part of the story: what is told, what is done at its start, and what the operator has to say."""

    title: str
    text: str
    act: Callable[[Story], None]
    goal: Callable[[Story], bool]


@dataclass(frozen=True, slots=True)
class Telling:
    """What the operator says of the story's pool right now, as the API server has it."""

    cost: str
    reason: str
    message: str
    events: tuple[str, ...]
    pages: tuple[Page, ...]


class Story:
    """Goes from chapter to chapter, each time `advance` is called and the goal of one is reached."""

    def __init__(
        self, scene: Scene, pager: Pager, *, linger: float = 10.0, clock: Callable[[], float] = time.time
    ) -> None:
        self.scene = scene
        self.pager = pager
        self._linger = linger
        self._clock = clock
        self._number = -1
        self._since = 0.0
        self._reached: float | None = None
        self._healthy_cost = 0.0
        self.failed = ""
        self.log: list[str] = []

    @property
    def over(self) -> bool:
        return bool(self.failed) or self._number >= len(CHAPTERS)

    @property
    def chapter(self) -> Chapter:
        return CHAPTERS[min(max(self._number, 0), len(CHAPTERS) - 1)]

    def advance(self) -> None:
        """Moves on when the chapter's goal was reached a while ago; fails when it never is."""
        now = self._clock()
        if self.over:
            return
        if self._number < 0:
            self._turn(now)
        elif self._reached is not None:
            if now - self._reached >= self._linger:
                self._turn(now)
        elif self.chapter.goal(self):
            self._reached = now
            self.log.append(f"{self.chapter.title}: after {now - self._since:.0f} s")
        elif now - self._since > PATIENCE:
            self.failed = f"{self.chapter.title}: not within {PATIENCE:.0f} s"

    def _turn(self, now: float) -> None:
        self._number += 1
        self._reached = None
        self._since = now
        if not self.over:
            self.chapter.act(self)

    def tell(self) -> Telling:
        """What the operator says now."""
        status = self.scene.status(GB300.name)
        condition = self.condition()
        return Telling(
            cost=str((status.get("cost") or {}).get("perMillionTokens", "")),
            reason=str(condition.get("reason", "")),
            message=str(condition.get("message", "")),
            events=self.events(),
            pages=self.pager.pages(GB300.name),
        )

    def condition(self) -> dict[str, Any]:
        return self.scene.condition(GB300.name, "DenominatorHealthy")

    def events(self) -> tuple[str, ...]:
        """`Warning ThroughputCollapsed: …` of the story's pool, the oldest first."""
        listed = json.loads(self.scene.kubectl("get", "events", "-n", NAMESPACE, "-o", "json"))
        rows = [item for item in listed["items"] if item["involvedObject"].get("name") == GB300.name]
        rows.sort(key=lambda item: str(item.get("eventTime")))
        return tuple(f"{item['type']} {item['reason']}: {item['message']}" for item in rows)

    def page(self) -> Page | None:
        """The alert of the collapse, as the operator last posted it."""
        found = [page for page in self.pager.pages(GB300.name) if page.name.endswith("ThroughputCollapsed")]
        return found[0] if found else None

    def cost(self) -> float:
        """The published cost of a million tokens; 0 while it is unknown."""
        return float((self.scene.status(GB300.name).get("cost") or {}).get("perMillionTokens") or 0.0)

    def remember_cost(self) -> bool:
        self._healthy_cost = self.cost()
        return self._healthy_cost > 0

    def cost_jumped(self) -> bool:
        return self.cost() >= COST_JUMP * self._healthy_cost

    def roll_out(self, plan: PoolPlan) -> None:
        """Replaces the pods one after the other; a new one loads before it is ready."""
        for index in range(plan.replicas):
            name = f"{plan.name}-{index}"
            self.scene.cluster.remove_pod(NAMESPACE, name)
            engine = self.scene.fleet.replace(name, plan)
            self.scene.cluster.add_pod(engine.pod)
            time.sleep(LOADING_SECONDS)
            self.scene.fleet.make_ready(name)
            self.scene.cluster.report(engine.pod)


def _wait(story: Story) -> None:
    del story


def _is_healthy(story: Story) -> bool:
    return story.condition().get("reason") == "Healthy" and story.remember_cost()


def _is_told(story: Story) -> bool:
    """State, cause and price in the condition, an Event and a page; and the cost on screen."""
    condition, page = story.condition(), story.page()
    cause = "MultiTokenPrediction disappeared in the rollout (--speculative-config is gone)"
    return (
        condition.get("reason") == "ThroughputCollapsed"
        and cause in str(condition.get("message"))
        and page is not None
        and page.firing
        and cause in page.message
        and any(cause in event and event.startswith("Warning") for event in story.events())
        and story.cost_jumped()
    )


def _is_resolved(story: Story) -> bool:
    return story.condition().get("reason") == "Healthy" and not story.cost_jumped()


def _is_all_clear(story: Story) -> bool:
    page = story.page()
    return page is not None and not page.firing


CHAPTERS = (
    Chapter(
        "The operator learns what the pool makes",
        "Four windows with traffic teach it each pool's own level: tokens per GPU at its concurrency.",
        _wait,
        _is_healthy,
    ),
    Chapter(
        "A rollout goes wrong",
        f"{GB300.name} is rolled out with a new command line. Somebody lost --speculative-config: without "
        "multi-token prediction a decode step makes one token where it made three. The pods are Ready, "
        "no request fails, no dashboard is red.",
        lambda story: story.roll_out(WITHOUT_MTP),
        _is_told,
    ),
    Chapter(
        "The rollback",
        "The flag is back. The revision is known from before, so its level needs no learning.",
        lambda story: story.roll_out(GB300),
        _is_resolved,
    ),
    Chapter(
        "The all-clear",
        "The alert goes on for two minutes more, so that a gap in the metrics is no all-clear.",
        _wait,
        _is_all_clear,
    ),
)
