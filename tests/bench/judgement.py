"""How often the judge cries wolf: seeded pool-days at 15 s and windows of 300 s, straight into its rules.

    python -m tests.bench.judgement --pool-days 1000 --processes 2

Pools differ in size, load, noise and habits: days and weekends, bursts, drifts of the mix of requests,
failed scrapes, autoscaling, rollouts that change nothing. A fifth of their days hold a fault, so that what is
counted is a judge at work. A page outside of faults is false; a page that clears and comes again within 30
minutes is a flap. The outcome depends on the seed alone.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from statistics import median

from tokenfactory.judgement.baseline import Baseline
from tokenfactory.judgement.collapse import Observation, step
from tokenfactory.judgement.watch import Watch
from tokenfactory.model import DenominatorState, LoadStep

INTERVAL, WINDOW = 15.0, 300.0
DAY = 86_400.0
DAYS_OF_A_POOL = 10
FLAP_SECONDS = 1800.0
GRACE = 4 * WINDOW
TOKENS_PER_REQUEST = 400.0
PAGES = (DenominatorState.THROUGHPUT_COLLAPSED, DenominatorState.ENGINE_STALLED)
ALARMS = (DenominatorState.EFFICIENCY_DEGRADED, *PAGES)


@dataclass(frozen=True, slots=True)
class Fault:
    """From `begin` to `end` (seconds) engines run at `share` of their speed; 0: they hang."""

    begin: float
    end: float
    share: float

    @property
    def name(self) -> str:
        if self.share == 0:
            return "engines hang"
        return "collapse (0.25 to 0.35 left)" if self.share < 0.4 else "degraded (0.5 to 0.65 left)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What makes one pool unlike another."""

    replicas: int
    peak: float
    half: float
    seats: float
    load: float
    swing: float
    weekend: float
    noise: float
    drift: float
    lost: float
    bursts: float
    scales: bool
    faults: tuple[Fault, ...]
    rollouts: tuple[float, ...]


@dataclass(slots=True)
class Tally:
    """What happened in one pool, or in all of them. Detection times are in windows."""

    cycles: int = 0
    false_pages: int = 0
    false_tickets: int = 0
    flaps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        self.cycles += other.cycles
        self.false_pages += other.false_pages
        self.false_tickets += other.false_tickets
        self.flaps += other.flaps
        self.faults += other.faults
        self.found += other.found
        self.states += other.states
        for name, times in other.times.items():
            self.times.setdefault(name, []).extend(times)


def _draw_habits(chance: random.Random) -> Habits:
    faults: list[Fault] = []
    for day in range(1, DAYS_OF_A_POOL):
        if chance.random() < 0.2:
            begin = (day + chance.uniform(0.3, 0.7)) * DAY
            share = chance.choice((0.0, chance.uniform(0.25, 0.35), chance.uniform(0.5, 0.65)))
            faults.append(Fault(begin, begin + chance.uniform(1800.0, 10_800.0), share))
    replicas = chance.choice((1, 1, 2, 2, 3, 4))
    return Habits(
        replicas=replicas,
        peak=chance.uniform(500.0, 6000.0),
        half=chance.uniform(3.0, 40.0),
        seats=chance.choice((32.0, 64.0, 128.0, 256.0)),
        load=chance.uniform(0.15, 0.8),
        swing=chance.uniform(0.2, 0.95),
        weekend=chance.choice((1.0, 0.6, 0.1)),
        noise=chance.uniform(0.03, 0.12),
        drift=chance.uniform(0.02, 0.08),
        lost=chance.choice((0.0, 0.0, 0.005, 0.03)),
        bursts=chance.choice((0.0, 0.5, 1.0)),
        scales=replicas > 1 and chance.random() < 0.4,
        faults=tuple(faults),
        rollouts=tuple((day + chance.random()) * DAY for day in range(1, DAYS_OF_A_POOL, 3)),
    )


class PoolOfDays:
    """One pool from its first day on."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._habits = _draw_habits(self._chance)
        self._mix = 0.0
        self._burst_until = 0.0
        self._backlog = 0.0
        self._missed = [0] * self._habits.replicas
        self._owed = [(0.0, 0.0)] * self._habits.replicas
        self._still = 0.0

    def cycles(self) -> Iterator[tuple[Observation, Fault | None]]:
        """Every 15 s what the judge sees, and the fault that is on."""
        for number in range(round(DAYS_OF_A_POOL * DAY / INTERVAL)):
            now = 1_000_000.0 + number * INTERVAL
            at = number * INTERVAL
            fault = next((f for f in self._habits.faults if f.begin <= at < f.end), None)
            yield self._cycle(now, at, fault), fault

    def _demand(self, at: float) -> float:
        """Tokens/s offered, over what all replicas make at full seats."""
        habits, chance = self._habits, self._chance
        day = at / DAY
        daily = 1 - habits.swing * (0.5 + 0.5 * math.cos(2 * math.pi * day))
        if int(day) % 7 >= 5:
            daily *= habits.weekend
        if habits.bursts and at >= self._burst_until and chance.random() < habits.bursts / 400:
            self._burst_until = at + chance.uniform(30.0, 900.0)
        burst = 1.8 if at < self._burst_until else 1.0
        return habits.load * daily * burst * (1 + 0.1 * chance.gauss(0, 1))

    def _cycle(self, now: float, at: float, fault: Fault | None) -> Observation:
        habits, chance = self._habits, self._chance
        self._mix += -self._mix * INTERVAL / 3600 + habits.drift * 0.09 * chance.gauss(0, 1)
        epoch = f"e{sum(1 for moment in habits.rollouts if at >= moment)}"
        demand = self._demand(at)
        ready = habits.replicas
        if habits.scales and demand < 0.3:
            ready = max(1, habits.replicas // 2)
        full = habits.seats / (habits.seats + habits.half)
        speed = habits.peak * math.exp(self._mix) * (fault.share if fault else 1.0)
        offered = max(0.0, demand) * habits.replicas * habits.peak * full / ready
        made, sequences = self._serve(offered, speed=speed, hangs=speed <= 0, ready=ready)
        self._still = self._still + INTERVAL if speed <= 0 else 0.0
        steps = tuple(self._scrape(index, made, sequences, epoch) for index in range(ready))
        taken = tuple(item for item in steps if item is not None)
        holds = sequences >= 0.5 or self._backlog >= 1
        return Observation(
            now=now,
            window=WINDOW,
            fraction=0.5,
            hold=60.0,
            role="aggregated",
            ready=ready,
            steps=taken,
            kinds=((epoch, "H200"),) * ready,
            running=float(int(sequences * ready + chance.random())),
            waiting=float(int(self._backlog)),
            tokens=3 * made * ready * WINDOW,
            stuck_share=1.0 if holds and self._still >= WINDOW / 2 else 0.0,
        )

    def _serve(self, offered: float, *, speed: float, hangs: bool, ready: int) -> tuple[float, float]:
        """Tokens/s and sequences of each replica; what can't be served waits, and in the end gives up."""
        seats, half = self._habits.seats, self._habits.half
        if hangs:
            self._backlog = min(500.0, self._backlog + offered * ready * INTERVAL / TOKENS_PER_REQUEST)
            return 0.0, seats if self._backlog > seats else self._backlog / ready
        share = offered / speed
        needed = half * share / (1 - share) if share < 0.999 else seats
        if self._backlog > 0 or needed >= seats:
            made, sequences = speed * seats / (seats + half), seats
        else:
            made, sequences = offered, needed
        more = (offered - made) * ready * INTERVAL / TOKENS_PER_REQUEST
        self._backlog = min(500.0, max(0.0, self._backlog + more))
        return made, sequences

    def _scrape(self, index: int, made: float, sequences: float, epoch: str) -> LoadStep | None:
        """The engine's counters since its last good scrape; None when this one fails."""
        chance, noise = self._chance, self._habits.noise
        if self._habits.lost and chance.random() < self._habits.lost:
            tokens, spent = self._owed[index]
            self._owed[index] = (tokens + made * INTERVAL, spent + sequences * INTERVAL)
            self._missed[index] += 1
            return None
        tokens, spent = self._owed[index]
        seconds = INTERVAL * (1 + self._missed[index])
        self._owed[index], self._missed[index] = (0.0, 0.0), 0
        wobble = max(0.2, 1 + noise * chance.gauss(0, 1))
        hung = made <= 0
        return LoadStep(
            epoch=epoch,
            product="H200",
            seconds=seconds,
            gpu_seconds=seconds,
            tokens=(tokens + made * INTERVAL) * wobble,
            sequence_seconds=spent + (0.0 if hung else sequences * INTERVAL),
        )


def judge_pool(seed: int) -> Tally:
    """All days of one pool through the judge's rules."""
    tally = Tally()
    watch, baselines = Watch(), tuple[Baseline, ...]()
    pool = PoolOfDays(seed)
    paging = alarming = False
    cleared_at, calm_since = -math.inf, -math.inf
    open_fault: Fault | None = None
    found = True
    for seen, fault in pool.cycles():
        watch, baselines, ruling = step(seen, watch=watch, baselines=baselines)
        tally.cycles += 1
        tally.states[ruling.state.value] += 1
        if fault is not None and fault is not open_fault:
            open_fault, found = fault, False
            began = seen.now
            tally.faults[fault.name] += 1
        if fault is not None:
            calm_since = seen.now
        excused = seen.now - calm_since <= GRACE
        page, alarm = ruling.state in PAGES, ruling.state in ALARMS
        if alarm and fault is not None and not found:
            found = True
            tally.found[fault.name] += 1
            tally.times.setdefault(fault.name, []).append((seen.now - began) / WINDOW)
        if page and not paging:
            tally.false_pages += not excused
            tally.flaps += seen.now - cleared_at < FLAP_SECONDS
        if paging and not page:
            cleared_at = seen.now
        tally.false_tickets += alarm and not alarming and not page and not excused
        paging, alarming = page, alarm
    return tally


def report(tally: Tally, *, pool_days: float, seconds: float, seed: int) -> str:
    """The outcome as a table."""
    rows = [
        ("pool-days", f"{pool_days:,.0f}", ""),
        ("cycles of 15 s", f"{tally.cycles:,}", ""),
        ("false pages in 100 pool-days", f"{100 * tally.false_pages / pool_days:.2f}", "1"),
        ("flaps in 1,000 pool-days", f"{1000 * tally.flaps / pool_days:.2f}", "1"),
        ("false tickets in 100 pool-days", f"{100 * tally.false_tickets / pool_days:.2f}", ""),
    ]
    for name in sorted(tally.faults):
        times = tally.times.get(name, [math.nan])
        share = f"{tally.found[name]} of {tally.faults[name]}"
        rows.append((f"found: {name}", f"{share}, median {median(times):.2f} windows", ""))
    busy = ", ".join(f"{state} {count / tally.cycles:.1%}" for state, count in tally.states.most_common())
    lines = ["| what | seen | at most |", "|---|---|---|"]
    lines += [f"| {what} | {value} | {most} |" for what, value, most in rows]
    return "\n".join([*lines, "", f"States: {busy}. Seed {seed}, {seconds:.0f} s."])


def main() -> None:
    parser = argparse.ArgumentParser(description="False pages and flaps of the judge over seeded pool-days.")
    parser.add_argument("--pool-days", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    pools = math.ceil(asked.pool_days / DAYS_OF_A_POOL)
    began, whole = time.monotonic(), Tally()
    with ProcessPoolExecutor(asked.processes) as workers:
        for tally in workers.map(judge_pool, range(asked.seed * 100_000, asked.seed * 100_000 + pools)):
            whole.add(tally)
    took = time.monotonic() - began
    print(report(whole, pool_days=pools * DAYS_OF_A_POOL, seconds=took, seed=asked.seed))


if __name__ == "__main__":
    main()
