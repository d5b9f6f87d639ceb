"""The demo's fleet: four GPU pools with known true rates, and one pool that can't be served."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.exporter_page import Board, render_exporter_page
from tokenfactory.sandbox.objects import Body, GpuNode, ServingPod
from tokenfactory.sandbox.site import Site
from tokenfactory.sandbox.workload import Odometer, Workload

NAMESPACE = "serving"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """One pool of the replayed fleet: its resource, its hardware, what each replica truly does."""

    name: str
    product: str
    gpus_per_pod: int
    replicas: int
    per_gpu_hour: Decimal
    workload: Workload
    watts_per_gpu: float
    args: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        return self.gpus_per_pod * self.replicas

    @property
    def serves(self) -> bool:
        return self.workload.total > 0

    def body(self, *, window_seconds: int) -> Body:
        """The InferencePool as a platform team would apply it."""
        optional = {"FP4", "SpeculativeDecoding", "KVCacheOffloading", "MultiTokenPrediction"}
        rows = [{"name": name, "policy": "Required"} for name in self.required]
        rows += [{"name": name, "policy": "Preferred"} for name in sorted(optional - set(self.required))]
        rows.append({"name": "DisaggregatedServing", "policy": "Ignored"})
        return {
            "apiVersion": "tokenfactory.dev/v1alpha1",
            "kind": "InferencePool",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": {"app": self.name}},
                "optimizations": rows,
                "windowSeconds": window_seconds,
            },
        }


H200 = PoolPlan(
    name="llama-h200",
    product="NVIDIA-H200",
    gpus_per_pod=8,
    replicas=1,
    per_gpu_hour=Decimal("1.41"),
    watts_per_gpu=525.0,
    args=("--model", "meta-llama/Llama-3.3-70B-Instruct", "--tensor-parallel-size", "8"),
    workload=Workload(
        model="llama-3.3-70b",
        uncached_input=420.0,
        cached_input=146.4,
        output=180.0,
        requests=1.2,
        concurrency=4.5,
        time_to_first_token=0.35,
        inter_token_latency=0.025,
    ),
)
B200 = PoolPlan(
    name="qwen-b200",
    product="NVIDIA-B200",
    gpus_per_pod=8,
    replicas=3,
    per_gpu_hour=Decimal("1.95"),
    watts_per_gpu=810.0,
    args=(
        "--model=nvidia/Qwen3-235B-A22B-NVFP4",
        "--tensor-parallel-size=8",
        '--speculative-config={"method":"eagle3","model":"qwen3-eagle3","num_speculative_tokens":3}',
    ),
    required=("FP4", "SpeculativeDecoding"),
    workload=Workload(
        model="qwen3-235b",
        uncached_input=14200.0,
        cached_input=2264.0,
        output=4000.0,
        requests=4.0,
        concurrency=53.0,
        drafts=1400.0,
        draft_tokens=4200.0,
        accepted_tokens=2600.0,
    ),
)
GB300 = PoolPlan(
    name="deepseek-gb300",
    product="NVIDIA-GB300",
    gpus_per_pod=4,
    replicas=2,
    per_gpu_hour=Decimal("2.652"),
    watts_per_gpu=1013.0,
    args=(
        "--model=nvidia/DeepSeek-R1-NVFP4",
        "--tensor-parallel-size=4",
        '--speculative-config={"method":"mtp","num_speculative_tokens":3}',
        "--kv-offloading-size=256",
    ),
    required=("FP4", "MultiTokenPrediction"),
    workload=Workload(
        model="deepseek-r1",
        uncached_input=17000.0,
        cached_input=4333.0,
        output=2667.0,
        requests=2.6,
        concurrency=24.0,
        drafts=890.0,
        draft_tokens=2670.0,
        accepted_tokens=1780.0,
    ),
)
IDLE = PoolPlan(
    name="mixtral-idle",
    product="NVIDIA-H200",
    gpus_per_pod=8,
    replicas=1,
    per_gpu_hour=Decimal("1.41"),
    watts_per_gpu=76.0,
    args=("--model", "mistralai/Mixtral-8x22B-Instruct-v0.1"),
    workload=Workload(model="mixtral-8x22b"),
)
DEMO = (H200, B200, GB300, IDLE)

WRONG: Body = {
    "apiVersion": "tokenfactory.dev/v1alpha1",
    "kind": "InferencePool",
    "metadata": {"name": "wrong-poolref", "namespace": NAMESPACE},
    "spec": {"poolRef": {"name": "nobody-made-this-pool"}},
}


def factory_body(plans: tuple[PoolPlan, ...], *, alertmanagers: tuple[str, ...] = ()) -> Body:
    """The platform team's TokenFactory: one price for each product, exporters that sample every second.

    `alertmanagers` are the URLs that the operator posts alerts to.
    """
    prices = {plan.product: plan.per_gpu_hour for plan in plans}
    return {
        "apiVersion": "tokenfactory.dev/v1alpha1",
        "kind": "TokenFactory",
        "metadata": {"name": "default"},
        "spec": {
            "currency": "USD",
            "prices": [
                {
                    "match": {"gpuProduct": product},
                    "perGPUHour": str(price),
                    "source": "demo contract",
                    "asOf": "2026-11-01",
                }
                for product, price in sorted(prices.items())
            ],
            "telemetry": {"dcgm": {"sampleIntervalSeconds": 1}},
            **({"alertmanagers": [{"url": url} for url in alertmanagers]} if alertmanagers else {}),
        },
    }


@dataclass(slots=True)
class Engine:
    """A running replayed engine: its pod, its counters, and the plan that it belongs to."""

    plan: PoolPlan
    pod: ServingPod
    odometer: Odometer


class ReplayedFleet:
    """Nodes, pods and pages of a set of plans. Objects for an API server; pages on a `Site`."""

    def __init__(
        self, plans: tuple[PoolPlan, ...], *, clock: Callable[[], float] = time.time, network: int = 10
    ) -> None:
        self._clock = clock
        self._network = network
        self.plans = plans
        self.started_at = clock()
        self.nodes: list[GpuNode] = []
        self.engines: dict[str, Engine] = {}
        for plan in plans:
            for index in range(plan.replicas):
                self.place(plan, index)

    def boards(self, node: GpuNode) -> tuple[Board, ...]:
        """The GPUs of a node, held by the pod that runs there."""
        holder = next((engine for engine in self.engines.values() if engine.pod.node == node.name), None)
        empty = Board(node=node.name, index=0, product=node.product)
        boards = tuple(replace(empty, index=index) for index in range(node.gpus))
        if holder is None:
            return boards
        busy = 92.0 if holder.odometer.workload.total else 0.0
        return tuple(
            replace(
                board,
                pod=holder.pod.name,
                namespace=holder.pod.namespace,
                container="vllm",
                watts=holder.plan.watts_per_gpu,
                busy_percent=busy,
                tensor_active=busy / 400,
                memory_used_mib=130000.0,
            )
            for board in boards
        )

    def serve(self, site: Site) -> None:
        """Puts every page on its own loopback address."""
        for name in self.engines:
            self.serve_engine(site, name)
        for node in self.nodes:
            self.serve_exporter(site, node)

    def serve_engine(self, site: Site, name: str) -> None:
        engine = self.engines[name]
        site.add(engine.pod.ip, engine.pod.port, lambda now: render_engine_page(engine.odometer, now=now))

    def serve_exporter(self, site: Site, node: GpuNode) -> None:
        site.add(
            node.exporter_ip,
            node.exporter_port,
            lambda now: render_exporter_page(self.boards(node), elapsed=now - self.started_at + 86400),
        )

    def place(self, plan: PoolPlan, index: int) -> Engine:
        """Replica `index` of a plan on a node of its own; neither is served or on the API server yet."""
        number = len(self.nodes) + 1
        node = GpuNode(
            name=f"{plan.name}-node-{index}",
            product=plan.product,
            gpus=plan.gpus_per_pod,
            exporter_ip=self._address(number, host=2),
        )
        pod = ServingPod(
            name=f"{plan.name}-{index}",
            namespace=NAMESPACE,
            node=node.name,
            ip=self._address(number, host=1),
            gpus=plan.gpus_per_pod,
            labels={"app": plan.name},
            args=plan.args,
            started_at=self.started_at - 3600,
        )
        self.nodes.append(node)
        engine = Engine(plan, pod, Odometer(plan.workload, started_at=self.started_at - 3600))
        self.engines[pod.name] = engine
        return engine

    def replace(self, name: str, plan: PoolPlan) -> Engine:
        """Another pod of that name, told by `plan` what to do: it loads, and its counters start at zero."""
        engine, now = self.engines[name], self._clock()
        engine.plan = plan
        engine.pod = replace(engine.pod, args=plan.args, started_at=now, ready=False)
        engine.odometer = Odometer(Workload(model=plan.workload.model), started_at=now)
        return engine

    def make_ready(self, name: str) -> None:
        """The engine has loaded and begins to work."""
        engine = self.engines[name]
        engine.pod = replace(engine.pod, ready=True)
        engine.odometer.change(engine.plan.workload, now=self._clock())

    def _address(self, number: int, *, host: int) -> str:
        """Pods live in 127.<network>.0.0/16, exporters in the next one."""
        return f"127.{self._network + host - 1}.{number // 200}.{number % 200 + 1}"
