"""Rules that the API server checks in CEL and that the operator checks again in Python.

Objects may have been stored before a rule existed, so each rule carries both forms and one message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

RULE_ERROR = "rule"
CAPITALS = frozenset({"gpu", "usd", "co2"})


def camel(name: str) -> str:
    """The Kubernetes name of a field: `price_per_gpu_hour` is `pricePerGPUHour`."""
    first, *rest = name.split("_")
    return first + "".join(part.upper() if part in CAPITALS else part.capitalize() for part in rest)


def broken(message: str, *, path: str = "") -> PydanticCustomError:
    """The error of a rule. `path` leads from the checked value to the field at fault, as `.a.b`."""
    return PydanticCustomError(RULE_ERROR, "{message}", {"message": message, "path": path})


class Check(ABC):
    """An annotation that is checked in Python and rendered into the schema for the API server."""

    __slots__ = ()

    @abstractmethod
    def check(self, value: Any) -> Any:
        """`value` unchanged. Raises the error of `broken` when it does not hold."""

    @abstractmethod
    def rendered(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        """`schema` with what the API server needs to check the same."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return self.rendered(handler(schema))


@dataclass(frozen=True, slots=True)
class Rule(Check):
    """A rule in CEL and in Python. `path` is the field at fault, relative to the checked value (`.power`)."""

    cel: str
    message: str
    holds: Callable[[Any], bool]
    path: str = ""

    def check(self, value: Any) -> Any:
        if not self.holds(value):
            raise broken(self.message, path=self.path)
        return value

    def rendered(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        return with_rule(schema, self.cel, self.message, path=self.path)


@dataclass(frozen=True, slots=True)
class UniqueBy(Check):
    """A list whose items are told apart by one field (`x-kubernetes-list-type: map`)."""

    key: str

    def check(self, value: Any) -> Any:
        position = first_repeated(getattr(item, self.key) for item in value)
        if position is not None:
            message = f"repeats an earlier {camel(self.key)}: keep one entry for each"
            raise broken(message, path=f"[{position}]")
        return value

    def rendered(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        lists = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [camel(self.key)]}
        return schema | lists


@dataclass(frozen=True, slots=True)
class UniqueItems(Check):
    """A list of scalars without repetition (`x-kubernetes-list-type: set`)."""

    def check(self, value: Any) -> Any:
        position = first_repeated(value)
        if position is not None:
            raise broken("repeats an earlier entry: remove it", path=f"[{position}]")
        return value

    def rendered(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        return schema | {"x-kubernetes-list-type": "set"}


class Spec(BaseModel):
    """Base of everything that people write: unknown fields are refused, values are frozen."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _check_rules(self) -> Spec:
        for rule in self.rules:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        rendered = handler.resolve_ref_schema(handler(schema))
        for rule in cls.rules:
            rule.rendered(rendered)
        return rendered


class Status(BaseModel):
    """Base of everything that the operator writes: what is unknown is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=camel, populate_by_name=True)


def first_repeated(values: Iterable[Any]) -> int | None:
    """Position of the first value that occurred before, None when all differ."""
    seen: set[Any] = set()
    for position, value in enumerate(values):
        if value in seen:
            return position
        seen.add(value)
    return None


def with_rule(schema: JsonSchemaValue, cel: str, message: str, *, path: str = "") -> JsonSchemaValue:
    """`schema` with one CEL rule more, behind those that it has."""
    rule = {"rule": cel, "message": message} | ({"fieldPath": path} if path else {})
    key = "x-kubernetes-validations"
    schema[key] = [*schema.get(key, ()), rule]
    return schema
