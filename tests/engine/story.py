"""One run: two real servers under load, one killed and restarted, both replaced by ones that speculate."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.engine.clients import Clients, Received
from tests.engine.servers import ARGUMENTS, PORT, SPECULATION, Life
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.objects import GpuNode, ServingPod
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.site import pick_network

NAMESPACE, POOL = "serving", "tiny"
PRODUCT, PER_GPU_HOUR = "NVIDIA-H200", 1.41
WINDOW_SECONDS, INTERVAL_SECONDS = 60, 5
CLIENTS = 6
SETTLE_SECONDS = WINDOW_SECONDS + 4 * INTERVAL_SECONDS
FACTORY = {
    "apiVersion": "tokenfactory.dev/v1alpha1",
    "kind": "TokenFactory",
    "metadata": {"name": "default"},
    "spec": {
        "currency": "USD",
        "prices": [
            {
                "match": {"gpuProduct": PRODUCT},
                "perGPUHour": str(PER_GPU_HOUR),
                "source": "engine test",
                "asOf": "2026-11-01",
            }
        ],
        "telemetry": {"scrapeIntervalSeconds": INTERVAL_SECONDS},
    },
}
RESOURCE = {
    "apiVersion": "tokenfactory.dev/v1alpha1",
    "kind": "InferencePool",
    "metadata": {"name": POOL, "namespace": NAMESPACE},
    "spec": {
        "selector": {"matchLabels": {"app": POOL}},
        "optimizations": [{"name": "SpeculativeDecoding", "policy": "Preferred"}],
        "windowSeconds": WINDOW_SECONDS,
    },
}


@dataclass(slots=True)
class Replica:
    """A pod with one GPU and the processes that lived in it. Times are Unix seconds."""

    pod: ServingPod
    flags: tuple[str, ...]
    lives: list[Life] = field(default_factory=list)
    created_at: float = 0.0

    @property
    def life(self) -> Life:
        return self.lives[-1]


@dataclass(frozen=True, slots=True)
class Look:
    """The operator's page and status of the pool at one moment of the run."""

    page: str
    status: dict[str, Any]


@dataclass(slots=True)
class Record:
    """Everything that the comparison needs of a run."""

    replicas: list[Replica] = field(default_factory=list)
    received: dict[str, Received] = field(default_factory=dict)
    load_from: float = 0.0
    load_to: float = 0.0
    killed_at: float = 0.0
    before: Look | None = None
    steady: Look | None = None
    speculating: Look | None = None
    after: Look | None = None


class Story:
    """Plays the run. `engine` is the folder of tests/engine/environment.py, `work` one for logs and pages."""

    def __init__(
        self, assets: Assets, engine: Path, work: Path, *, load_seconds: float, say: Callable[[str], None]
    ) -> None:
        self._scene = Scene(assets, (), say=say)
        self._engine, self._work = engine, work
        self._load_seconds = load_seconds
        self._say = say
        self._network = pick_network()
        self.record = Record()

    def play(self) -> Record:
        with ExitStack() as stack:
            stack.callback(self._stop_engines)
            self._enter_scene(stack)
            first = [self._start(f"tiny-{letter}", number) for number, letter in enumerate("ab")]
            for replica in first:
                self._report_ready(replica)
            operator = self._scene.start_operator()
            self._wait_for_pages(first)
            clients = stack.enter_context(Clients(CLIENTS))
            self.record.received = clients.received
            self.record.before = self._look(operator)
            self._tell_under_load(operator, clients, first)
        return self.record

    def _tell_under_load(self, operator: OperatorProcess, clients: Clients, first: list[Replica]) -> None:
        record = self.record
        record.load_from = time.time()
        clients.targets = tuple(replica.life for replica in first)
        self._wait("the load settles", SETTLE_SECONDS)
        record.steady = self._look(operator)
        self._kill_and_restart(clients, first)
        second = self._roll_out(clients, first)
        rest = record.load_from + self._load_seconds - time.time()
        self._wait("the new replicas serve", max(SETTLE_SECONDS, rest))
        record.speculating = self._look(operator)
        clients.finish()
        record.load_to = time.time()
        self._wait_for_pages(second)
        record.after = self._look(operator)

    def _enter_scene(self, stack: ExitStack) -> None:
        scene = stack.enter_context(self._scene)
        # The scene's own factory has no price: ours replaces it.
        scene.kubectl("delete", "tokenfactory", "default", "--ignore-not-found")
        scene.cluster.apply(FACTORY)
        scene.cluster.apply(RESOURCE)
        for name in ("node-0", "node-1"):
            scene.cluster.add_node(GpuNode(name=name, product=PRODUCT, gpus=2))

    def _start(self, name: str, number: int, flags: tuple[str, ...] = ()) -> Replica:
        """A pod bound to its node, whose server is starting."""
        pod = ServingPod(
            name=name,
            namespace=NAMESPACE,
            node=f"node-{number % 2}",
            ip=f"127.{self._network}.0.{number + 1}",
            gpus=1,
            labels={"app": POOL},
            args=("--model=tiny", *ARGUMENTS, *flags),
            port=PORT,
            ready=False,
            started_at=time.time(),
        )
        replica = Replica(pod, flags, created_at=time.time())
        self._scene.cluster.add_pod(pod)
        self._begin_life(replica)
        self.record.replicas.append(replica)
        return replica

    def _begin_life(self, replica: Replica) -> None:
        name = f"{replica.pod.name}#{len(replica.lives) + 1}"
        self._say(f"starting {name}")
        life = Life(self._engine, self._work, name=name, ip=replica.pod.ip, flags=replica.flags)
        replica.lives.append(life)

    def _report_ready(self, replica: Replica) -> None:
        """As the kubelet does when the readiness probe succeeds."""
        replica.life.wait_ready()
        replica.pod = replace(replica.pod, ready=True)
        self._scene.cluster.report(replica.pod)
        self._say(f"{replica.life.name} is ready")

    def _kill_and_restart(self, clients: Clients, replicas: list[Replica]) -> None:
        """SIGKILL; the kubelet reports it and starts the container anew."""
        victim, other = replicas
        self._say(f"SIGKILL to {victim.life.name}")
        self.record.killed_at = time.time()
        victim.life.kill()
        clients.targets = (other.life,)
        started = time.time()
        victim.pod = replace(victim.pod, ready=False, restarts=victim.pod.restarts + 1, started_at=started)
        self._scene.cluster.report(victim.pod)
        self._begin_life(victim)
        self._report_ready(victim)
        clients.targets = (victim.life, other.life)
        self._wait("both serve again", 4 * INTERVAL_SECONDS)

    def _roll_out(self, clients: Clients, old: list[Replica]) -> list[Replica]:
        """New pods beside the old ones; these are drained, read once more, and deleted."""
        new = [
            self._start(f"tiny-{letter}", number, SPECULATION) for number, letter in enumerate("cd", start=2)
        ]
        for replica in new:
            self._report_ready(replica)
        clients.targets = tuple(replica.life for replica in new)
        while any(clients.of(replica.life).running for replica in old):
            time.sleep(0.1)
        self._wait_for_pages(old)
        for replica in old:
            self._say(f"deleting {replica.pod.name}")
            self._scene.cluster.remove_pod(NAMESPACE, replica.pod.name)
            replica.life.stop()
        return new

    def _wait_for_pages(self, replicas: list[Replica], count: int = 2) -> None:
        """Until the operator was given `count` more pages of each."""
        since = time.time()
        for replica in replicas:
            life = replica.life

            def given(life: Life = life) -> bool:
                return sum(page.at > since for page in life.pages()) >= count

            self._scene.wait_for(f"pages of {life.name}", given, seconds=20 * INTERVAL_SECONDS)

    def _look(self, operator: OperatorProcess) -> Look:
        time.sleep(1.0)  # the cycle that a page belongs to ends within it
        return Look(operator.get("/metrics")[1], self._scene.status(POOL))

    def _wait(self, what: str, seconds: float) -> None:
        self._say(f"{what}: {seconds:.0f} s")
        time.sleep(seconds)

    def _stop_engines(self) -> None:
        for replica in self.record.replicas:
            replica.life.stop()
