"""TokenFactory: what the platform team says once for all pools. Its status is in factorystatus.py."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, ClassVar, TypeAlias

from pydantic import Field, StrictBool, StrictInt

from tokenfactory.api.common import (
    LABEL_VALUE,
    Collapse,
    Date,
    HardwareName,
    LabelSelector,
    ObjectName,
    Optimizations,
    Price,
    SecretName,
    ServerURL,
    WindowSeconds,
    Words,
)
from tokenfactory.api.rules import Rule, Spec, UniqueBy, UniqueItems
from tokenfactory.api.texts import DecimalText, Spelled
from tokenfactory.model import Guard, PriceSource, TelemetryMode

NodeLabelValue: TypeAlias = Annotated[
    str,
    Spelled(LABEL_VALUE, "must be the value of a node label: letters, digits, '-', '_' and '.'", 63),
]


SeriesLabel: TypeAlias = Annotated[
    str,
    Spelled("^[a-zA-Z_][a-zA-Z0-9_]{0,62}$", "must be the name of a Prometheus label, such as pod", 63),
]


class ExchangeRate(Spec):
    """What a US dollar costs in the factory's currency."""

    per_usd: Annotated[str, DecimalText(above="0", example="0.92")] = Field(
        alias="perUSD", description="Units of the factory's currency for one US dollar."
    )
    as_of: Date = Field(description="Day of the rate, as YYYY-MM-DD.")


class HardwareMatch(Spec):
    """GPUs that an entry is for: every given field must match, a field left out or empty matches all."""

    gpu_product: NodeLabelValue | None = Field(
        None, description="GPU product as in the node label nvidia.com/gpu.product, such as NVIDIA-H200."
    )
    instance_type: NodeLabelValue | None = Field(
        None, description="Instance type as in the node label node.kubernetes.io/instance-type."
    )
    capacity_type: NodeLabelValue | None = Field(
        None, description="Capacity type of the node, such as OnDemand, Spot or Reserved."
    )
    node_selector: LabelSelector | None = Field(None, description="Labels that the node must have.")


class PriceEntry(Spec):
    """The price of some GPUs."""

    match: HardwareMatch = Field(
        description="GPUs that the price is for; {} is for all that no entry above matched."
    )
    per_gpu_hour: Price = Field(
        alias="perGPUHour",
        description="Price of one GPU for one hour, electricity included, in the factory's currency. A price"
        " quoted for"
        " a superchip of two GPUs is entered by half.",
    )
    source: Words | None = Field(None, description="Where the price comes from, such as a contract number.")
    as_of: Date | None = Field(None, description="Day of the price, as YYYY-MM-DD.")


class OwnershipEntry(Spec):
    """GPUs that are owned: their hourly price follows from the purchase (docs/cost-model.md §5)."""

    match: HardwareMatch = Field(
        description="GPUs that the entry is for; {} is for all that no entry above matched."
    )
    purchase_price_per_gpu: Annotated[str, DecimalText(above="0", whole=9, example="32000")] = Field(
        description="One GPU's share of the price of the whole server and its network, in the factory's"
        " currency."
    )
    amortization_years: StrictInt = Field(
        ge=1, le=30, description="Years over which the purchase is written off."
    )
    yearly_maintenance_fraction: (
        Annotated[str, DecimalText(at_least="0", at_most="1", example="0.05")] | None
    ) = Field(
        None, description="Yearly maintenance as a share of the purchase price, from 0 to 1. 0 when left out."
    )
    as_of: Date | None = Field(None, description="Day of the purchase price, as YYYY-MM-DD.")


class PriceBounds(Spec):
    """Prices of a GPU-hour outside of these are refused as typing errors."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.minimumPerGPUHour) || !has(self.maximumPerGPUHour)"
            " || double(self.minimumPerGPUHour) < double(self.maximumPerGPUHour)",
            "minimumPerGPUHour must be below maximumPerGPUHour: lower the one or raise the other",
            lambda bounds: (
                bounds.minimum_per_gpu_hour is None
                or bounds.maximum_per_gpu_hour is None
                or Decimal(bounds.minimum_per_gpu_hour) < Decimal(bounds.maximum_per_gpu_hour)
            ),
        ),
    )

    minimum_per_gpu_hour: Price | None = Field(
        None, description="Lowest price of a GPU-hour, in the factory's currency. 0.05 for USD when left out."
    )
    maximum_per_gpu_hour: Price | None = Field(
        None, description="Highest price of a GPU-hour, in the factory's currency. 50 for USD when left out."
    )


class ProvisionedPower(Spec):
    """The power that is set aside for a GPU."""

    gpu_product: HardwareName = Field(
        description="GPU product as in the node label nvidia.com/gpu.product, such as NVIDIA-H200."
    )
    kilowatts: Annotated[str, DecimalText(above="0", at_most="100", example="1.73")] = Field(
        description="Kilowatts for one GPU, all in: its share of server, network and facility losses."
    )


class Power(Spec):
    """Power, its price and its carbon."""

    provisioned_kilowatts_per_gpu: (
        Annotated[tuple[ProvisionedPower, ...], Field(max_length=64), UniqueBy("gpu_product")] | None
    ) = Field(None, description="All-in kilowatts by GPU product. Built-in, dated figures when left out.")
    pue: Annotated[str, DecimalText(at_least="1", at_most="5", example="1.2")] | None = Field(
        None,
        description="Power usage effectiveness of the facility, at least 1. Only ever applied to measured"
        " watts:"
        " provisioned kilowatts contain it.",
    )
    price_per_kilowatt_hour: Annotated[str, DecimalText(above="0", example="0.08")] | None = Field(
        None,
        description="Price of a kilowatt-hour, in the factory's currency. Used with ownership only: other"
        " prices contain"
        " electricity.",
    )
    grams_co2_per_kilowatt_hour: (
        Annotated[str, DecimalText(at_least="0", at_most="5000", example="380")] | None
    ) = Field(None, description="Grams of CO2 equivalent for a kilowatt-hour of the facility's electricity.")
    budget_megawatts: Annotated[str, DecimalText(above="0", example="10")] | None = Field(
        None, description="Megawatts that the fleet may use, for status.energy.tokensPerHourAtBudget."
    )


class ReferencePoint(Spec):
    """A point of a curve."""

    tokens_per_second_per_user: Annotated[str, DecimalText(above="0", whole=9, example="75")] = Field(
        description="Output tokens a second that one user sees."
    )
    tokens_per_second_per_gpu: Annotated[str, DecimalText(above="0", whole=9, example="12503")] = Field(
        description="Input and output tokens a second of one GPU at that interactivity."
    )


class ReferenceCurve(Spec):
    """A dated curve of throughput per GPU over interactivity (docs/cost-model.md §9)."""

    name: ObjectName = Field(description="Name that pools use in spec.reference.name.")
    gpu_product: HardwareName = Field(description="GPU product that was measured, such as NVIDIA-GB200.")
    model: Words = Field(description="Model that was measured, such as DeepSeek-R1.")
    precision: Words = Field(description="Precision of the weights, such as FP4.")
    input_length: StrictInt = Field(ge=1, le=10_000_000, description="Input tokens of a request.")
    output_length: StrictInt = Field(ge=1, le=10_000_000, description="Output tokens of a request.")
    speculation: Words | None = Field(
        None, description="Speculative decoding that was on, such as MTP. Left out: none."
    )
    as_of: Date = Field(description="Day of the measurement, as YYYY-MM-DD.")
    source: Words = Field(description="Who measured it.")
    points: Annotated[
        tuple[ReferencePoint, ...],
        Field(min_length=2, max_length=64),
        UniqueBy("tokens_per_second_per_user"),
        Rule(
            "self.map(point, double(point.tokensPerSecondPerUser)).isSorted()",
            "must rise in tokensPerSecondPerUser: sort the points by it",
            lambda points: ascending([Decimal(point.tokens_per_second_per_user) for point in points]),
        ),
    ] = Field(description="Points of the curve, rising in tokensPerSecondPerUser, at least two.")


class DCGM(Spec):
    """The pods of NVIDIA's dcgm-exporter, or of `tokenfactory agent`."""

    selector: LabelSelector | None = Field(
        None,
        description="Labels of the exporter's pods, in any namespace. Left out: app=nvidia-dcgm-exporter,"
        " app=nvidia-dcgm-exporter-dra, app.kubernetes.io/name=dcgm-exporter or"
        " app.kubernetes.io/name=tokenfactory-agent.",
    )
    port: StrictInt = Field(9400, ge=1, le=65535, description="Port of the exporter's metrics page.")
    sample_interval_seconds: StrictInt = Field(
        30,
        ge=1,
        le=300,
        description="Seconds between two samples of the exporter; energy windows are ten of them.",
    )


class PrometheusLabels(Spec):
    """Labels that Prometheus puts on every series of a pod that it scrapes."""

    namespace: SeriesLabel = Field("namespace", description="Label that holds the pod's namespace.")
    pod: SeriesLabel = Field("pod", description="Label that holds the pod's name.")


class PrometheusServer(Spec):
    """A Prometheus, or anything that answers its query API."""

    url: ServerURL = Field(
        description="Where its API is, without /api/v1, such as https://prometheus.monitoring:9090."
    )
    credentials_name: SecretName | None = Field(
        None,
        description="Name of a credential that is mounted into the operator: a Secret with token, ca.crt or"
        " both.",
    )
    tenant: (
        Annotated[str, Spelled(r"^[-A-Za-z0-9_.|]*$", "must be letters, digits, '-', '_', '.' or '|'", 150)]
        | None
    ) = Field(
        None,
        description="Tenant that is asked: sent as X-Scope-OrgID for Mimir and Cortex, and as THANOS-TENANT.",
    )
    labels: PrometheusLabels | None = Field(
        None, description="Labels that tell pods apart. namespace and pod when left out."
    )


class Telemetry(Spec):
    """How metrics pages are read."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.mode != 'Prometheus' || has(self.prometheus)",
            "mode Prometheus needs prometheus.url: add it, or set mode to Direct",
            lambda telemetry: (
                telemetry.mode is not TelemetryMode.PROMETHEUS or telemetry.prometheus is not None
            ),
            ".mode",
        ),
    )

    mode: TelemetryMode = Field(
        TelemetryMode.DIRECT,
        description="Direct: the operator reads each pod's page itself. Prometheus: it asks prometheus.url"
        " for what was scraped there.",
    )
    scrape_interval_seconds: StrictInt = Field(
        15,
        ge=5,
        le=300,
        description="Longest time between two reads of a page, in seconds. Pools with short windows are read"
        " at least every windowSeconds/5. With mode Prometheus: the interval at which Prometheus scrapes.",
    )
    allow_host_network: StrictBool = Field(
        False,
        description="true: serving pods on the host network are read too. Exporters that dcgm.selector"
        " matches always are.",
    )
    dcgm: DCGM | None = Field(None, description="Where the GPUs' own metrics come from.")
    prometheus: PrometheusServer | None = Field(
        None, description="The Prometheus that has scraped the pods. Needed with mode Prometheus."
    )


class AlertmanagerServer(Spec):
    """An Alertmanager that the operator posts alerts to."""

    url: ServerURL = Field(
        description="Where its API is, without /api/v2, such as https://alertmanager.monitoring:9093."
    )
    credentials_name: SecretName | None = Field(
        None,
        description="Name of a credential that is mounted into the operator: a Secret with token, ca.crt or"
        " both.",
    )


class PoolDefaults(Spec):
    """What holds for a pool that does not say otherwise."""

    optimizations: Optimizations | None = Field(None, description="Default of a pool's spec.optimizations.")
    window_seconds: WindowSeconds | None = Field(
        None, description="Default of a pool's spec.windowSeconds, in seconds."
    )
    collapse: Collapse | None = Field(None, description="Default of a pool's spec.collapse.")


class TokenFactorySpec(Spec):
    """Prices, power, references and defaults for the pools that use this factory."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.ownership) || size(self.ownership) == 0"
            " || (has(self.power) && has(self.power.pricePerKilowattHour))",
            "ownership needs power.pricePerKilowattHour: add it, or move the price to prices",
            lambda spec: (
                not spec.ownership
                or (spec.power is not None and spec.power.price_per_kilowatt_hour is not None)
            ),
            ".ownership",
        ),
        Rule(
            "!has(self.priceOrder) || !('OpenCost' in self.priceOrder)"
            " || (has(self.telemetry) && has(self.telemetry.prometheus))",
            "OpenCost in priceOrder needs telemetry.prometheus.url: add it, or remove OpenCost",
            lambda spec: (
                PriceSource.OPENCOST not in (spec.price_order or ())
                or (spec.telemetry is not None and spec.telemetry.prometheus is not None)
            ),
            ".priceOrder",
        ),
    )

    currency: Annotated[
        str, Spelled("^[A-Z]{3}$", "must be three capital letters of ISO 4217, such as USD", 16)
    ] = Field("USD", description="Currency of every amount here, as three capital letters of ISO 4217.")
    usd_exchange_rate: ExchangeRate | None = Field(
        None, description="Needed to use built-in prices, which are in US dollars, in another currency."
    )
    prices: tuple[PriceEntry, ...] | None = Field(
        None, max_length=128, description="Prices of GPU-hours; the first entry that matches is used."
    )
    ownership: tuple[OwnershipEntry, ...] | None = Field(
        None,
        max_length=32,
        description="Owned GPUs; the first entry that matches is used where no entry of prices does. Needs"
        " power.pricePerKilowattHour.",
    )
    price_order: (
        Annotated[tuple[PriceSource, ...], Field(min_length=1, max_length=4), UniqueItems()] | None
    ) = Field(
        None,
        description="Sources of a price in the order in which they are asked. Pool, Factory, OpenCost,"
        " Reference when left out. OpenCost is read through telemetry.prometheus, and passed over without.",
    )
    price_bounds: PriceBounds | None = Field(None, description="Prices outside of these are refused.")
    allow_pool_prices: StrictBool = Field(
        True, description="false: a pool's own price is passed over and its PriceKnown condition says so."
    )
    power: Power | None = Field(None, description="Power of the fleet, its price and its carbon.")
    references: Annotated[tuple[ReferenceCurve, ...], Field(max_length=32), UniqueBy("name")] | None = Field(
        None, description="Curves that pools may be compared with, beside the built-in ones."
    )
    telemetry: Telemetry | None = Field(None, description="How metrics pages are read.")
    alertmanagers: Annotated[tuple[AlertmanagerServer, ...], Field(max_length=8), UniqueBy("url")] | None = (
        Field(
            None,
            description="Alertmanagers that the operator posts the alerts of this factory's pools to, where"
            " no Prometheus raises them. List each one of a cluster of Alertmanagers.",
        )
    )
    guard: Guard = Field(
        Guard.OFF,
        description="What happens to a workload that a pool selects and that lacks a Required optimization:"
        " Off: nothing. Warn: kubectl shows a warning. Deny: it is refused. Needs the guard to be installed:"
        " docs/how-to/guard-workloads.md.",
    )
    defaults: PoolDefaults | None = Field(
        None, description="What holds for a pool that does not say otherwise."
    )


def ascending(values: list[Decimal]) -> bool:
    """Whether each value is above the one before it."""
    return all(low < high for low, high in pairwise(values))
