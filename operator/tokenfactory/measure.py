"""A published number is `Known` with its provenance, or `Missing` with its reason. Missing is not zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Grade(StrEnum):
    """How far a number can be defended, best first."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    CONFIGURED = "configured"


class Absence(StrEnum):
    """Why a number is not there."""

    NO_PODS = "NoPods"
    NO_TRAFFIC = "NoTraffic"
    PRICE_UNKNOWN = "PriceUnknown"
    CURRENCY_MISMATCH = "CurrencyMismatch"
    NOT_EXPORTED = "NotExported"
    NOT_SCRAPED = "NotScraped"
    WINDOW_FILLING = "WindowFilling"
    INCOMPLETE_COVERAGE = "IncompleteCoverage"
    POWER_UNKNOWN = "PowerUnknown"
    NOT_CONFIGURED = "NotConfigured"
    REFERENCE_NOT_FOUND = "ReferenceNotFound"
    OUTSIDE_CURVE = "OutsideCurve"
    DEMAND_LIMITED = "DemandLimited"
    NO_BASELINE = "NoBaseline"
    ENGINE_NOT_SUPPORTED = "EngineNotSupported"
    CLAIMS_NOT_READ = "ClaimsNotRead"
    SPLIT_UNKNOWN = "SplitUnknown"
    BELOW_RESOLUTION = "BelowResolution"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Generic[T]):
    """A value, what it counts (`basis`), where it came from, how far to trust it, and the seconds it covers.

    `window_seconds` is None for values that hold at an instant or that somebody configured.
    """

    value: T
    basis: str
    source: str
    grade: Grade = Grade.MEASURED
    window_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """No defensible value; `detail` is one sentence for a person and never holds scraped text."""

    reason: Absence
    detail: str = ""


Measure: TypeAlias = Known[T] | Missing

_ORDER = (Grade.MEASURED, Grade.CONFIGURED, Grade.ESTIMATED)


def worst(*grades: Grade) -> Grade:
    """The least defensible of the grades: an estimate anywhere makes the result an estimate."""
    return max(grades, key=_ORDER.index, default=Grade.MEASURED)


def derive(operation: Callable[..., U], *inputs: Measure[Any], basis: str, source: str) -> Measure[U]:
    """`operation` over the values of `inputs`; the first Missing wins, the worst grade is kept."""
    known: list[Known[Any]] = []
    for measure in inputs:
        if isinstance(measure, Missing):
            return measure
        known.append(measure)
    windows = [item.window_seconds for item in known if item.window_seconds is not None]
    return Known(
        value=operation(*(item.value for item in known)),
        basis=basis,
        source=source,
        grade=worst(*(item.grade for item in known)),
        window_seconds=min(windows) if windows else None,
    )


def value_of(measure: Measure[T] | None) -> T | None:
    """The bare value, or None when there is none."""
    return measure.value if isinstance(measure, Known) else None
