"""From the API's selectors and defaults, which both kinds share, to the model's."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from tokenfactory.api.common import Collapse, Optimization
from tokenfactory.api.common import LabelSelector as WrittenSelector
from tokenfactory.model import CollapseRule, LabelSelector, Requirement, SelectorRule


def read_selector(written: WrittenSelector) -> LabelSelector:
    """The selector, labels sorted by key."""
    rules = (
        SelectorRule(rule.key, rule.operator, tuple(rule.values or ()))
        for rule in written.match_expressions or ()
    )
    return LabelSelector(tuple(sorted((written.match_labels or {}).items())), tuple(rules))


def read_requirements(rows: Iterable[Optimization] | None) -> tuple[Requirement, ...] | None:
    """The rows in the order written; None when left out."""
    if rows is None:
        return None
    return tuple(
        Requirement(
            name=row.name,
            policy=row.policy,
            minimum_acceptance_length=optional_float(row.minimum_acceptance_length),
        )
        for row in rows
    )


def read_collapse(written: Collapse | None) -> CollapseRule:
    if written is None:
        return CollapseRule()
    return CollapseRule(
        fraction_of_baseline=optional_float(written.fraction_of_baseline), for_seconds=written.for_seconds
    )


def optional_float(text: str | None) -> float | None:
    """A decimal string that the API has checked, as a float."""
    return None if text is None else float(text)


def optional_decimal(text: str | None) -> Decimal | None:
    """A decimal string that the API has checked, unrounded."""
    return None if text is None else Decimal(text)
