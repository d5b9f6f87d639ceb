"""An engine's page as one EngineReading. Pure: bytes in, a value out; a System says what differs."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from tokenfactory.model import EngineReading, Failure, FailureReason, Level
from tokenfactory.telemetry.exposition import PageRefused, Wanted, scan_columns, scan_rows
from tokenfactory.telemetry.families import System
from tokenfactory.telemetry.layouts import Facts, Layouts, Plan
from tokenfactory.telemetry.limits import ScanLimits
from tokenfactory.telemetry.owners import FRONTS, begins_line, owner_of
from tokenfactory.telemetry.plans import draw_plan
from tokenfactory.telemetry.shapes import Labels

COUNTER_LIMIT = 2.0**63
STARTING = "the engine has counted nothing yet; it is probably still starting"
_TEXT_LENGTH = 128
_DEFAULT_LIMITS = ScanLimits()
_MEANS = frozenset({Level.KV_CACHE_USAGE, Level.ACCEPTANCE_LENGTH})


class EnginePage:
    """The reader of one system's pages, its names compiled once."""

    __slots__ = ("_system", "_wanted")

    def __init__(self, system: System) -> None:
        self._system = system
        self._wanted = Wanted(system.sample_names, loose=frozenset(system.infos), types=system.type_names)

    def parse(
        self, page: bytes, *, at: float, layouts: Layouts, limits: ScanLimits = _DEFAULT_LIMITS
    ) -> EngineReading | Failure:
        """The page's counters, levels and facts. `at` is the Unix time of the page.

        A family that the page declares without a sample is a counter at zero for every rank. One counter that
        is negative, NaN or infinite refuses the whole page.
        """
        try:
            return self._read(page, at=at, layouts=layouts, limits=limits)
        except PageRefused as refused:
            return Failure(at=at, reason=refused.failure_reason, detail=refused.detail)

    def _read(
        self, page: bytes, *, at: float, layouts: Layouts, limits: ScanLimits
    ) -> EngineReading | Failure:
        system, wanted = self._system, self._wanted
        shape, values, loose = scan_columns(page, wanted, limits)
        facts = _facts_of(loose, system)
        scales = system.scales(page, shape, facts)
        plan = layouts.plans.recall(
            (system.name, shape, scales),
            cost=shape.width + 1,
            make=lambda: draw_plan(
                scan_rows(page, wanted, limits), shape.types, layouts, system=system, scales=scales
            ),
        )
        if not (plan.counting and plan.layout) and (failure := self._refuse(page, plan)) is not None:
            return Failure(at=at, reason=failure[0], detail=failure[1])
        counters = _sum_counters(plan, values)
        if counters is None:
            return Failure(
                at=at, reason=FailureReason.BAD_VALUE, detail="a counter is negative or not finite"
            )
        return EngineReading(
            at=at,
            layout=plan.layout,
            counters=counters,
            levels=_read_levels(plan, values),
            families=plan.families,
            info=layouts.facts((("model", _tidy(plan.model)), *facts, *system.fixed)),
        )

    def _refuse(self, page: bytes, plan: Plan) -> tuple[FailureReason, str] | None:
        """Why a page without all its token counters is refused; None when there was no work yet."""
        system, owner = self._system, owner_of(page)
        own = owner == system.name or owner not in FRONTS
        if own and any(begins_line(page, prefix) for prefix in system.lazy):
            return (FailureReason.NO_ENGINE_METRICS, system.lacking) if system.worked(page) else None
        if plan.counting:
            return FailureReason.NO_ENGINE_METRICS, STARTING
        if owner and owner != system.name:
            detail = f"the page is that of {owner}, not of {system.name}; check spec.metrics.port"
            return FailureReason.OTHER_SYSTEM, detail
        return FailureReason.NO_ENGINE_METRICS, system.lacking if owner else system.advice


def _sum_counters(plan: Plan, values: Sequence[float]) -> tuple[float, ...] | None:
    counters = [0.0] * len(plan.layout)
    for place, slot, factor in plan.moves:
        value = values[place]
        if not 0.0 <= value < COUNTER_LIMIT:
            return None
        counters[slot] += value * factor
    return tuple(counters)


def _read_levels(plan: Plan, values: Sequence[float]) -> MappingProxyType[Level, float]:
    """Requests summed over ranks, shares and lengths as their mean; a gauge that is no number is left out."""
    found: dict[Level, list[float]] = {}
    for place, level in plan.levels:
        found.setdefault(level, []).append(values[place])
    return MappingProxyType(
        {
            level: sum(several) / (len(several) if level in _MEANS else 1)
            for level, several in found.items()
            if all(0.0 <= value < COUNTER_LIMIT for value in several)
        }
    )


def _facts_of(infos: Sequence[Labels], system: System) -> Facts:
    said = dict(pair for labels in infos for pair in labels)
    return tuple([(fact, _tidy(said[label])) for label, fact in system.facts if label in said])


def _tidy(text: str) -> str:
    if len(text) <= _TEXT_LENGTH and text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_TEXT_LENGTH])
