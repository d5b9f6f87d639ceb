"""A small synthetic fleet with known truth: pods with constant rates, read at chosen times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tokenfactory.costing.assess import Situation, assess
from tokenfactory.costing.ledger import Ledger
from tokenfactory.model import (
    Container,
    Economics,
    Engine,
    EngineId,
    EngineKind,
    EngineReading,
    ExporterReading,
    Factory,
    Failure,
    FailureReason,
    Fleet,
    GpuReading,
    Histogram,
    Inspected,
    Level,
    Node,
    Pod,
    Pool,
    PoolKey,
    Readings,
    Replica,
    Role,
    SeriesKey,
    Signal,
    TelemetryTerms,
    Terms,
    layout_of,
)

POOL = Pool(key=PoolKey("serving", "r1"), uid="u", generation=1, price_per_gpu_hour=Decimal("2"))
TERMS = Terms(
    factory=Factory(),
    window_seconds=300,
    scrape_interval_seconds=15.0,
    telemetry=TelemetryTerms(dcgm_sample_interval_seconds=30),
)
T0 = 1_000_000.0
SIGNALS = (
    Signal.PROMPT_TOKENS,
    Signal.CACHED_PROMPT_TOKENS,
    Signal.OUTPUT_TOKENS,
    Signal.INTER_TOKEN_SECONDS,
    Signal.PREFILL_SECONDS,
    Signal.DECODE_SECONDS,
)
KEYS = tuple(SeriesKey(signal, rank) for signal in SIGNALS for rank in ("0", "1"))
LAYOUT = layout_of(KEYS)
FAMILIES = frozenset(SIGNALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimPod:
    """A pod that serves at constant rates from `ready_at` on; `restarts` are (down_at, ready_again_at)."""

    name: str
    uid: str = ""
    gpus: float = 8.0
    product: str | None = "NVIDIA-H200"
    created_at: float = T0 - 3600
    ready_at: float = T0 - 3600
    gone_at: float = float("inf")
    bound: bool = True
    prompt: float = 600.0
    cached: float = 200.0
    output: float = 150.0
    decoding: float = 5.0
    decode_seconds: float | None = None
    waiting: float = 0.0
    running: float | None = None
    watts: float = 500.0
    restarts: tuple[tuple[float, float], ...] = ()
    role: Role = Role.AGGREGATED
    kind: EngineKind = EngineKind.VLLM
    families: frozenset[Signal | Histogram] = FAMILIES
    more: tuple[tuple[Signal, float], ...] = ()
    instance_type: str = ""
    group: str = ""
    follower: bool = False

    @property
    def id(self) -> EngineId:
        return EngineId(self.uid or self.name, "engine")

    @property
    def node(self) -> str:
        return f"node-of-{self.name}"

    def up(self, t: float) -> bool:
        return t >= self.ready_at and not any(down <= t < back for down, back in self.restarts)

    def started_at(self, t: float) -> float:
        backs = [back for down, back in self.restarts if down <= t]
        return max(backs) - 20.0 if backs and t >= max(backs) - 20.0 else self.created_at

    def serving_since(self, t: float) -> float:
        return max([self.ready_at, *(back for _, back in self.restarts if back <= t)])

    def counted(self, t: float) -> tuple[float, ...]:
        seconds = max(0.0, t - self.serving_since(t))
        spent = (self.decoding / 2, self.decoding if self.decode_seconds is None else self.decode_seconds)
        rates = (self.prompt, self.cached, self.output, self.decoding, *spent)
        return tuple(rate * seconds / 2 for rate in rates for _ in range(2)) + tuple(
            rate * seconds for _, rate in self.more
        )


def reading(pod: SimPod, t: float) -> EngineReading:
    running = (pod.decoding if pod.running is None else pod.running) if pod.up(t) else 0.0
    whole = (*KEYS, *(SeriesKey(signal, "0") for signal, _ in pod.more))
    families = pod.families | {signal for signal, _ in pod.more}
    keep = [i for i, key in enumerate(whole) if key.signal in families]
    values = pod.counted(t)
    return EngineReading(
        at=t,
        layout=LAYOUT if len(keep) == len(LAYOUT) == len(whole) else layout_of(whole[i] for i in keep),
        counters=tuple(values[i] for i in keep),
        levels={Level.RUNNING: running, Level.WAITING: pod.waiting},
        families=families,
        info={"model": "DeepSeek-R1", "version": "0.32.0"},
    )


def replica(pod: SimPod, t: float) -> Replica:
    up = pod.up(t)
    container = Container(
        name="engine",
        image="vllm",
        running=True,
        ready=up,
        started_at=pod.started_at(t),
        restarts=sum(back - 20.0 <= t for _, back in pod.restarts),
    )
    engines = (Engine(container=container, kind=pod.kind, role=pod.role),)
    return Replica(
        pod=Pod(
            namespace="serving",
            name=pod.name,
            uid=pod.uid or pod.name,
            node_name=pod.node if pod.bound else "",
            phase="Running" if pod.bound else "Pending",
            ready=up,
            created_at=pod.created_at,
            containers=(container,),
        ),
        node=Node(name=pod.node, gpu_product=pod.product, instance_type=pod.instance_type or None),
        gpus=pod.gpus,
        product=pod.product,
        engines=engines if pod.kind is not EngineKind.NONE else (),
        group=pod.group,
        follower=pod.follower,
    )


def dcgm(pod: SimPod, t: float) -> ExporterReading:
    """Each board draws `watts`; the counter is in mJ and has run since long ago."""
    return ExporterReading(
        at=t,
        node_name=pod.node,
        gpus=tuple(
            GpuReading(
                uuid=f"GPU-{pod.node}-{i}",
                product="NVIDIA H200",
                pod=pod.name,
                namespace="serving",
                energy_millijoules=1e9 + (t - T0 + 7200) * pod.watts * 1000,
                watts=pod.watts,
                utilisation=0.6,
                tensor_active=0.4,
                memory_used_mib=90.0,
                memory_free_mib=5.0,
                memory_reserved_mib=5.0,
            )
            for i in range(round(pod.gpus))
        ),
    )


LostScrapes = Callable[[SimPod, float], bool]


def nothing_lost(pod: SimPod, t: float) -> bool:
    return False


@dataclass(slots=True)
class Sim:
    """Runs cycles over the pods; `lost(pod, t)` makes a scrape fail, `dark(pod, t)` an exporter.

    `age(t)` is how old the pages are that the cycle at `t` reads, in seconds: a Prometheus' are.
    """

    pods: tuple[SimPod, ...]
    pool: Pool = POOL
    terms: Terms = TERMS
    lost: LostScrapes = nothing_lost
    dark: LostScrapes = nothing_lost
    age: Callable[[float], float] = lambda _: 0.0
    ledger: Ledger | None = None
    history: list[Economics] = field(default_factory=list)

    def situation(self, now: float) -> Situation:
        alive = [p for p in self.pods if p.created_at <= now < p.gone_at]
        engines: dict[EngineId, EngineReading | Failure] = {}
        exporters: dict[str, ExporterReading | Failure] = {}
        for pod in alive:
            readable = pod.kind is EngineKind.VLLM and pod.up(now)
            if readable and not self.lost(pod, now):
                engines[pod.id] = reading(pod, now - self.age(now))
            elif pod.kind is EngineKind.VLLM:
                engines[pod.id] = Failure(at=now, reason=FailureReason.TIMED_OUT)
            if pod.bound and not self.dark(pod, now):
                exporters[pod.node] = dcgm(pod, now - self.age(now))
        return Situation(
            pool=self.pool,
            terms=self.terms,
            fleet=Fleet(replicas=tuple(replica(pod, now) for pod in alive)),
            inspected=tuple(
                Inspected(pod_uid=p.id.pod_uid, container="engine", role=p.role, declarations=())
                for p in alive
                if p.kind is not EngineKind.NONE
            ),
            readings=Readings(at=now, engines=engines, exporters=exporters),
            now=now,
        )

    def cycle(self, now: float) -> Economics:
        self.ledger, economics = assess(self.situation(now), self.ledger)
        self.history.append(economics)
        return economics

    def run(self, start: float, end: float, step: float = 15.0) -> Economics:
        t = start
        while t <= end:
            self.cycle(t)
            t += step
        return self.history[-1]


def served(pod: SimPod, start: float, end: float) -> float:
    """True seconds of serving in [start, end]."""
    total = max(0.0, min(end, pod.gone_at) - max(start, pod.ready_at))
    for down, back in pod.restarts:
        total -= max(0.0, min(back, end) - max(down, start))
    return max(0.0, total)


def held(pod: SimPod, start: float, end: float) -> float:
    """True GPU-seconds held in [start, end]."""
    return max(0.0, min(end, pod.gone_at) - max(start, pod.created_at)) * pod.gpus


def with_factory(**changes: object) -> Terms:
    return replace(TERMS, factory=replace(Factory(), **changes))  # type: ignore[arg-type]


def totals(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in parts:
        for key, value in part.items():
            found[key] = found.get(key, 0.0) + value
    return found
