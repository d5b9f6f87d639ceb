"""What it costs: tokens, GPUs, money and energy of one pool over one window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from tokenfactory.measure import Absence, Grade, Measure, Missing
from tokenfactory.model.companions import CompanionCheck, CompanionFigures
from tokenfactory.model.fleet import EMPTY, EngineKind, Role
from tokenfactory.model.loads import RoleLoad
from tokenfactory.model.movement import Move, Standing
from tokenfactory.model.readings import EngineId, FailureReason
from tokenfactory.model.requests import CostBasis, PriceSource
from tokenfactory.model.signals import Histogram, Signal

UNSET: Missing = Missing(Absence.NOT_SCRAPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of a span, disjoint by type: their sum is the Total basis (docs/cost-model.md §3)."""

    uncached_input: float = 0.0
    cached_input: float = 0.0
    output: float = 0.0

    @property
    def total(self) -> float:
        return self.uncached_input + self.cached_input + self.output

    def of(self, basis: CostBasis) -> float:
        match basis:
            case CostBasis.TOTAL:
                return self.total
            case CostBasis.TOTAL_UNCACHED:
                return self.uncached_input + self.output
            case CostBasis.OUTPUT:
                return self.output


class PriceProblem(StrEnum):
    """Why a price was refused or passed over (reasons of PriceKnown)."""

    NO_PRICE = "NoPrice"
    FACTORY_NOT_FOUND = "FactoryNotFound"
    CURRENCY_MISMATCH = "CurrencyMismatch"
    PRICE_OUT_OF_BOUNDS = "PriceOutOfBounds"
    POOL_PRICE_FORBIDDEN = "PoolPriceForbidden"
    POOL_PRICE_OUT_OF_BOUNDS = "PoolPriceOutOfBounds"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceQuote:
    """The price of one GPU-hour of this pool, averaged over the GPUs held when products differ.

    `passed_over` is set when the pool's own price was skipped for the next source.
    `by_product` holds each product's own price and its source text.
    """

    per_gpu_hour: Measure[Decimal]
    currency: str = "USD"
    source: PriceSource | None = None
    source_text: str = ""
    as_of: str = ""
    problem: PriceProblem | None = None
    passed_over: PriceProblem | None = None
    message: str = ""
    placeholder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Replicas whose page was read over replicas whose page should be read."""

    expected: int = 0
    scraped: int = 0

    @property
    def complete(self) -> bool:
        return self.scraped >= self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleShare:
    role: Role
    replicas: int
    gpus: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFigures:
    """GPUs held by the pool's pods (docs/cost-model.md §4) and what DCGM saw of them over the window."""

    held: Measure[float] = UNSET
    observed: Measure[float] = UNSET
    products: tuple[str, ...] = ()
    busy_share: Measure[float] = UNSET
    tensor_active_share: Measure[float] = UNSET
    memory_used_share: Measure[float] = UNSET
    throttled_share: Measure[float] = UNSET
    sm_megahertz: Measure[float] = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFigures:
    """What DCGM said over the window of the GPUs that one pod holds: evidence for the cause of a slow pod.

    Shares are of the pod's GPU samples whose clock-event reasons are exported: `throttled_share` carries any
    of 0x4, 0x20, 0x40, 0x80 (docs/cost-model.md §15), `power_capped_share` 0x4 or 0x80 (software power cap,
    power brake), `thermal_share` 0x20 or 0x40. `sm_megahertz` is the mean clock of boards at
    work. None: not exported. `xids` are the codes that appeared within the window while the board was
    watched, sorted: one that was there at the first look, or that repeats the one before, is no news.
    """

    pod_uid: str
    throttled_share: float | None = None
    power_capped_share: float | None = None
    thermal_share: float | None = None
    sm_megahertz: float | None = None
    xids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CostFigures:
    """Money over the window (docs/cost-model.md §6); `per_million` by basis.

    `per_million_input` and `per_million_output` are each half's own cost over its own tokens (§7).
    """

    per_million: Mapping[CostBasis, Measure[Decimal]]
    per_million_input: Measure[Decimal] = UNSET
    per_million_output: Measure[Decimal] = UNSET
    per_hour: Measure[Decimal]
    idle_share: Measure[float]
    projected_per_month: Measure[Decimal]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """What speculation and offloading saved, if they ran, per million tokens of the Total basis (§12)."""

    speculation: Measure[Decimal] = UNSET
    offloading: Measure[Decimal] = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughputFigures:
    """Rates over the window; `per_gpu` is Total-basis tokens per second over all GPUs held (§15)."""

    tokens: Measure[Tokens] = UNSET
    per_second: Measure[Tokens] = UNSET
    per_gpu: Measure[float] = UNSET
    cached_input_share: Measure[float] = UNSET
    per_user: Measure[float] = UNSET
    concurrency: Measure[float] = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Seconds at the median and the 99th percentile, from bucket deltas of the window."""

    p50: Measure[float] = UNSET
    p99: Measure[float] = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyFigures:
    """One basis of energy (docs/cost-model.md §8). `watts` is the pool's mean power on that basis."""

    watts: Measure[float] = UNSET
    coverage: Measure[float] = UNSET
    joules_per_token: Measure[float] = UNSET
    tokens_per_second_per_megawatt: Measure[float] = UNSET
    grams_co2_per_million_tokens: Measure[float] = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvidence:
    """What one engine's counters did over the window. None: the page does not carry that family.

    `readable` is False when the last scrape failed or none was possible; `failure` then says why, and
    `failure_detail`, a text of ours, more closely. What an engine stores and loads it counts in bytes, tokens
    or blocks. `acceptance_gauge`, `transfer_gauge` and `offload_capacity` are gauges of the last page, for
    engines that count nothing of it. `info` holds the page's facts, such as its weights' quantization.
    """

    id: EngineId
    role: Role
    readable: bool
    failure: FailureReason | None = None
    failure_detail: str = ""
    prompt_tokens: float = 0.0
    output_tokens: float = 0.0
    drafts: float | None = None
    draft_tokens: float | None = None
    accepted_tokens: float | None = None
    acceptance_gauge: float | None = None
    computed_prompt_tokens: float | None = None
    transfers: float | None = None
    transfer_failures: float | None = None
    transfer_gauge: float | None = None
    stored_bytes: float | None = None
    loaded_bytes: float | None = None
    stored_tokens: float | None = None
    loaded_tokens: float | None = None
    stored_blocks: float | None = None
    loaded_blocks: float | None = None
    offload_capacity: float | None = None
    offload_hit_tokens: float | None = None
    external_hit_tokens: float | None = None
    families: frozenset[Signal | Histogram] = frozenset()
    kind: EngineKind = EngineKind.OTHER
    info: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    model: str = ""
    version: str = ""

    @property
    def stored(self) -> float | None:
        """What left the GPU, in whatever unit the engine counts; None where it counts nothing of it."""
        return _first_known(self.stored_bytes, self.stored_tokens, self.stored_blocks)

    @property
    def loaded(self) -> float | None:
        """What came back to the GPU, in whatever unit the engine counts."""
        return _first_known(self.loaded_bytes, self.loaded_tokens, self.loaded_blocks)


def _first_known(*amounts: float | None) -> float | None:
    return next((amount for amount in amounts if amount is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Increments:
    """What this cycle adds to the pool's Prometheus counters. Shares are serving, idle and loading."""

    tokens: Tokens = Tokens()
    cost_by_share: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    gpu_seconds_by_share: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    joules_by_basis: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFigures:
    """One pod's part of the pool's numbers, so that a fleet can count each pod once (docs/cost-model.md §13).

    Tokens per second (Total basis) over the window, money per hour, watts. None: not known. A pod that
    vanished has no GPUs and no cost, and keeps the tokens that it made in the window.
    """

    pod_uid: str
    gpus: float
    tokens_per_second: float | None = None
    cost_per_hour: Decimal | None = None
    measured_watts: float | None = None
    provisioned_watts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """Everything that costing knows of one pool at one moment.

    `covered_seconds` is the span really covered; `window_full` is False until it first reaches the window.
    `frontends` compares their output with that of the workers.
    """

    at: float
    covered_seconds: float
    window_full: bool
    coverage: Coverage
    gpu_coverage: Coverage
    roles: tuple[RoleShare, ...]
    gpus: GpuFigures
    price: PriceQuote
    cost: CostFigures
    throughput: ThroughputFigures
    latency: Mapping[Histogram, Quantiles]
    measured: EnergyFigures
    provisioned: EnergyFigures
    of_reference: Measure[float]
    evidence: tuple[EngineEvidence, ...]
    loads: tuple[RoleLoad, ...]
    increments: Increments
    failures: tuple[tuple[str, FailureReason], ...] = ()
    pods: tuple[PodFigures, ...] = ()
    boards: tuple[BoardFigures, ...] = ()
    savings: Savings = Savings()
    standing: Standing | None = None
    moved: Measure[Move] = UNSET
    companions: tuple[CompanionFigures, ...] = ()
    frontends: CompanionCheck = CompanionCheck.NOT_COMPARED
