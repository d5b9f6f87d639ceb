"""Strings with a spelling: the pattern for the schema, and a rule whose message says how to write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic.json_schema import JsonSchemaValue

from tokenfactory.api.rules import Check, broken, with_rule


@dataclass(frozen=True, slots=True)
class Spelled(Check):
    """A string of at most `longest` characters that matches `pattern`, in the words of RE2 and Python."""

    pattern: str
    message: str
    longest: int

    def check(self, value: Any) -> Any:
        if len(value) > self.longest:
            raise broken(f"must have at most {self.longest} characters")
        if not re.fullmatch(self.pattern, value, re.ASCII):
            raise broken(self.message)
        return value

    def rendered(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        text = schema | {"pattern": self.pattern, "maxLength": self.longest}
        return with_rule(text, f"self.matches(r'{self.pattern}')", self.message)


@dataclass(frozen=True, slots=True)
class DecimalText(Check):
    """A decimal number kept as text, so that no float rounds it. `above` is an exclusive bound."""

    example: str
    at_least: str | None = None
    at_most: str | None = None
    above: str | None = None
    whole: int = 6
    fraction: int = 6

    @property
    def pattern(self) -> str:
        return rf"^[0-9]{{1,{self.whole}}}(\.[0-9]{{1,{self.fraction}}})?$"

    @property
    def message(self) -> str:
        limits = [
            *([f"above {self.above}"] if self.above else []),
            *([f"of at least {self.at_least}"] if self.at_least else []),
            *([f"at most {self.at_most}"] if self.at_most else []),
        ]
        number = " ".join(["a decimal number", " and ".join(limits)]).strip()
        return (
            f'must be {number}, in quotes and with at most {self.fraction} decimals, such as "{self.example}"'
        )

    def check(self, value: Any) -> Any:
        if not re.fullmatch(self.pattern, value, re.ASCII) or not self.admits(Decimal(value)):
            raise broken(self.message)
        return value

    def admits(self, number: Decimal) -> bool:
        return (
            (self.above is None or number > Decimal(self.above))
            and (self.at_least is None or number >= Decimal(self.at_least))
            and (self.at_most is None or number <= Decimal(self.at_most))
        )

    def rendered(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        text = schema | {"pattern": self.pattern, "maxLength": self.whole + self.fraction + 1}
        bounds = ((">", self.above), (">=", self.at_least), ("<=", self.at_most))
        compared = [f"double(self) {sign} {_double(bound)}" for sign, bound in bounds if bound]
        return with_rule(text, " && ".join([f"self.matches(r'{self.pattern}')", *compared]), self.message)


def _double(text: str) -> str:
    """CEL compares a double with a double literal only: `1` becomes `1.0`."""
    return text if "." in text else f"{text}.0"
