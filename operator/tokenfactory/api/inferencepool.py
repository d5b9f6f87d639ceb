"""InferencePool: what a team writes about one pool of serving pods. Its status is in poolstatus.py."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StrictBool, StrictInt

from tokenfactory.api.common import Collapse, LabelSelector, ObjectName, Optimizations, Price, WindowSeconds
from tokenfactory.api.rules import Rule, Spec
from tokenfactory.api.texts import DecimalText, Spelled
from tokenfactory.model import CostBasis

METRICS_PATH = r"^/[A-Za-z0-9._/-]{1,64}$"


class PoolRef(Spec):
    """A pool of the Gateway API Inference Extension in the same namespace."""

    name: ObjectName = Field(
        description="Name of the inferencepools.inference.networking.k8s.io object. It is read, never"
        " written."
    )


class Objectives(Spec):
    """What the pool should reach. Latencies are judged at the 99th percentile of the window."""

    cost_basis: CostBasis = Field(
        CostBasis.TOTAL,
        description="Tokens that maxCostPerMillionTokens is judged against: Total (input + output),"
        " TotalUncached"
        " (input not served from cache + output) or Output.",
    )
    max_cost_per_million_tokens: Annotated[str, DecimalText(above="0", example="0.20")] | None = Field(
        None, description="Highest cost of a million tokens of costBasis, in the factory's currency."
    )
    min_tokens_per_second_per_gpu: Annotated[str, DecimalText(above="0", whole=9, example="4000")] | None = (
        Field(None, description="Lowest throughput, input and output tokens a second for each GPU held.")
    )
    max_time_to_first_token_seconds: Annotated[str, DecimalText(above="0", example="2")] | None = Field(
        None, description="Longest time to the first token, in seconds, at the 99th percentile."
    )
    max_inter_token_latency_seconds: Annotated[str, DecimalText(above="0", example="0.05")] | None = Field(
        None, description="Longest time between two tokens, in seconds, at the 99th percentile."
    )


class PoolPrice(Spec):
    """The pool's own price of a GPU-hour."""

    per_gpu_hour: Price = Field(
        alias="perGPUHour",
        description="Price of one GPU for one hour, in the factory's currency. A factory may forbid it or"
        " bound it;"
        " PriceKnown then says so.",
    )


class ReferenceChoice(Spec):
    """The curve that the pool is compared with."""

    name: ObjectName = Field(
        description="Name of a curve of the TokenFactory, or of a built-in one. An unknown name leaves"
        " status.efficiency.ofReference out."
    )


class MetricsEndpoint(Spec):
    """Where the engine's metrics page is, when the pod does not tell. Never a URL."""

    port: StrictInt | None = Field(
        None, ge=1, le=65535, description="Port of the metrics page on the pod's own address."
    )
    path: (
        Annotated[
            str,
            Spelled(
                METRICS_PATH,
                "must be a path and no URL: a slash and then letters, digits, '.', '_', '-', '/'",
                65,
            ),
            Rule(
                "!self.contains('..')",
                "must not contain '..': write the whole path, such as /metrics",
                lambda path: ".." not in path,
            ),
        ]
        | None
    ) = Field(None, description="Path of the metrics page, starting with a slash. /metrics when left out.")


class Projection(Spec):
    """Demand to project the cost for."""

    tokens_per_month: StrictInt = Field(
        ge=1,
        le=10**15,
        json_schema_extra={"format": "int64"},
        description="Input and output tokens a month; status.cost.projectedPerMonth is their cost at today's"
        " price of a"
        " million.",
    )


class InferencePoolSpec(Spec):
    """Which pods make up the pool, and what is expected of them."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.selector) != has(self.poolRef)",
            "exactly one of selector and poolRef must be set: add the missing one or remove one of the two",
            lambda spec: (spec.selector is None) != (spec.pool_ref is None),
        ),
    )

    selector: LabelSelector | None = Field(
        None,
        description="Labels of the serving pods, always in this namespace. Exactly one of selector and"
        " poolRef; an empty"
        " selector is refused.",
    )
    pool_ref: PoolRef | None = Field(
        None,
        description="A Gateway API Inference Extension pool of this namespace, whose selector and target"
        " ports are used."
        " Exactly one of selector and poolRef.",
    )
    factory_name: ObjectName | None = Field(
        None,
        description='TokenFactory to take prices and defaults from. Left out: the one named "default" if'
        " there is one,"
        " else built-in references. A name that does not exist: PriceKnown is False.",
    )
    optimizations: Optimizations | None = Field(
        None,
        description="What is expected of the five optimizations. Left out: the factory's, else all five,"
        " Preferred.",
    )
    objectives: Objectives | None = Field(
        None,
        description="Targets for cost, throughput and latency; the condition ObjectivesMet says if they"
        " hold.",
    )
    price: PoolPrice | None = Field(
        None, description="A price for this pool alone, where the factory allows it."
    )
    reference: ReferenceChoice | None = Field(
        None, description="The dated curve for status.efficiency.ofReference."
    )
    metrics: MetricsEndpoint | None = Field(
        None, description="Where the engine's metrics page is. Discovered from the pod when left out."
    )
    window_seconds: WindowSeconds | None = Field(
        None,
        description="Seconds that every number of the status covers. 300 when neither pool nor factory says.",
    )
    collapse: Collapse | None = Field(
        None, description="When a drop of throughput is called a collapse. The factory's when left out."
    )
    projection: Projection | None = Field(None, description="Demand for status.cost.projectedPerMonth.")
    suspend: StrictBool = Field(
        False,
        description="true: the pool is not scraped and its numbers are removed; its resource stays as it is.",
    )
