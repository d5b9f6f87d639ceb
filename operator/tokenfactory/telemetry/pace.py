"""How often a Prometheus really scrapes, as its answers show: too seldom, and its pages come and go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tokenfactory.telemetry.rebuild import Target

REMEMBERED_SECONDS = 1200.0
"""Four of the longest scrape intervals that a TokenFactory may set."""

_CONFIRMED = 2


@dataclass(frozen=True, slots=True)
class Pace:
    """When each target was last scraped (Unix seconds), and the shortest gaps of the last two rounds.

    Two: after an outage one gap is that of the outage, for all targets at once.
    """

    last: Mapping[tuple[str, str], float] = field(default_factory=dict)
    gaps: tuple[float, ...] = ()

    def is_over(self, seconds: float) -> bool:
        """Whether all targets go unscraped for longer than this, time and again."""
        return len(self.gaps) == _CONFIRMED and min(self.gaps) > seconds


def follow(pace: Pace, targets: Iterable[Target]) -> Pace:
    """The pace after another answer."""
    seen: dict[tuple[str, str], float] = {}
    for target in targets:
        if target.page is not None:
            key = target.pod, target.instance
            seen[key] = max(target.at, seen.get(key, 0.0))
    gaps = [at - pace.last[key] for key, at in seen.items() if at > pace.last.get(key, at)]
    newest = max(seen.values(), default=0.0)
    kept = {key: at for key, at in pace.last.items() if newest - at <= REMEMBERED_SECONDS}
    return Pace({**kept, **seen}, (min(gaps), *pace.gaps)[:_CONFIRMED] if gaps else pace.gaps)
