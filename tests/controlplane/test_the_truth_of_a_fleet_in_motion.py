"""A restart, a lost scrape, a loading and a replaced pod in one window of the operator, and the truth.

What the operator says at each cycle is compared with the story's own rates, watts and moments over the same
window; what cost-model §1 calls unobservable is left out of the truth (tests/support/story.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from tests.support.story import Figures, Life, Run, Story, off_by
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.fleet import H200, NAMESPACE
from tokenfactory.sandbox.objects import GpuNode
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.site import Station, pick_network

pytestmark = pytest.mark.controlplane

POOL = H200.name
WINDOW = 30.0
GPUS = 8
LABELS = {"app": POOL}
FIGURES = ("dollars_per_million", "tokens_per_second_per_gpu", "dollars_per_hour", "watts")


@dataclass(slots=True)
class Reading:
    """What the operator said at one cycle, and what was true over the same window."""

    at: float
    seen: Figures
    true: Figures


@dataclass(slots=True)
class Told:
    """The whole story: readings of windows that hold all events, and how it stood a minute later."""

    moving: list[Reading] = field(default_factory=list)
    settled: Reading | None = None
    status: dict[str, str] = field(default_factory=dict)


class Stage:
    """Plays a story on a scene: pods and pages follow what the story says."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._network = pick_network()
        self._stations: dict[str, Station] = {}
        self._lives: dict[str, Life] = {}
        self.story = Story(gpus=GPUS, per_gpu_hour=float(H200.per_gpu_hour), began=time.time())

    def add_node(self, number: int) -> None:
        node = GpuNode(
            name=f"stage-{number}",
            product=H200.product,
            gpus=GPUS,
            exporter_ip=f"127.{self._network + 1}.0.{number + 1}",
        )
        self._scene.site.add(
            node.exporter_ip, 9400, lambda now: self.story.exporter_page(node, namespace=NAMESPACE, now=now)
        )
        self._scene.cluster.add_node(node)

    def create(self, number: int, *, ready: bool) -> Life:
        """A pod on node `number`, created at the start of a second: the API has no finer time."""
        time.sleep(-time.time() % 1)
        name, now = f"stage-pod-{number}", time.time()
        life = Life(
            name=name,
            node=f"stage-{number}",
            ip=f"127.{self._network}.0.{number + 1}",
            workload=H200.workload,
            created=now,
            runs=[Run(now - 600, now - 500)] if ready else [Run(now)],
        )
        self._scene.cluster.add_pod(life.pod(now, namespace=NAMESPACE, labels=LABELS, gpus=GPUS))
        self.story.lives.append(life)
        self._lives[name] = life
        if ready:
            self._serve(life)
        return life

    def stop(self, life: Life) -> None:
        """The container dies: nobody listens, the kubelet says so."""
        life.runs[-1].ended = time.time()
        self._scene.site.remove(life.ip, 8000)
        life.runs.append(Run(time.time() + 1))
        self._report(life)

    def get_ready(self, life: Life) -> None:
        """The engine has loaded: its counters begin at zero."""
        life.runs[-1].ready = time.time()
        self._serve(life)
        self._report(life)

    def delete(self, life: Life) -> None:
        life.deleted = life.runs[-1].ended = time.time()
        self._scene.site.remove(life.ip, 8000)
        self._scene.cluster.remove_pod(NAMESPACE, life.name)

    def lose_a_scrape(self, life: Life) -> None:
        """The next scrape of this pod gets an error; those after it do not."""
        station = self._stations[life.name]
        asked, station.failing = station.requests, True
        self._scene.wait_for("a scrape is lost", lambda: station.requests > asked, seconds=15)
        station.failing = False

    def _serve(self, life: Life) -> None:
        def page(now: float) -> str:
            text = life.page(now)
            life.scrapes.append(now)
            self.story.cycles.append(now)
            return text

        self._stations[life.name] = self._scene.site.add(life.ip, 8000, page)

    def _report(self, life: Life) -> None:
        pod = life.pod(time.time() + 1, namespace=NAMESPACE, labels=LABELS, gpus=GPUS)
        self._scene.cluster.report(replace(pod, ready=life.serves(time.time())))

    def window_end(self, at: float) -> float:
        """The moment up to which every serving pod was scraped by `at`."""
        serving = [life for life in self.story.lives if life.serves(at)]
        return min(max(moment for moment in life.scrapes if moment <= at) for life in serving)


def _see(operator: OperatorProcess) -> tuple[float, Figures | None]:
    """The time of the last cycle and its figures; None while there are none."""
    page = operator.get("/metrics")[1]

    def value(name: str, **labels: str) -> float | None:
        return read_series(page, f"tokenfactory_pool_{name}", **labels).get(POOL)

    figures = (
        value("cost_per_million_tokens", basis="total"),
        value("tokens_per_second_per_gpu"),
        value("cost_per_hour"),
        value("power_watts", basis="measured"),
    )
    at = value("last_observation_timestamp_seconds") or 0.0
    known = [figure for figure in figures if figure is not None]
    return at, Figures(*known) if len(known) == len(figures) else None


def _next(scene: Scene, operator: OperatorProcess, stage: Stage, *, after: float) -> Reading:
    """The first reading of a cycle later than `after`, with the truth over its window."""

    def later() -> tuple[float, Figures] | None:
        at, figures = _see(operator)
        return (at, figures) if at > after and figures is not None else None

    at, seen = scene.wait_for("another cycle", later, seconds=30)
    end = stage.window_end(at)
    return Reading(at, seen, stage.story.truth(end - WINDOW, end))


def _status(scene: Scene) -> dict[str, str]:
    status = scene.status(POOL)
    cost, throughput = status.get("cost") or {}, status.get("throughput") or {}
    measured = (status.get("energy") or {}).get("measured") or {}
    return {
        "dollars_per_million": cost.get("perMillionTokens", "nan"),
        "tokens_per_second_per_gpu": throughput.get("tokensPerSecondPerGPU", "nan"),
        "dollars_per_hour": cost.get("perHour", "nan"),
        "watts": measured.get("watts", "nan"),
    }


def _within(status: dict[str, str], figures: Figures, tolerance: float) -> bool:
    return all(off_by(float(status[figure]), getattr(figures, figure)) <= tolerance for figure in FIGURES)


def _play(scene: Scene, stage: Stage, pods: list[Life]) -> tuple[float, float]:
    """Everything within two scrape intervals; returns when it began and when it was over.

    The deletion comes right after a cycle: what a board used between that cycle and the pod's end can't be
    told apart from what it used for the next pod.
    """
    began = time.time()
    stage.delete(pods[3])
    stage.stop(pods[2])
    second = stage.create(3, ready=False)
    stage.create(4, ready=False)
    stage.lose_a_scrape(pods[0])
    stage.get_ready(pods[2])
    stage.get_ready(second)
    return began, time.time()


@pytest.fixture(scope="module")
def told(assets: Assets) -> Iterator[Told]:
    with Scene(assets, ()) as scene:
        stage = Stage(scene)
        for number in range(5):
            stage.add_node(number)
        pods = [stage.create(number, ready=True) for number in range(4)]
        scene.cluster.apply(replace(H200).body(window_seconds=int(WINDOW)))
        operator = scene.start_operator()
        reading = _next(scene, operator, stage, after=0.0)
        while time.time() - stage.story.began < 120 and reading.at < stage.story.cycles[0] + WINDOW + 1:
            reading = _next(scene, operator, stage, after=reading.at)
        found = Told()
        began, over = _play(scene, stage, pods)
        while reading.at < began + WINDOW:
            reading = _next(scene, operator, stage, after=reading.at)
            if over < reading.at < began + WINDOW and stage.window_end(reading.at) > over:
                found.moving.append(reading)
        while reading.at < over + WINDOW + 13:
            reading = _next(scene, operator, stage, after=reading.at)

        def settled() -> bool:
            found.status = _status(scene)
            return _within(found.status, _see(operator)[1] or reading.seen, 0.02)

        scene.wait_for("the status follows within its minute", settled, seconds=75)
        found.settled = _next(scene, operator, stage, after=reading.at)
        yield found


@pytest.mark.parametrize("figure", FIGURES)
def test_metrics_are_within_half_a_percent_of_the_truth_while_the_window_holds_every_event(
    told: Told, figure: str
) -> None:
    assert len(told.moving) >= 2, "no window held every event"
    errors = {
        f"{reading.at:.1f}": off_by(getattr(reading.seen, figure), getattr(reading.true, figure))
        for reading in told.moving
    }
    assert max(errors.values()) <= 0.005, errors


@pytest.mark.parametrize("figure", FIGURES)
def test_the_status_is_near_metrics_and_the_truth_once_its_minute_has_passed(told: Told, figure: str) -> None:
    assert told.settled is not None
    status = float(told.status[figure])
    assert off_by(status, getattr(told.settled.seen, figure)) <= 0.02
    assert off_by(status, getattr(told.settled.true, figure)) <= 0.026


def test_the_loading_pod_costs_money_and_makes_no_tokens(told: Told) -> None:
    """Five pods are paid for and four make tokens: the settled truth itself says so."""
    assert told.settled is not None
    true = told.settled.true
    assert true.dollars_per_hour == pytest.approx(5 * GPUS * float(H200.per_gpu_hour))
    assert true.tokens_per_second_per_gpu == pytest.approx(4 * H200.workload.total / (5 * GPUS), rel=1e-6)
