"""The status of an InferencePool: what is unknown is absent, and no list grows with the fleet."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tokenfactory.api.rules import Status, UniqueBy
from tokenfactory.api.statustypes import (
    Conditions,
    Currency,
    Finding,
    Fraction,
    Moment,
    Name,
    Number,
    Tally,
    Text,
)
from tokenfactory.measure import Grade
from tokenfactory.model import OptimizationName, OptimizationState, Policy, PriceSource, Role


class RoleStatus(Status):
    """The replicas of one role."""

    name: Role = Field(description="What the replicas do.")
    replicas: Tally = Field(description="Pods of this role.")
    gpus: Number = Field(description="GPUs that they hold; shares of a GPU are fractions.")


class Serving(Status):
    """What serves."""

    engine: Name | None = Field(
        None, description="Inference engine behind what runs it, such as vllm, dynamo/vllm or nim/vllm."
    )
    engine_version: Name | None = Field(None, description="Version of the engine.")
    model: Name | None = Field(None, description="Model that is served.")
    method: Name | None = Field(None, description="Method of speculative decoding, such as mtp or eagle3.")
    roles: Annotated[tuple[RoleStatus, ...], Field(max_length=8), UniqueBy("name")] | None = Field(
        None, description="Replicas and GPUs by role."
    )
    replicas: Tally | None = Field(None, description="Pods of the pool.")
    coverage: Fraction | None = Field(
        None,
        description="Replicas whose metrics page was read over replicas whose page should be, such as 7/8.",
    )


class Gpus(Status):
    """GPUs of the pool and what DCGM saw of them over the window."""

    held: Number | None = Field(
        None, description="GPUs that the pool's pods hold, serving or not; shares as fractions."
    )
    observed: Number | None = Field(None, description="GPUs of the pool that DCGM reported on.")
    products: Annotated[tuple[Name, ...], Field(max_length=16)] | None = Field(
        None, description="GPU products of the pool."
    )
    busy_share: Number | None = Field(
        None, description="Share of time in which the GPUs were busy, from 0 to 1."
    )
    tensor_active_share: Number | None = Field(
        None,
        description="Share of time in which the tensor cores were active, from 0 to 1; profiling metrics"
        " only.",
    )
    memory_used_share: Number | None = Field(None, description="Share of GPU memory in use, from 0 to 1.")
    throttled_share: Number | None = Field(
        None, description="Share of samples with clocks held down by power or heat, from 0 to 1."
    )


class Cost(Status):
    """Money over the window (docs/cost-model.md §5 to §7)."""

    currency: Currency | None = Field(None, description="Currency of every amount here.")
    per_million_tokens: Number | None = Field(
        None, description="Cost of a million tokens, input and output, with the idle time of the GPUs held."
    )
    per_million_tokens_uncached: Number | None = Field(
        None, description="Cost of a million tokens without those input tokens that came from the cache."
    )
    all_cost_per_million_output_tokens: Number | None = Field(
        None, description="All cost over output tokens alone, for a million of them."
    )
    per_million_input_tokens: Number | None = Field(
        None, description="Cost of a million input tokens, cached ones included: the input half of the cost."
    )
    per_million_output_tokens: Number | None = Field(
        None, description="Cost of a million output tokens: the output half of the cost."
    )
    per_hour: Number | None = Field(None, description="Cost of an hour of the GPUs held.")
    per_gpu_hour: Number | None = Field(
        None, alias="perGPUHour", description="Price of a GPU-hour, averaged over the GPUs held."
    )
    price_source: PriceSource | None = Field(None, description="Where the price came from.")
    price_as_of: Annotated[str, Field(max_length=10)] | None = Field(
        None, description="Day of the price, as YYYY-MM-DD."
    )
    idle_share: Number | None = Field(
        None, description="Share of GPU time in which nothing was served or a pod was loading, from 0 to 1."
    )
    projected_per_month: Number | None = Field(
        None, description="Cost of spec.projection.tokensPerMonth at perMillionTokens."
    )
    grade: Grade | None = Field(None, description="How far the cost can be defended.")


class Throughput(Status):
    """Rates over the window (docs/cost-model.md §15)."""

    tokens_per_second: Number | None = Field(None, description="Input and output tokens a second.")
    tokens_per_second_per_gpu: Number | None = Field(
        None, description="Input and output tokens a second over all GPUs held."
    )
    input_tokens_per_second: Number | None = Field(
        None, description="Input tokens a second, cached ones included."
    )
    output_tokens_per_second: Number | None = Field(None, description="Output tokens a second.")
    cached_input_share: Number | None = Field(
        None, description="Share of input tokens that came from the cache, from 0 to 1."
    )
    tokens_per_second_per_user: Number | None = Field(
        None, description="Output tokens a second that one user sees while decoding."
    )
    concurrency: Number | None = Field(None, description="Mean number of sequences being decoded.")


class LatencyQuantiles(Status):
    """Seconds over the window, from the engines' histograms or, as clients see it, the frontends'."""

    p50: Number | None = Field(None, description="Median, in seconds.")
    p99: Number | None = Field(None, description="99th percentile, in seconds.")


class Latency(Status):
    """Latencies over the window."""

    time_to_first_token_seconds: LatencyQuantiles | None = Field(None, description="Time to the first token.")
    inter_token_latency_seconds: LatencyQuantiles | None = Field(None, description="Time between two tokens.")
    queue_seconds: LatencyQuantiles | None = Field(
        None, description="Time that requests waited for the engine."
    )


class MeasuredEnergy(Status):
    """Energy of the GPU boards as DCGM counted it; not to be compared with the provisioned basis."""

    watts: Number | None = Field(None, description="Mean power of the GPU boards, in watts.")
    coverage: Number | None = Field(
        None, description="Share of the GPUs held whose energy was read, from 0 to 1."
    )
    joules_per_token: Number | None = Field(None, description="Joules for an input or output token.")
    tokens_per_second_per_megawatt: Number | None = Field(
        None, description="Input and output tokens a second for each megawatt measured."
    )
    grams_co2_per_million_tokens: Number | None = Field(
        None, description="Grams of CO2 equivalent for a million tokens."
    )


class ProvisionedEnergy(Status):
    """Energy by the all-in power set aside for the GPUs held."""

    kilowatts: Number | None = Field(None, description="Power set aside for the GPUs held, in kilowatts.")
    joules_per_token: Number | None = Field(None, description="Joules for an input or output token.")
    tokens_per_second_per_megawatt: Number | None = Field(
        None, description="Input and output tokens a second for each megawatt set aside."
    )
    grams_co2_per_million_tokens: Number | None = Field(
        None, description="Grams of CO2 equivalent for a million tokens."
    )


class Energy(Status):
    """Energy on two bases that are never mixed (docs/cost-model.md §8)."""

    measured: MeasuredEnergy | None = Field(None, description="GPU boards as DCGM measured them.")
    provisioned: ProvisionedEnergy | None = Field(None, description="All-in power that is set aside.")


class Efficiency(Status):
    """How good the throughput per GPU is."""

    of_reference: Number | None = Field(
        None,
        description="Throughput per GPU over the reference curve's at the same tokens per second per user.",
    )
    of_baseline: Number | None = Field(
        None, description="Throughput per GPU over the pool's own level at the same concurrency."
    )
    load: Number | None = Field(
        None, description="Concurrency over the one at which the baseline stops growing."
    )


class OptimizationStatus(Status):
    """One of the five optimizations: what was declared, and what the counters prove."""

    name: OptimizationName = Field(description="Which optimization.")
    policy: Policy = Field(description="How much it matters here.")
    declared: Text | None = Field(None, description="What the engines were told, and by which flag or file.")
    state: OptimizationState = Field(description="What holds.")
    evidence: Text | None = Field(None, description="What proves the state, or what would.")
    observed: Text | None = Field(None, description="What the counters showed, such as an acceptance length.")
    replicas: Fraction | None = Field(
        None, description="Replicas where it is active over those that it applies to."
    )
    saving_per_million_tokens: Number | None = Field(
        None,
        description="What it saved per million tokens, an estimate by what ran (docs/cost-model.md §12).",
    )


class InferencePoolStatus(Status):
    """What the pool costs and how well it runs. What is unknown is absent, never 0."""

    observed_generation: Tally | None = Field(
        None,
        json_schema_extra={"format": "int64"},
        description="Generation of the spec that the status is about.",
    )
    conditions: Conditions | None = Field(
        None,
        description="Ready, Stalled, TelemetryHealthy, PriceKnown, OptimizationsActive, DenominatorHealthy"
        " and, with"
        " objectives, ObjectivesMet.",
    )
    observation_time: Moment | None = Field(
        None, description="When the numbers were taken. It changes only when they do: freshness is a metric."
    )
    window_seconds: Tally | None = Field(None, description="Seconds that the numbers really cover.")
    optimizations_active: Fraction | None = Field(
        None, description="Active optimizations over those whose policy is not Ignored, such as 4/5."
    )
    serving: Serving | None = Field(None, description="What serves.")
    gpus: Gpus | None = Field(None, description="GPUs held and observed.")
    cost: Cost | None = Field(None, description="Cost over the window, in the factory's currency.")
    throughput: Throughput | None = Field(None, description="Tokens a second.")
    latency: Latency | None = Field(None, description="Latencies, in seconds.")
    energy: Energy | None = Field(None, description="Energy, on two bases.")
    efficiency: Efficiency | None = Field(None, description="Throughput against references.")
    optimizations: Annotated[tuple[OptimizationStatus, ...], Field(max_length=5), UniqueBy("name")] | None = (
        Field(None, description="The five optimizations.")
    )
    findings: Annotated[tuple[Finding, ...], Field(max_length=20)] | None = Field(
        None, description="What to look at, the most expensive first, at most 20."
    )
