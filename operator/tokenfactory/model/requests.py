"""What people ask for: pools, their requirements, and the platform team's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias


class OptimizationName(StrEnum):
    """The five optimizations that the low cost per token rests on."""

    FP4 = "FP4"
    SPECULATIVE_DECODING = "SpeculativeDecoding"
    KV_CACHE_OFFLOADING = "KVCacheOffloading"
    MULTI_TOKEN_PREDICTION = "MultiTokenPrediction"
    DISAGGREGATED_SERVING = "DisaggregatedServing"


class Policy(StrEnum):
    """How much a pool cares about one optimization."""

    REQUIRED = "Required"
    PREFERRED = "Preferred"
    IGNORED = "Ignored"


class CostBasis(StrEnum):
    """Which tokens a cost is divided by (docs/cost-model.md §3)."""

    TOTAL = "Total"
    TOTAL_UNCACHED = "TotalUncached"
    OUTPUT = "Output"


class PriceSource(StrEnum):
    """Where the price of a GPU-hour came from (docs/cost-model.md §5)."""

    POOL = "Pool"
    FACTORY = "Factory"
    OPENCOST = "OpenCost"
    REFERENCE = "Reference"


class TelemetryMode(StrEnum):
    """How metrics pages are read."""

    DIRECT = "Direct"
    PROMETHEUS = "Prometheus"


class Guard(StrEnum):
    """What happens to a workload that lacks what a pool requires: nothing, a warning, a refusal."""

    OFF = "Off"
    WARN = "Warn"
    DENY = "Deny"


class SelectorOperator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class SelectorRule:
    key: str
    operator: SelectorOperator
    values: tuple[str, ...] = ()

    def admits(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case SelectorOperator.IN:
                return labels.get(self.key) in self.values
            case SelectorOperator.NOT_IN:
                return labels.get(self.key) not in self.values
            case SelectorOperator.EXISTS:
                return self.key in labels
            case SelectorOperator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A Kubernetes label selector. An empty one matches nothing here: the API refuses it."""

    match_labels: tuple[tuple[str, str], ...] = ()
    rules: tuple[SelectorRule, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        if not self.match_labels and not self.rules:
            return False
        return all(labels.get(key) == value for key, value in self.match_labels) and all(
            rule.admits(labels) for rule in self.rules
        )


@dataclass(frozen=True, slots=True, order=True)
class PoolKey:
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One row of `spec.optimizations`."""

    name: OptimizationName
    policy: Policy = Policy.PREFERRED
    minimum_acceptance_length: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    cost_basis: CostBasis = CostBasis.TOTAL
    max_cost_per_million_tokens: Decimal | None = None
    min_tokens_per_second_per_gpu: float | None = None
    max_time_to_first_token_seconds: float | None = None
    max_inter_token_latency_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollapseRule:
    """A collapse: under `fraction_of_baseline` of the own level for `for_seconds`. None: not said here."""

    fraction_of_baseline: float | None = None
    for_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """An InferencePool that was read and found valid. None means left out.

    `accept_baseline` is the annotation of that name: the configuration epoch whose level is accepted.
    """

    key: PoolKey
    uid: str
    generation: int
    selector: LabelSelector | None = None
    pool_ref: str | None = None
    factory_name: str | None = None
    optimizations: tuple[Requirement, ...] | None = None
    objectives: Objectives | None = None
    price_per_gpu_hour: Decimal | None = None
    reference_name: str | None = None
    metrics_port: int | None = None
    metrics_path: str | None = None
    window_seconds: int | None = None
    collapse: CollapseRule = CollapseRule()
    tokens_per_month: int | None = None
    suspend: bool = False
    accept_baseline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidPool:
    """An InferencePool that can't be served until it is edited."""

    key: PoolKey
    uid: str
    generation: int
    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareMatch:
    """Every given field must match; None means any."""

    gpu_product: str | None = None
    instance_type: str | None = None
    capacity_type: str | None = None
    node_selector: LabelSelector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEntry:
    match: HardwareMatch
    per_gpu_hour: Decimal
    source: str = ""
    as_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipEntry:
    match: HardwareMatch
    purchase_price_per_gpu: Decimal
    amortization_years: Decimal
    yearly_maintenance_fraction: Decimal = Decimal(0)
    as_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerTerms:
    provisioned_kilowatts_per_gpu: tuple[tuple[str, float], ...] = ()
    pue: float | None = None
    price_per_kilowatt_hour: Decimal | None = None
    grams_co2_per_kilowatt_hour: float | None = None
    budget_megawatts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePoint:
    tokens_per_second_per_user: float
    tokens_per_second_per_gpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A dated curve tokens/s/user -> tokens/s/GPU (docs/cost-model.md §9)."""

    name: str
    gpu_product: str
    model: str
    precision: str
    input_length: int
    output_length: int
    speculation: str
    as_of: str
    source: str
    points: tuple[ReferencePoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusTerms:
    """A Prometheus to be asked. `credentials_name` names a mounted credential, empty: none.

    `namespace_label` and `pod_label` are the labels that Prometheus puts on the series of a pod.
    """

    url: str
    credentials_name: str = ""
    tenant: str = ""
    namespace_label: str = "namespace"
    pod_label: str = "pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerTerms:
    """An Alertmanager to post to. `credentials_name` names a mounted credential, empty: none."""

    url: str
    credentials_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryTerms:
    scrape_interval_seconds: int = 15
    allow_host_network: bool = False
    dcgm_selectors: tuple[LabelSelector, ...] = (
        LabelSelector((("app", "nvidia-dcgm-exporter"),)),
        LabelSelector((("app", "nvidia-dcgm-exporter-dra"),)),
        LabelSelector((("app.kubernetes.io/name", "dcgm-exporter"),)),
        LabelSelector((("app.kubernetes.io/name", "tokenfactory-agent"),)),
    )
    dcgm_port: int = 9400
    dcgm_sample_interval_seconds: int = 30
    mode: TelemetryMode = TelemetryMode.DIRECT
    prometheus: PrometheusTerms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRate:
    """`per_usd` units of the factory's currency for one US dollar."""

    per_usd: Decimal
    as_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Factory:
    """A TokenFactory; the defaults are what a cluster without one gets."""

    name: str = ""
    uid: str = ""
    generation: int = 0
    currency: str = "USD"
    usd_exchange_rate: ExchangeRate | None = None
    prices: tuple[PriceEntry, ...] = ()
    ownership: tuple[OwnershipEntry, ...] = ()
    price_order: tuple[PriceSource, ...] = tuple(PriceSource)
    minimum_per_gpu_hour: Decimal | None = None
    maximum_per_gpu_hour: Decimal | None = None
    allow_pool_prices: bool = True
    power: PowerTerms = PowerTerms()
    references: tuple[Reference, ...] = ()
    telemetry: TelemetryTerms = TelemetryTerms()
    alertmanagers: tuple[AlertmanagerTerms, ...] = ()
    guard: Guard = Guard.OFF
    default_optimizations: tuple[Requirement, ...] | None = None
    default_window_seconds: int | None = None
    default_collapse: CollapseRule = CollapseRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrice:
    """What OpenCost says of one node an hour, GPUs and all. `problem` tells why it is not believed."""

    per_hour: Decimal = Decimal(0)
    gpus: Decimal = Decimal(0)
    as_of: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrices:
    """OpenCost's prices by node name; `failure` tells why it can't be asked (then it holds none)."""

    by_node: Mapping[str, NodePrice] = field(default_factory=lambda: MappingProxyType({}))
    failure: str = ""

    def of(self, node: str) -> NodePrice | None:
        """None for a node that OpenCost does not know."""
        return NodePrice(problem=self.failure) if self.failure else self.by_node.get(node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for one pool once pool, factory and built-in defaults are put together.

    `factory` is None only when the pool names a factory that does not exist: no price then, no fallback.
    `node_prices` is None where OpenCost is not asked.
    """

    factory: Factory | None
    window_seconds: int = 300
    scrape_interval_seconds: float = 15.0
    requirements: tuple[Requirement, ...] = ()
    collapse_fraction: float = 0.5
    collapse_for_seconds: float = 60.0
    telemetry: TelemetryTerms = TelemetryTerms()
    node_prices: NodePrices | None = None


Resource: TypeAlias = Pool | InvalidPool
