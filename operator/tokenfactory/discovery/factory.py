"""A TokenFactory as the platform team wrote it becomes the model's Factory."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tokenfactory.api import tokenfactory as api
from tokenfactory.api.parsing import parse_factory
from tokenfactory.discovery.border import LARGEST_GENERATION, mapping, text, whole
from tokenfactory.discovery.selectors import (
    optional_decimal,
    optional_float,
    read_collapse,
    read_requirements,
    read_selector,
)
from tokenfactory.model import (
    AlertmanagerTerms,
    ExchangeRate,
    Factory,
    HardwareMatch,
    OwnershipEntry,
    PowerTerms,
    PriceEntry,
    PrometheusTerms,
    Reference,
    ReferencePoint,
    TelemetryTerms,
)


def read_factory(body: Mapping[str, Any]) -> Factory:
    """The factory. Raises InvalidSpec, and nothing else, on any body."""
    spec = parse_factory(body if isinstance(body, Mapping) else {})
    metadata = mapping(body, "metadata")
    bounds, defaults = spec.price_bounds or api.PriceBounds(), spec.defaults or api.PoolDefaults()
    rate = spec.usd_exchange_rate
    return Factory(
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        generation=whole(metadata.get("generation"), most=LARGEST_GENERATION) or 0,
        currency=spec.currency,
        usd_exchange_rate=ExchangeRate(per_usd=Decimal(rate.per_usd), as_of=rate.as_of) if rate else None,
        prices=tuple(map(_price, spec.prices or ())),
        ownership=tuple(map(_ownership, spec.ownership or ())),
        price_order=spec.price_order or Factory().price_order,
        minimum_per_gpu_hour=optional_decimal(bounds.minimum_per_gpu_hour),
        maximum_per_gpu_hour=optional_decimal(bounds.maximum_per_gpu_hour),
        allow_pool_prices=spec.allow_pool_prices,
        power=_power(spec.power or api.Power()),
        references=tuple(map(_reference, spec.references or ())),
        telemetry=_telemetry(spec.telemetry or api.Telemetry()),
        alertmanagers=tuple(map(_alertmanager, spec.alertmanagers or ())),
        guard=spec.guard,
        default_optimizations=read_requirements(defaults.optimizations),
        default_window_seconds=defaults.window_seconds,
        default_collapse=read_collapse(defaults.collapse),
    )


def _match(written: api.HardwareMatch) -> HardwareMatch:
    """A field that is left out or empty matches anything."""
    return HardwareMatch(
        gpu_product=written.gpu_product or None,
        instance_type=written.instance_type or None,
        capacity_type=written.capacity_type or None,
        node_selector=read_selector(written.node_selector) if written.node_selector else None,
    )


def _price(written: api.PriceEntry) -> PriceEntry:
    return PriceEntry(
        match=_match(written.match),
        per_gpu_hour=Decimal(written.per_gpu_hour),
        source=written.source or "",
        as_of=written.as_of or "",
    )


def _ownership(written: api.OwnershipEntry) -> OwnershipEntry:
    return OwnershipEntry(
        match=_match(written.match),
        purchase_price_per_gpu=Decimal(written.purchase_price_per_gpu),
        amortization_years=Decimal(written.amortization_years),
        yearly_maintenance_fraction=optional_decimal(written.yearly_maintenance_fraction) or Decimal(0),
        as_of=written.as_of or "",
    )


def _power(written: api.Power) -> PowerTerms:
    return PowerTerms(
        provisioned_kilowatts_per_gpu=tuple(
            (row.gpu_product, float(row.kilowatts)) for row in written.provisioned_kilowatts_per_gpu or ()
        ),
        pue=optional_float(written.pue),
        price_per_kilowatt_hour=optional_decimal(written.price_per_kilowatt_hour),
        grams_co2_per_kilowatt_hour=optional_float(written.grams_co2_per_kilowatt_hour),
        budget_megawatts=optional_float(written.budget_megawatts),
    )


def _reference(written: api.ReferenceCurve) -> Reference:
    return Reference(
        name=written.name,
        gpu_product=written.gpu_product,
        model=written.model,
        precision=written.precision,
        input_length=written.input_length,
        output_length=written.output_length,
        speculation=written.speculation or "",
        as_of=written.as_of,
        source=written.source,
        points=tuple(
            ReferencePoint(
                tokens_per_second_per_user=float(point.tokens_per_second_per_user),
                tokens_per_second_per_gpu=float(point.tokens_per_second_per_gpu),
            )
            for point in written.points
        ),
    )


def _telemetry(written: api.Telemetry) -> TelemetryTerms:
    dcgm, built_in = written.dcgm or api.DCGM(), TelemetryTerms()
    return TelemetryTerms(
        scrape_interval_seconds=written.scrape_interval_seconds,
        allow_host_network=written.allow_host_network,
        dcgm_selectors=(read_selector(dcgm.selector),) if dcgm.selector else built_in.dcgm_selectors,
        dcgm_port=dcgm.port,
        dcgm_sample_interval_seconds=dcgm.sample_interval_seconds,
        mode=written.mode,
        prometheus=_prometheus(written.prometheus) if written.prometheus else None,
    )


def _alertmanager(written: api.AlertmanagerServer) -> AlertmanagerTerms:
    return AlertmanagerTerms(url=written.url.rstrip("/"), credentials_name=written.credentials_name or "")


def _prometheus(written: api.PrometheusServer) -> PrometheusTerms:
    labels = written.labels or api.PrometheusLabels()
    return PrometheusTerms(
        url=written.url.rstrip("/"),
        credentials_name=written.credentials_name or "",
        tenant=written.tenant or "",
        namespace_label=labels.namespace,
        pod_label=labels.pod,
    )
