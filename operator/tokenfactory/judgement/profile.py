"""What a pool looks like while it is healthy: a few ratios per revision, to find what changed when it is not.

Every trait is a ratio of what was counted in one window, so that a profile compares windows of any load.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from tokenfactory.judgement.denominator import Denominator, load_of
from tokenfactory.judgement.evidence import Evidence
from tokenfactory.measure import value_of
from tokenfactory.model import (
    DenominatorState,
    EngineEvidence,
    OptimizationName,
    OptimizationRow,
    OptimizationState,
    Role,
    RoleLoad,
)

PROFILES_KEPT = 4
WEIGHT = 0.25
SOUND = 0.85
MINUTE = 60.0
_FLAG = re.compile(r"--[a-z0-9-]{1,60}", re.ASCII)
_QUIET = frozenset({DenominatorState.HEALTHY, DenominatorState.SATURATED, DenominatorState.WARMING_UP})


class Trait(StrEnum):
    """What is compared. The values are the keys in what is kept over a restart."""

    ACCEPTANCE_LENGTH = "acceptance"
    OFFLOAD_LOADS = "loads"
    TRANSFER_FAILURES = "failures"
    PREEMPTIONS = "preemptions"
    KV_USAGE = "kv"
    PROMPT_TOKENS = "prompt"
    CACHED_SHARE = "cached"
    THROTTLED_SHARE = "throttled"
    CLOCK = "clock"
    OBSERVED_SHARE = "observed"


Traits = Mapping[Trait, float]
Asked = tuple[OptimizationName, str]
"""An optimization that was active, and the flag that asked for it ("": none was seen)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One revision while healthy. `at`: Unix seconds of the last window that went into it."""

    epoch: str
    at: float
    traits: Traits
    active: tuple[Asked, ...] = ()


def profile_of(profiles: Iterable[Profile], epoch: str) -> Profile | None:
    return next((item for item in profiles if item.epoch == epoch), None)


@dataclass(frozen=True, slots=True)
class Past:
    """The latest revisions' profiles, and the last window on trial: it counts once another was sound."""

    profiles: tuple[Profile, ...] = ()
    trial: Profile | None = None


def grow(
    past: Past, evidence: Evidence, *, denominator: Denominator, rows: Iterable[OptimizationRow]
) -> Past:
    """The past after this cycle. A window in which something began to go wrong is never taken for healthy."""
    load = load_of(evidence.economics.loads, denominator.role)
    epochs = {item.epoch for item in load.replicas if item.fresh} if load is not None else set()
    if load is None or len(epochs) != 1 or not _is_sound(evidence, denominator):
        return Past(past.profiles)
    (epoch,) = epochs
    trial = past.trial if past.trial is not None and past.trial.epoch == epoch else None
    if trial is not None and 0 <= evidence.now - trial.at < evidence.terms.window_seconds:
        return past
    seen = Profile(
        epoch=epoch,
        at=evidence.now,
        traits=measure_traits(evidence, load),
        active=tuple(_list_active(evidence, rows)),
    )
    return Past(past.profiles if trial is None else _take(past.profiles, trial), seen)


def _take(profiles: tuple[Profile, ...], seen: Profile) -> tuple[Profile, ...]:
    """One healthy window more of a revision: traits move a quarter of the way, the rest is replaced."""
    old = profile_of(profiles, seen.epoch)
    known = dict(old.traits) if old is not None else {}
    blended = {
        trait: known[trait] + WEIGHT * (value - known[trait]) if trait in known else value
        for trait, value in seen.traits.items()
    }
    grown = replace(seen, traits=MappingProxyType(known | blended))
    others = sorted((item for item in profiles if item.epoch != seen.epoch), key=lambda item: -item.at)
    return (grown, *others[: PROFILES_KEPT - 1])


def _is_sound(evidence: Evidence, denominator: Denominator) -> bool:
    """A full window at which nothing is wrong, and no revision is on probation."""
    efficiency = value_of(denominator.efficiency)
    return (
        evidence.economics.window_full
        and denominator.state in _QUIET
        and not denominator.revision
        and (efficiency is None or efficiency >= SOUND)
    )


def _list_active(evidence: Evidence, rows: Iterable[OptimizationRow]) -> Iterable[Asked]:
    sources = {
        item.optimization: item.source
        for engine in evidence.inspected
        for item in engine.declarations
        if _FLAG.fullmatch(item.source)
    }
    for row in rows:
        if row.state is OptimizationState.ACTIVE:
            yield row.name, sources.get(row.name, "")


def measure_traits(evidence: Evidence, load: RoleLoad) -> Traits:
    """The traits of this window; what the pages don't carry is left out."""
    economics = evidence.economics
    engines = economics.evidence
    minutes = sum(item.seconds for item in load.replicas) / MINUTE
    gpus = economics.gpus
    held, observed = value_of(gpus.held), value_of(gpus.observed)
    found = {
        Trait.ACCEPTANCE_LENGTH: _acceptance([item for item in engines if item.role is load.role]),
        Trait.OFFLOAD_LOADS: _loads(engines),
        Trait.TRANSFER_FAILURES: _per(_sum(item.transfer_failures for item in engines), minutes),
        Trait.PREEMPTIONS: _per(load.preemptions, minutes),
        Trait.KV_USAGE: load.kv_usage,
        Trait.PROMPT_TOKENS: load.prompt_tokens_per_request,
        Trait.CACHED_SHARE: value_of(economics.throughput.cached_input_share),
        Trait.THROTTLED_SHARE: value_of(gpus.throttled_share),
        Trait.CLOCK: value_of(gpus.sm_megahertz),
        Trait.OBSERVED_SHARE: _per(observed, held or 0.0),
    }
    return MappingProxyType({trait: value for trait, value in found.items() if value is not None})


def _acceptance(engines: Iterable[EngineEvidence]) -> float | None:
    """1 + accepted / drafts over the role; the mean gauge of engines that count nothing of it."""
    drafts = accepted = 0.0
    gauges: list[float] = []
    for item in engines:
        if item.drafts and item.accepted_tokens is not None:
            drafts += item.drafts
            accepted += item.accepted_tokens
        elif item.acceptance_gauge:
            gauges.append(item.acceptance_gauge)
    if drafts > 0:
        return 1.0 + accepted / drafts
    return sum(gauges) / len(gauges) if gauges else None


def _loads(engines: Iterable[EngineEvidence]) -> float | None:
    """Loaded back for each prompt token, in the unit that the engines count."""
    rows = [item for item in engines if item.prompt_tokens > 0]
    prompts = sum(item.prompt_tokens for item in rows)
    loaded = _sum(item.loaded for item in rows)
    if loaded is None:
        loaded = _sum(item.offload_hit_tokens for item in rows)
    if loaded is None:
        loaded = _sum(item.external_hit_tokens for item in rows if item.role is Role.AGGREGATED)
    return _per(loaded, prompts)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _per(amount: float | None, whole: float) -> float | None:
    return amount / whole if amount is not None and whole > 0 else None
