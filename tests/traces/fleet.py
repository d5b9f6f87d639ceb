"""A small model of serving engines whose counters go through the real costing and judging.

An engine makes E(c) = peak x c / (c + half) tokens a second at c decoding sequences, up to its seats. Demand
in tokens a second is spread over the engines that serve; what can't be served waits, and gives up in the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tokenfactory.costing.assess import Situation, assess
from tokenfactory.costing.ledger import Ledger
from tokenfactory.judgement.judge import Evidence, JudgeMemory, judge
from tokenfactory.model import (
    Container,
    Endpoint,
    Engine,
    EngineId,
    EngineKind,
    EngineReading,
    Factory,
    Failure,
    FailureReason,
    Fleet,
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
    Terms,
    Verdict,
    layout_of,
)

BEGAN = 1_000_000.0
PRODUCT = "NVIDIA-H200"
TOKENS_PER_REQUEST = 400.0
PROMPT_PER_OUTPUT = 2.0
PIECES = 4
MOST_WAITING = 300.0
UNIT = 4000.0 * 16 / (16 + 8)
POOL = Pool(key=PoolKey("serving", "r1"), uid="u", generation=1, price_per_gpu_hour=Decimal("2"))
NODE = Node(name="node", gpu_product=PRODUCT)
SIGNALS = (
    Signal.PROMPT_TOKENS,
    Signal.OUTPUT_TOKENS,
    Signal.INTER_TOKEN_SECONDS,
    Signal.REQUESTS,
    Signal.PREEMPTIONS,
)
LAYOUT = layout_of(SeriesKey(signal, "0") for signal in SIGNALS)
FAMILIES = frozenset(SIGNALS)
Curve = Callable[[float], float]


def always(value: float) -> Curve:
    return lambda _: value


SEATS, FULL = always(64.0), always(1.0)


@dataclass(frozen=True, kw_only=True)
class Server:
    """One engine. Times count in windows from the beginning of the trace.

    `speed` multiplies the curve, `seats` bounds the sequences, `frozen` spans stand still with their gauges
    kept, `down` spans are restarts: not Ready, and counters from zero again.
    """

    epoch: str = "aaaa1111"
    born: float = -100.0
    gone: float = 1e9
    peak: float = 4000.0
    half: float = 8.0
    seats: Curve = SEATS
    speed: Curve = FULL
    frozen: tuple[tuple[float, float], ...] = ()
    down: tuple[tuple[float, float], ...] = ()
    role: Role = Role.AGGREGATED


@dataclass(frozen=True, kw_only=True)
class Trace:
    """`demand` is the load offered to the pool over what one engine makes at 16 sequences, by window. With
    `clients` in place of it, that many clients ask again as soon as they are answered.

    `lost` is the share of scrapes that fail, `noise` the deviation of an engine's speed within a scrape
    interval, `per_window` the scrapes of a window.
    """

    servers: tuple[Server, ...]
    demand: Curve = FULL
    clients: Curve | None = None
    windows: float = 14.0
    per_window: int = 15
    window: float = 300.0
    lost: float = 0.0
    noise: float = 0.05
    seed: int = 1
    accept: tuple[float, str] = (1e9, "")


@dataclass(slots=True)
class _State:
    """The counters of an engine since its start, in the order of SIGNALS, and its gauges."""

    counters: list[float] = field(default_factory=lambda: [0.0] * len(SIGNALS))
    running: float = 0.0
    waiting: float = 0.0
    backlog: float = 0.0
    kv: float = 0.0
    restarts: int = 0
    since: float = 0.0


def play(trace: Trace) -> Iterator[tuple[float, Verdict]]:
    """(time in windows, verdict) of every cycle."""
    chance = random.Random(trace.seed)
    step = 1.0 / trace.per_window
    terms = Terms(
        factory=Factory(),
        window_seconds=round(trace.window),
        scrape_interval_seconds=trace.window * step,
        collapse_for_seconds=trace.window / 5,
    )
    states = [_State() for _ in trace.servers]
    ledger: Ledger | None = None
    memory: JudgeMemory | None = None
    for cycle in range(round(trace.windows * trace.per_window) + 1):
        at = cycle * step
        if cycle:
            for piece in range(PIECES):
                _serve(trace, states, at - step + (piece + 1) * step / PIECES, chance, step / PIECES)
        now = BEGAN + at * trace.window + chance.uniform(0.0, 0.02) * trace.window * step
        situation = _look(trace, states, at, now, chance, terms)
        ledger, economics = assess(situation, ledger)
        pool = replace(POOL, accept_baseline=trace.accept[1]) if at >= trace.accept[0] else POOL
        evidence = Evidence(
            pool=pool,
            terms=terms,
            fleet=situation.fleet,
            inspected=situation.inspected,
            economics=economics,
            now=now,
        )
        memory, verdict = judge(evidence, memory)
        yield at, verdict


def _within(spans: tuple[tuple[float, float], ...], at: float) -> bool:
    return any(start < at <= end for start, end in spans)


def _serve(trace: Trace, states: list[_State], at: float, chance: random.Random, length: float) -> None:
    """Everything that the engines do in `length` windows."""
    seconds = length * trace.window
    able = [
        (server, state)
        for server, state in zip(trace.servers, states, strict=True)
        if server.born <= at < server.gone and not _within(server.down, at)
    ]
    for server, state in zip(trace.servers, states, strict=True):
        if _within(server.down, at) and state.since < at:
            state.counters = [0.0] * len(SIGNALS)
            state.running = state.waiting = state.backlog = 0.0
            state.restarts += 1
            state.since = next(end for start, end in server.down if start < at <= end)
    makers = [pair for pair in able if pair[0].role is not Role.PREFILL]
    for server, state in able:
        if _within(server.frozen, at):
            continue
        peers = makers if server.role is not Role.PREFILL else [p for p in able if p not in makers]
        if trace.clients is not None:
            clients = trace.clients(at) / max(1, len(peers))
            _run_closed(server, state, clients, at=at, chance=chance, seconds=seconds, noise=trace.noise)
            continue
        offered = max(0.0, trace.demand(at)) * UNIT / max(1, len(peers))
        _run(server, state, offered=offered, at=at, chance=chance, seconds=seconds, noise=trace.noise)


def _run(
    server: Server,
    state: _State,
    *,
    offered: float,
    at: float,
    chance: random.Random,
    seconds: float,
    noise: float,
) -> None:
    speed = server.peak * server.speed(at) * max(0.05, 1 + noise * chance.gauss(0, 1))
    seats = server.seats(at)
    wanted = max(0.0, offered * (1 + 2 * noise * chance.gauss(0, 1)))
    share = wanted / speed
    needed = server.half * share / (1 - share) if share < 0.999 else seats
    if state.backlog > 0 or needed >= seats:
        made, sequences = speed * seats / (seats + server.half), seats
    else:
        made, sequences = wanted, needed
    more = (wanted - made) * seconds / TOKENS_PER_REQUEST
    state.backlog = min(MOST_WAITING, max(0.0, state.backlog + more))
    _count(state, made=made, sequences=sequences, seats=seats, seconds=seconds, chance=chance)


def _run_closed(
    server: Server,
    state: _State,
    clients: float,
    *,
    at: float,
    chance: random.Random,
    seconds: float,
    noise: float,
) -> None:
    seats = server.seats(at)
    sequences = min(seats, clients)
    speed = server.peak * server.speed(at) * max(0.05, 1 + noise * chance.gauss(0, 1))
    state.backlog = max(0.0, clients - seats)
    made = speed * sequences / (sequences + server.half)
    _count(state, made=made, sequences=sequences, seats=seats, seconds=seconds, chance=chance)


def _count(
    state: _State, *, made: float, sequences: float, seats: float, seconds: float, chance: random.Random
) -> None:
    gains = (
        made * seconds * PROMPT_PER_OUTPUT,
        made * seconds,
        sequences * seconds,
        made * seconds / TOKENS_PER_REQUEST,
        0.0 if seats >= 64 else seconds / 10,
    )
    state.counters = [value + gain for value, gain in zip(state.counters, gains, strict=True)]
    state.running = float(int(sequences + chance.random()))
    state.waiting = float(int(state.backlog))
    state.kv = min(1.0, sequences / seats * (0.5 + 0.1 * chance.random()))


def _look(
    trace: Trace, states: list[_State], at: float, now: float, chance: random.Random, terms: Terms
) -> Situation:
    replicas: list[Replica] = []
    inspected: list[Inspected] = []
    engines: dict[EngineId, EngineReading | Failure] = {}
    for index, (server, state) in enumerate(zip(trace.servers, states, strict=True)):
        if not server.born <= at < server.gone:
            continue
        uid = f"pod-{index}"
        up = not _within(server.down, at)
        replicas.append(_replica(server, state, uid=uid, up=up, index=index, window=trace.window))
        inspected.append(
            Inspected(pod_uid=uid, container="engine", role=server.role, declarations=(), epoch=server.epoch)
        )
        if not up or chance.random() < trace.lost:
            engines[EngineId(uid, "engine")] = Failure(at=now, reason=FailureReason.TIMED_OUT)
            continue
        engines[EngineId(uid, "engine")] = EngineReading(
            at=now,
            layout=LAYOUT,
            counters=tuple(state.counters),
            levels={
                Level.RUNNING: state.running,
                Level.WAITING: state.waiting,
                Level.KV_CACHE_USAGE: state.kv,
            },
            families=FAMILIES,
        )
    return Situation(
        pool=POOL,
        terms=terms,
        fleet=Fleet(replicas=tuple(replicas)),
        inspected=tuple(inspected),
        readings=Readings(at=now, engines=engines, exporters={}),
        now=now,
    )


def _replica(server: Server, state: _State, *, uid: str, up: bool, index: int, window: float) -> Replica:
    started = server.born if state.restarts == 0 else state.since
    container = Container(
        name="engine",
        image="vllm",
        running=up,
        ready=up,
        restarts=state.restarts,
        started_at=BEGAN + started * window,
    )
    pod = Pod(
        namespace="serving",
        name=uid,
        uid=uid,
        phase="Running",
        node_name="node",
        ready=up,
        created_at=BEGAN + server.born * window,
        containers=(container,),
    )
    engine = Engine(
        container=container,
        kind=EngineKind.VLLM,
        role=server.role,
        endpoint=Endpoint(f"10.0.0.{index + 1}", 8000, "/metrics"),
    )
    return Replica(pod=pod, node=NODE, gpus=1.0, product=PRODUCT, engines=(engine,))
