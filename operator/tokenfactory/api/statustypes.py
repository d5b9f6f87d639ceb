"""Types and objects of the statuses. Numbers are decimal strings of 4 significant digits, counts integers."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field, StrictInt, WithJsonSchema

from tokenfactory.api.rules import Status, UniqueBy
from tokenfactory.model import Truth

NUMBER = r"^-?[0-9]+(\.[0-9]+)?$"
MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$"

Number: TypeAlias = Annotated[str, Field(max_length=64, pattern=NUMBER)]
Fraction: TypeAlias = Annotated[str, Field(max_length=24, pattern=r"^[0-9]+/[0-9]+$")]
Moment: TypeAlias = Annotated[
    str,
    Field(max_length=32, pattern=MOMENT),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Tally: TypeAlias = Annotated[StrictInt, Field(ge=0)]
Name: TypeAlias = Annotated[str, Field(max_length=256)]
Text: TypeAlias = Annotated[str, Field(max_length=1024)]
Currency: TypeAlias = Annotated[str, Field(max_length=3)]


class Condition(Status):
    """One condition, by the conventions of the Kubernetes API."""

    type: Annotated[str, Field(max_length=64)] = Field(description="What the condition is about.")
    status: Truth = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(max_length=64, pattern="^[A-Za-z]+$")] = Field(
        description="Why, in one word of a closed list."
    )
    message: Annotated[str, Field(max_length=2048)] = Field(description="Why, for a person, and what to do.")
    last_transition_time: Moment = Field(description="When the status last changed.")
    observed_generation: Tally | None = Field(
        None, json_schema_extra={"format": "int64"}, description="Generation of the spec that was looked at."
    )


Conditions: TypeAlias = Annotated[tuple[Condition, ...], Field(max_length=16), UniqueBy("type")]


class Finding(Status):
    """Something that a platform team should look at."""

    cause: Annotated[str, Field(max_length=64)] = Field(description="Cause, one word of a closed list.")
    message: Text = Field(description="What was found, and what to do.")
    cost_per_hour: Number | None = Field(
        None, description="What it costs an hour, in the factory's currency."
    )
    pool: Annotated[str, Field(max_length=320)] | None = Field(
        None, description="Pool as namespace/name; in a factory's status only."
    )
