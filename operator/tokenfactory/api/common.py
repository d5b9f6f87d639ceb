"""Types and objects that both kinds share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, StrictInt, WithJsonSchema

from tokenfactory.api.rules import Rule, Spec, UniqueBy, broken
from tokenfactory.api.texts import DecimalText, Spelled
from tokenfactory.model import OptimizationName, Policy, SelectorOperator

GROUP = "tokenfactory.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_PREFIX = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
LABEL_KEY = rf"^({LABEL_PREFIX}/)?{LABEL_NAME}$"
LABEL_VALUE = rf"^({LABEL_NAME})?$"
OBJECT_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
SERVER_URL = (
    r"^https?://([A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(:[0-9]{1,5})?(/[-A-Za-z0-9._~/]{0,200})?$"
)
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
ISO_DATE = r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"


def are_label_keys(keys: Iterable[str]) -> bool:
    """Whether Kubernetes accepts each of `keys` as the key of a label."""
    return all(re.fullmatch(LABEL_KEY, key, re.ASCII) for key in keys)


def check_date(text: str) -> str:
    """`text` unchanged. Raises when the calendar has no such day."""
    try:
        date.fromisoformat(text)
    except ValueError:
        raise broken('must be a date of the calendar, such as "2026-11-01"') from None
    return text


ObjectName: TypeAlias = Annotated[
    str,
    Spelled(OBJECT_NAME, "must be the name of an object: lower case letters, digits, '-' and '.'", 253),
]
LabelValue: TypeAlias = Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)]
HardwareName: TypeAlias = Annotated[
    str,
    Spelled(
        rf"^{LABEL_NAME}$",
        "must be written as in the node label nvidia.com/gpu.product, such as NVIDIA-H200",
        63,
    ),
]
Words: TypeAlias = Annotated[
    str, Spelled(PRINTABLE, "must be one line of text without control characters", 128)
]
Date: TypeAlias = Annotated[
    str,
    Field(max_length=10, pattern=ISO_DATE),
    AfterValidator(check_date),
    WithJsonSchema({"type": "string", "format": "date", "maxLength": 10, "pattern": ISO_DATE}),
]
SecretName: TypeAlias = Annotated[
    str,
    Spelled(
        DNS_LABEL,
        "must be the name of a mounted credential: lower case letters, digits and '-', never a path",
        63,
    ),
]
ServerURL: TypeAlias = Annotated[
    str,
    Spelled(
        SERVER_URL,
        "must be http:// or https://, a host, and no user, query or fragment,"
        " such as https://prometheus.monitoring:9090",
        512,
    ),
]
Price: TypeAlias = Annotated[str, DecimalText(above="0", example="2.65")]
FractionOfBaseline: TypeAlias = Annotated[str, DecimalText(at_least="0.1", at_most="0.7", example="0.5")]
WindowSeconds: TypeAlias = Annotated[StrictInt, Field(ge=30, le=3600)]


class LabelSelectorRequirement(Spec):
    """One condition on a label; all conditions of a selector must hold."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0"
            " : !has(self.values) || size(self.values) == 0",
            "values must be given with In and NotIn, and left out with Exists and DoesNotExist",
            lambda row: (row.operator in (SelectorOperator.IN, SelectorOperator.NOT_IN)) == bool(row.values),
        ),
    )

    key: Annotated[
        str, Spelled(LABEL_KEY, "must be the key of a label, such as app or app.kubernetes.io/name", 317)
    ] = Field(description="Key of the label.")
    operator: SelectorOperator = Field(description="How the label's value is compared with `values`.")
    values: tuple[LabelValue, ...] | None = Field(
        None, max_length=32, description="Values to compare with: for In and NotIn only."
    )


class LabelSelector(Spec):
    """Labels that must match; an empty selector is refused because it would select everything."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.matchLabels) && size(self.matchLabels) > 0)"
            " || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
            "must not be empty: add at least one entry to matchLabels or matchExpressions",
            lambda selector: bool(selector.match_labels or selector.match_expressions),
        ),
    )

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    match_labels: (
        Annotated[
            dict[str, LabelValue],
            Field(max_length=32),
            Rule(
                f"self.all(key, key.matches(r'{LABEL_KEY}'))",
                "must be keyed by label names, such as app or app.kubernetes.io/name",
                are_label_keys,
            ),
        ]
        | None
    ) = Field(None, description="Labels and the values that they must have.")
    match_expressions: tuple[LabelSelectorRequirement, ...] | None = Field(
        None, max_length=16, description="Further conditions on labels, all of which must hold."
    )


class Optimization(Spec):
    """How much one optimization matters."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.minimumAcceptanceLength)"
            " || self.name in ['SpeculativeDecoding', 'MultiTokenPrediction']",
            "minimumAcceptanceLength only fits SpeculativeDecoding and MultiTokenPrediction: remove it here",
            lambda row: (
                row.minimum_acceptance_length is None
                or row.name
                in (OptimizationName.SPECULATIVE_DECODING, OptimizationName.MULTI_TOKEN_PREDICTION)
            ),
            ".minimumAcceptanceLength",
        ),
    )

    name: OptimizationName = Field(description="Which of the five optimizations this row is about.")
    policy: Policy = Field(
        Policy.PREFERRED,
        description="Required: OptimizationsActive is False while it is not Active. Preferred: reported and"
        " counted"
        " in OPTIMIZED. Ignored: reported, not counted.",
    )
    minimum_acceptance_length: (
        Annotated[str, DecimalText(at_least="1", at_most="32", example="1.5")] | None
    ) = Field(
        None,
        description="Tokens per decode step (1 + accepted drafts per draft) under which speculation counts as"
        " Ineffective. 1.2 when left out.",
    )


class Collapse(Spec):
    """When a drop of throughput per GPU is called a collapse."""

    fraction_of_baseline: FractionOfBaseline | None = Field(
        None,
        description="Share of the pool's own level at the same concurrency, from 0.1 to 0.7; below it the"
        " denominator has collapsed. 0.5 when neither pool nor factory says.",
    )
    for_seconds: StrictInt | None = Field(
        None,
        ge=5,
        le=3600,
        description="Seconds for which it must stay below. windowSeconds/5 when left out.",
    )


Optimizations: TypeAlias = Annotated[tuple[Optimization, ...], Field(max_length=5), UniqueBy("name")]
