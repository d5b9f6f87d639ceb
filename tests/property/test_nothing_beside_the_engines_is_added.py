"""Whatever runs beside the engines, and whatever its pages say, no token, GPU or price of the pool moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.costing.synthetic import T0, Sim, SimPod
from tokenfactory.costing.assess import Situation
from tokenfactory.model import (
    Companion,
    CompanionKind,
    Container,
    Economics,
    EngineReading,
    Failure,
    FailureReason,
    Histogram,
    Level,
    Pod,
    SeriesKey,
    Signal,
    id_of_companion,
    layout_of,
)

SIGNALS = (Signal.OUTPUT_TOKENS, Signal.PROMPT_TOKENS, Signal.REQUESTS, Signal.OFFLOAD_HIT_TOKENS)
BUCKETS = tuple(SeriesKey(Histogram.TIME_TO_FIRST_TOKEN, "m", bound) for bound in (0.5, 1.0, float("inf")))
LAYOUT = layout_of((*(SeriesKey(signal, "m") for signal in SIGNALS), *BUCKETS))
END = T0 + 450


@dataclass(frozen=True)
class Beside:
    """One companion: how fast its counters rise, how often it restarts, which of its scrapes are lost."""

    kind: CompanionKind
    rate: float
    waiting: float
    restart_every: int
    lost: frozenset[int]

    def companion(self, number: int, turn: int) -> Companion:
        started = T0 - 3600.0 + (turn // self.restart_every * self.restart_every * 15.0)
        container = Container(
            name="main", image="i", running=True, ready=True, restarts=turn // self.restart_every
        )
        pod = Pod(namespace="serving", name=f"beside-{number}", uid=f"beside-{number}", created_at=started)
        return Companion(kind=self.kind, pod=pod, container=container)

    def reading(self, turn: int, at: float) -> EngineReading | Failure:
        if turn in self.lost:
            return Failure(at=at, reason=FailureReason.TIMED_OUT)
        value = self.rate * (turn % self.restart_every)
        return EngineReading(
            at=at,
            layout=LAYOUT,
            counters=(value,) * len(LAYOUT),
            levels={Level.RUNNING: 3.0, Level.WAITING: self.waiting},
            families=frozenset({*SIGNALS, Histogram.TIME_TO_FIRST_TOKEN}),
        )


@dataclass(slots=True)
class Accompanied(Sim):
    """The same pods with these companions."""

    companions: tuple[Beside, ...] = ()

    def situation(self, now: float) -> Situation:
        plain = Sim.situation(self, now)
        turn = round((now - T0) / 15)
        named = [(item, item.companion(number, turn)) for number, item in enumerate(self.companions)]
        return replace(
            plain,
            fleet=replace(plain.fleet, companions=tuple(companion for _, companion in named)),
            readings=replace(
                plain.readings,
                companions={id_of_companion(companion): item.reading(turn, now) for item, companion in named},
            ),
        )


companions = st.lists(
    st.builds(
        Beside,
        kind=st.sampled_from(CompanionKind),
        rate=st.sampled_from((0.0, 1.0, 1e7)),
        waiting=st.sampled_from((0.0, 500.0)),
        restart_every=st.sampled_from((3, 7, 1000)),
        lost=st.frozensets(st.integers(0, 30), max_size=10),
    ),
    min_size=1,
    max_size=3,
)


def money(economics: Economics) -> tuple[object, ...]:
    """All that is counted, charged or covered."""
    return (
        economics.cost,
        economics.throughput,
        economics.gpus,
        economics.coverage,
        economics.roles,
        economics.increments,
        economics.pods,
        economics.savings,
        economics.measured,
        economics.provisioned,
        economics.evidence,
        tuple((load.tokens, load.concurrency, load.per_ready_gpu) for load in economics.loads),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(companions)
def test_no_token_gpu_or_price_of_the_pool_moves(beside: list[Beside]) -> None:
    pods = (SimPod(name="a"), SimPod(name="b", restarts=((T0 + 100, T0 + 140),)))
    plain, accompanied = Sim(pods), Accompanied(pods, companions=tuple(beside))
    plain.run(T0, END)
    accompanied.run(T0, END)
    assert [money(item) for item in accompanied.history] == [money(item) for item in plain.history]
    assert len(accompanied.history[-1].companions) == len(beside)
    assert all(value >= 0 for item in accompanied.history[-1].companions for value in item.gained.values())


def test_what_is_remembered_of_companions_stays_bounded_and_goes_with_them() -> None:
    busy = Beside(CompanionKind.DYNAMO_FRONTEND, 1.0, 2.0, 1000, frozenset())
    sim = Accompanied((SimPod(name="a"),), companions=(busy, busy))
    sim.run(T0, T0 + 3600)
    assert sim.ledger is not None
    assert len(sim.ledger.companions) == 2
    assert max(len(track.segments) for track in sim.ledger.companions.values()) < 60
    assert len(sim.ledger.client_latency) < 60
    sim.companions = ()
    sim.run(T0 + 3615, T0 + 5400)
    assert dict(sim.ledger.companions) == {}
    assert sim.ledger.client_latency == ()
