"""Everything published of one cycle, composed from the window (docs/cost-model.md §1-§15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tokenfactory.costing import boards
from tokenfactory.costing.companions import (
    add_queue,
    compare_frontends,
    is_queueing,
    list_companions,
    speak_for_clients,
)
from tokenfactory.costing.cost import find_cost, window_price
from tokenfactory.costing.coverage import count_gpus, count_replicas, list_failures, list_roles, meter_share
from tokenfactory.costing.energy import (
    find_measured,
    find_provisioned,
    held_by_pod,
    sum_spans,
    watts_by_pod,
)
from tokenfactory.costing.evidence import gather_evidence
from tokenfactory.costing.gpufigures import find_boards, find_gpus
from tokenfactory.costing.hardware import UNKNOWN_HARDWARE, HardwareFacts
from tokenfactory.costing.increments import add_up
from tokenfactory.costing.latency import as_clients_see_it, find_latency, sum_slices
from tokenfactory.costing.ledger import EnergySpan, Ledger
from tokenfactory.costing.loads import weigh_roles
from tokenfactory.costing.podfigures import split_pods
from tokenfactory.costing.prices import ProductPrice, price_product, quote_from
from tokenfactory.costing.reference import Demand, compare
from tokenfactory.costing.savings import find_savings
from tokenfactory.costing.shares import Share
from tokenfactory.costing.split import halve, per_million_of_each
from tokenfactory.costing.standing import find_move, stand
from tokenfactory.costing.throughput import cached_share, decoders, find_throughput, set_pace
from tokenfactory.costing.tokencount import Counted, count_window
from tokenfactory.costing.tracks import Sight, Step
from tokenfactory.costing.window import FRESH_INTERVALS, Span, WindowView, view
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing
from tokenfactory.model import (
    CompanionFigures,
    CostBasis,
    CostFigures,
    Coverage,
    Economics,
    EnergyFigures,
    EngineKind,
    Fleet,
    FleetReason,
    GpuFigures,
    Histogram,
    Pool,
    PowerTerms,
    PriceQuote,
    Quantiles,
    Readings,
    Role,
    Savings,
    Signal,
    Standing,
    Terms,
    ThroughputFigures,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One cycle after the ledger was written: what the figures are made of."""

    pool: Pool
    terms: Terms
    fleet: Fleet
    readings: Readings
    now: float
    ledger: Ledger
    span: Span
    energy_span: Span
    sights: tuple[Sight, ...]
    observed: Mapping[str, float]
    steps: tuple[Step, ...]
    closed_energy: tuple[EnergySpan, ...]

    @property
    def power(self) -> PowerTerms:
        return self.terms.factory.power if self.terms.factory else PowerTerms()

    @property
    def interval(self) -> float:
        return self.terms.scrape_interval_seconds

    @property
    def sample_interval(self) -> float:
        """Seconds between two samples of an exporter."""
        return float(self.terms.telemetry.dcgm_sample_interval_seconds)

    @property
    def patience(self) -> float:
        """Seconds for which what was seen last still counts as seen."""
        return FRESH_INTERVALS * self.interval

    @property
    def held(self) -> dict[HardwareFacts, float]:
        """GPUs held now by what they are."""
        found: dict[HardwareFacts, float] = {}
        for sight in self.sights:
            if sight.gpus > 0:
                found[sight.facts] = found.get(sight.facts, 0.0) + sight.gpus
        return found


def compose(cycle: Cycle) -> Economics:
    """All figures of the cycle."""
    window, held = view(cycle.ledger.tracks.values(), cycle.span), cycle.held
    coverage = count_replicas(cycle.sights, cycle.ledger, now=cycle.now, interval=cycle.interval)
    counted = _count(cycle, window, coverage)
    pace = set_pace(window, held=sum(held.values()), coverage=coverage)
    throughput = find_throughput(counted, pace)
    metering = _measure_energy(cycle, window, counted=counted)
    gpus = _find_gpus(cycle, held)
    beside = list_companions(
        cycle.fleet, cycle.readings, cycle.ledger, cycle.span, now=cycle.now, interval=cycle.interval
    )
    money = _weigh_money(cycle, window, held=held, counted=counted, clock=gpus.sm_megahertz)
    return Economics(
        at=cycle.now,
        covered_seconds=cycle.span.seconds,
        window_full=cycle.ledger.full,
        coverage=coverage,
        gpu_coverage=count_gpus(
            cycle.sights,
            cycle.ledger,
            seen=boards.seen_by_pod(cycle.ledger.odometers, now=cycle.now, within=cycle.patience),
            grace=max(cycle.patience, 2 * cycle.sample_interval),
        ),
        roles=list_roles(cycle.sights),
        gpus=gpus,
        price=money.quote,
        cost=money.cost,
        throughput=throughput,
        latency=_find_latency(cycle, window, beside),
        measured=metering.figures,
        provisioned=find_provisioned(held, power=cycle.power, counted=counted, window=window),
        of_reference=_compare(cycle, window, beside, held=held, throughput=throughput),
        evidence=gather_evidence(cycle.sights, window, cycle.readings.engines),
        loads=add_queue(weigh_roles(window, cycle.steps, now=cycle.now, interval=cycle.interval), beside),
        increments=add_up(cycle.steps, prices=money.prices, energy=cycle.closed_energy, power=cycle.power),
        failures=list_failures(cycle.fleet, cycle.readings),
        savings=money.savings,
        standing=money.standing,
        moved=find_move(cycle.ledger.standings, money.standing, window=cycle.terms.window_seconds),
        pods=split_pods(pace, prices=money.prices, power=cycle.power, watts=metering.watts),
        boards=find_boards(cycle.ledger.samples, cycle.ledger.faults, cycle.span),
        companions=beside,
        frontends=compare_frontends(beside, window, cycle.ledger, complete=coverage.complete),
    )


def _find_latency(
    cycle: Cycle, window: WindowView, beside: tuple[CompanionFigures, ...]
) -> dict[Histogram, Quantiles]:
    """The engines'; time to first token and between tokens as clients see them, where frontends tell."""
    seconds = cycle.span.seconds
    gains = sum_slices(cycle.ledger.latency, cycle.span)
    found = find_latency(gains, families=_families(window), seconds=seconds)
    if not speak_for_clients(beside):
        return found
    return as_clients_see_it(found, sum_slices(cycle.ledger.client_latency, cycle.span), seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Money:
    """All that prices enter into."""

    prices: Mapping[HardwareFacts, ProductPrice]
    quote: PriceQuote
    cost: CostFigures
    savings: Savings
    standing: Standing | None


def _weigh_money(
    cycle: Cycle,
    window: WindowView,
    *,
    held: Mapping[HardwareFacts, float],
    counted: Measure[Counted],
    clock: Measure[float],
) -> _Money:
    prices, quote = _price(cycle, held)
    halves = halve(window, prices, quote)
    per_input, per_output = per_million_of_each(halves, counted, currency=quote.currency)
    cost = find_cost(cycle.pool, quote=quote, prices=prices, held=held, counted=counted, window=window)
    return _Money(
        prices=prices,
        quote=quote,
        cost=replace(cost, per_million_input=per_input, per_million_output=per_output),
        savings=find_savings(window, halves, counted, currency=quote.currency),
        standing=stand(
            window,
            cost=cost.per_million[CostBasis.TOTAL],
            price=window_price(prices, window),
            currency=quote.currency,
            halves=halves,
            cached_share=cached_share(counted),
            clock=clock,
        ),
    )


def _price(
    cycle: Cycle, held: Mapping[HardwareFacts, float]
) -> tuple[dict[HardwareFacts, ProductPrice], PriceQuote]:
    """The price of every product that is held or was in the window, and the quote of those held now."""
    weights = held or {UNKNOWN_HARDWARE: 1.0}
    prices = {
        facts: price_product(cycle.pool, cycle.terms, facts)
        for facts in {*weights, *(track.facts for track in cycle.ledger.tracks.values())}
    }
    current = {facts: prices[facts] for facts in weights}
    return prices, quote_from(cycle.pool, cycle.terms, prices=current, weights=weights)


def _find_gpus(cycle: Cycle, held: Mapping[HardwareFacts, float]) -> GpuFigures:
    return find_gpus(
        cycle.fleet,
        held=held,
        observed=cycle.observed,
        readings=cycle.readings,
        samples=cycle.ledger.samples,
        span=Span(cycle.now - cycle.terms.window_seconds, cycle.now),
    )


def _compare(
    cycle: Cycle,
    window: WindowView,
    beside: tuple[CompanionFigures, ...],
    *,
    held: Mapping[HardwareFacts, float],
    throughput: ThroughputFigures,
) -> Measure[float]:
    return compare(
        cycle.pool,
        cycle.terms,
        products=tuple(sorted({facts.product for facts in held if facts.product})),
        per_gpu=throughput.per_gpu,
        per_user=throughput.per_user,
        demand=_demand(window, beside),
    )


def _count(cycle: Cycle, window: WindowView, coverage: Coverage) -> Measure[Counted]:
    """The window's tokens, or why none can be counted; pods that only load have made none."""
    seen = cycle.ledger.tracks.values()
    latest = max((t.read_at for t in seen if t.read_at is not None), default=None)
    recent = latest is not None and cycle.now - latest <= cycle.terms.window_seconds
    if not cycle.fleet.replicas and not recent:
        return Missing(Absence.NO_PODS)
    only_loading = coverage.expected == 0 and window.gpu_seconds > 0
    if not recent and not only_loading:
        engines = [
            engine
            for replica in cycle.fleet.replicas
            for engine in replica.engines
            if engine.kind is not EngineKind.NONE
        ]
        unsupported = engines and all(e.problem is FleetReason.ENGINE_NOT_SUPPORTED for e in engines)
        return Missing(Absence.ENGINE_NOT_SUPPORTED if unsupported else Absence.NOT_SCRAPED)
    if cycle.span.seconds <= 0:
        return Missing(Absence.WINDOW_FILLING, "a second scrape is needed")
    readers = [p for p in decoders(window) if p.track.snapshot is not None]
    if any(not p.has(Signal.PROMPT_TOKENS) or not p.has(Signal.OUTPUT_TOKENS) for p in readers):
        return Missing(Absence.NOT_EXPORTED, "an engine's page lacks the token counters")
    counted = count_window(window, covered=Grade.MEASURED if coverage.complete else Grade.ESTIMATED)
    return Known(
        value=counted,
        basis="tokens",
        source="docs/cost-model.md §3",
        grade=counted.grade,
        window_seconds=cycle.span.seconds,
    )


def _families(window: WindowView) -> frozenset[Signal | Histogram]:
    found: set[Signal | Histogram] = set()
    for part in window.parts:
        if part.track.role is not Role.PREFILL:
            found |= part.track.families
    return frozenset(found)


def _demand(window: WindowView, beside: tuple[CompanionFigures, ...]) -> Demand:
    able = window.gpu_seconds - window.by_share(Share.LOADING)
    parts = decoders(window)
    seconds = sum(part.able_seconds for part in parts)
    concurrency: float | None = None
    if seconds > 0 and all(part.has(Signal.INTER_TOKEN_SECONDS) for part in parts):
        concurrency = sum(part.total(Signal.INTER_TOKEN_SECONDS) for part in parts) / seconds
    return Demand(
        waited=window.waited or is_queueing(beside),
        idle_share=window.by_share(Share.IDLE) / able if able > 0 else 0.0,
        concurrency=concurrency,
    )


@dataclass(frozen=True, slots=True)
class Metering:
    """Measured energy of the pool and, where it is known, the watts of each pod."""

    figures: EnergyFigures
    watts: Mapping[str, float]


def _measure_energy(cycle: Cycle, window: WindowView, *, counted: Measure[Counted]) -> Metering:
    """Over the energy window; the pool's own window is used again when the two are the same."""
    span = cycle.energy_span
    if span != cycle.span:
        window = view(cycle.ledger.tracks.values(), span)
        if isinstance(counted, Known):
            again = count_window(window, covered=counted.grade)
            counted = replace(counted, value=again, grade=again.grade, window_seconds=span.seconds)
    sample_interval = cycle.sample_interval
    live = boards.metered_by_pod(
        cycle.ledger.odometers,
        now=cycle.now,
        seen_within=FRESH_INTERVALS * max(cycle.interval, sample_interval),
        sample_interval=sample_interval,
    )
    metered, held = sum_spans(cycle.ledger.energy, span), held_by_pod(cycle.ledger.presence, span)
    figures = find_measured(
        metered,
        least_seconds=min(float(cycle.terms.window_seconds), 2 * sample_interval),
        coverage=meter_share(cycle.sights, cycle.ledger, metered=live, grace=2 * sample_interval),
        held=held,
        counted=counted,
        window=window,
        power=cycle.power,
    )
    return Metering(figures, watts_by_pod(metered, held) if isinstance(figures.watts, Known) else {})
