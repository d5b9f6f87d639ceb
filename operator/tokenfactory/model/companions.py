"""What the pages beside the engines say over the window: evidence and checks, never the pool's tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from tokenfactory.model.fleet import CompanionKind
from tokenfactory.model.readings import EngineId, FailureReason
from tokenfactory.model.signals import Signal

_NOTHING: Mapping[Signal, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionFigures:
    """One companion over the window. `gained` has an entry for every counter that its page carries.

    `running` and `waiting` are gauges of its last page, `waiting_mean` is over the window.
    `fresh`: it was read within two and a half scrape intervals; `failure` is why the last scrape gave
    nothing, `why_not` why there is none or what may be in its way. `models` are those that the page counts
    apart. `estimated`: it restarted, and may have counted what was never read.
    """

    id: EngineId
    kind: CompanionKind
    pod: str
    node: str
    fresh: bool
    ready: bool = True
    seconds: float = 0.0
    gained: Mapping[Signal, float] = field(default_factory=lambda: _NOTHING)
    running: float = 0.0
    waiting: float = 0.0
    waiting_mean: float = 0.0
    models: tuple[str, ...] = ()
    estimated: bool = False
    failure: FailureReason | None = None
    why_not: str = ""


class CompanionCheck(StrEnum):
    """Do the frontends count the output that the workers count? (docs/cost-model.md §3)"""

    NOT_COMPARED = "not-compared"
    AGREE = "agree"
    FRONTENDS_COUNT_MORE = "frontends-count-more"
    FRONTENDS_COUNT_LESS = "frontends-count-less"
