"""Tokens counted once: one layer, by role (docs/cost-model.md §3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenfactory.costing.window import TrackView, WindowView
from tokenfactory.measure import Grade
from tokenfactory.model import Role, Signal, Tokens

TOKEN_FLOOR = 1000.0
MAKERS = (Role.AGGREGATED, Role.DECODE)
WORKERS = (Role.AGGREGATED, Role.PREFILL, Role.DECODE)


@dataclass(frozen=True, slots=True)
class RoleCount:
    """Prompt, cached prompt and output tokens of one engine, whatever its role."""

    role: Role
    prompt: float
    cached: float
    output: float


def count_once(counts: Iterable[RoleCount]) -> Tokens:
    """Prompt and output from the decode and aggregated roles, cached input from aggregated and prefill.

    Prefill workers repeat every prompt and emit one throw-away token per request; on decode the cached
    input equals the whole prompt. Cached input never exceeds the prompt.
    """
    prompt = cached = output = 0.0
    for count in counts:
        if count.role in MAKERS:
            prompt += count.prompt
            output += count.output
        if count.role in (Role.AGGREGATED, Role.PREFILL):
            cached += count.cached
    cached = min(cached, prompt)
    return Tokens(uncached_input=prompt - cached, cached_input=cached, output=output)


def count_part(part: TrackView) -> RoleCount:
    return RoleCount(
        part.track.role,
        part.total(Signal.PROMPT_TOKENS),
        part.total(Signal.CACHED_PROMPT_TOKENS),
        part.total(Signal.OUTPUT_TOKENS),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Tokens of a window and what qualifies them. `cache_known` False: cached input is not exported."""

    tokens: Tokens
    cache_known: bool
    grade: Grade

    @property
    def enough(self) -> bool:
        """At least the token floor (docs/cost-model.md §15)."""
        return self.tokens.total >= TOKEN_FLOOR


def count_window(window: WindowView, *, covered: Grade) -> Counted:
    """The window's tokens; `covered` is the best grade that coverage allows."""
    readers = [part for part in window.parts if part.track.read_at is not None]
    cachers = [part for part in readers if part.track.role in (Role.AGGREGATED, Role.PREFILL)]
    return Counted(
        tokens=count_once(count_part(part) for part in readers),
        cache_known=bool(cachers) and all(part.has(Signal.CACHED_PROMPT_TOKENS) for part in cachers),
        grade=Grade.ESTIMATED if window.estimated else covered,
    )
