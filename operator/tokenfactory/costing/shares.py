"""What a span of GPU time was spent on: serving, idle or loading (docs/cost-model.md §1, §15)."""

from __future__ import annotations

from enum import StrEnum


class Share(StrEnum):
    """The three parts of GPU time; they add up to the whole (docs/cost-model.md §13)."""

    SERVING = "serving"
    IDLE = "idle"
    LOADING = "loading"


SHARES = tuple(Share)
