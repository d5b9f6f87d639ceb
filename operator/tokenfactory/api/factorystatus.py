"""The status of a TokenFactory: the fleet of all pools that use it, each pod counted once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tokenfactory.api.rules import Status
from tokenfactory.api.statustypes import Conditions, Currency, Finding, Moment, Number, Tally


class FleetGpus(Status):
    """GPUs of the fleet."""

    held: Number | None = Field(
        None, description="GPUs that the pools' pods hold, each pod once; shares as fractions."
    )


class FleetThroughput(Status):
    """Rates of the fleet."""

    tokens_per_second: Number | None = Field(None, description="Input and output tokens a second.")


class FleetCost(Status):
    """Money of the fleet."""

    currency: Currency | None = Field(None, description="Currency of every amount here.")
    per_hour: Number | None = Field(None, description="Cost of an hour of the GPUs held.")
    per_million_tokens: Number | None = Field(
        None, description="Cost of a million tokens, input and output: all cost over all tokens."
    )


class FleetBasis(Status):
    """Power on one basis."""

    megawatts: Number | None = Field(None, description="Power of the fleet on this basis, in megawatts.")
    tokens_per_second_per_megawatt: Number | None = Field(
        None, description="Input and output tokens a second for each megawatt."
    )


class FleetEnergy(Status):
    """Power on two bases that are never mixed (docs/cost-model.md §8)."""

    measured: FleetBasis | None = Field(None, description="GPU boards as DCGM measured them.")
    provisioned: FleetBasis | None = Field(None, description="All-in power that is set aside.")
    tokens_per_hour_at_budget: Number | None = Field(
        None, description="Tokens an hour that spec.power.budgetMegawatts could carry at today's efficiency."
    )


class Verdicts(Status):
    """Pools by the state of their denominator."""

    healthy: Tally = Field(0, description="Pools that run at their own level.")
    low_demand: Tally = Field(0, description="Pools whose demand is the limit.")
    saturated: Tally = Field(0, description="Pools whose demand is above what they can carry.")
    efficiency_degraded: Tally = Field(0, description="Pools that run below their own level.")
    throughput_collapsed: Tally = Field(0, description="Pools whose throughput per GPU has collapsed.")
    engine_stalled: Tally = Field(0, description="Pools whose engines make no tokens in spite of demand.")
    warming_up: Tally = Field(0, description="Pools whose level is still being learned.")
    blind: Tally = Field(0, description="Pools that can't be judged for want of data.")
    suspended: Tally = Field(0, description="Pools that are suspended.")
    invalid: Tally = Field(0, description="Pools whose spec can't be served.")


class TokenFactoryStatus(Status):
    """The fleet of all pools that use this factory. What is unknown is absent, never 0."""

    observed_generation: Tally | None = Field(
        None,
        json_schema_extra={"format": "int64"},
        description="Generation of the spec that the status is about.",
    )
    conditions: Conditions | None = Field(
        None, description="Ready, Stalled, and PrometheusReachable where spec.telemetry.prometheus is set."
    )
    observation_time: Moment | None = Field(None, description="When the numbers were taken.")
    pools: Tally | None = Field(None, description="Pools that use this factory.")
    gpus: FleetGpus | None = Field(None, description="GPUs of the fleet.")
    throughput: FleetThroughput | None = Field(None, description="Tokens a second of the fleet.")
    cost: FleetCost | None = Field(None, description="Money of the fleet.")
    energy: FleetEnergy | None = Field(None, description="Power of the fleet.")
    verdicts: Verdicts | None = Field(None, description="Pools by the state of their denominator.")
    findings: Annotated[tuple[Finding, ...], Field(max_length=10)] | None = Field(
        None, description="What to look at, the most expensive first, at most ten."
    )
