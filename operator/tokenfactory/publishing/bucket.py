"""A token bucket as a value: it goes in and comes out, and nothing is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """`burst` at once, then `per_second`. `at` is the Unix time of `left`; None: full and never used."""

    burst: float
    per_second: float
    left: float | None = None
    at: float | None = None

    def refilled(self, now: float) -> Bucket:
        """The bucket at `now`. A clock that goes backwards adds nothing."""
        if self.left is None or self.at is None:
            return replace(self, left=self.burst, at=now)
        gained = max(0.0, now - self.at) * self.per_second
        return replace(self, left=min(self.burst, self.left + gained), at=max(now, self.at))

    def take(self, now: float) -> tuple[Bucket, bool]:
        """The bucket afterwards, and whether one token could be taken from it."""
        full = self.refilled(now)
        if full.left is None or full.left < 1:
            return full, False
        return replace(full, left=full.left - 1), True
