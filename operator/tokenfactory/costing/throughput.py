"""Rates over the window (docs/cost-model.md §15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tokenfactory.costing.tokencount import MAKERS, Counted
from tokenfactory.costing.window import TrackView, WindowView
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing, worst
from tokenfactory.model import Coverage, Signal, ThroughputFigures, Tokens

SOURCE = "engine counters, docs/cost-model.md §15"


@dataclass(frozen=True, slots=True)
class Pace:
    """Turns an amount of the window into a rate per second.

    With every replica covered that is the amount over the window's seconds. Else the rate of the covered
    GPU time stands for all GPUs held, and the grade is estimated. `seconds` is what amounts are divided by.
    """

    window: WindowView
    seconds: float

    def per_second(self, amount: float) -> float:
        return amount / self.seconds if self.seconds > 0 else 0.0


def set_pace(window: WindowView, *, held: float, coverage: Coverage) -> Pace:
    """The pace of a window, while `held` GPUs are held; worked out once for all pods."""
    gpu_seconds = window.gpu_seconds
    if coverage.complete or gpu_seconds <= 0:
        return Pace(window, window.span.seconds)
    return Pace(window, gpu_seconds / held if held > 0 else 0.0)


def find_throughput(counted: Measure[Counted], pace: Pace) -> ThroughputFigures:
    """All rates; one absence for all of them when no token could be counted."""
    if isinstance(counted, Missing):
        return ThroughputFigures(
            tokens=counted,
            per_second=counted,
            per_gpu=counted,
            cached_input_share=counted,
            per_user=counted,
            concurrency=counted,
        )
    count, window = counted.value, pace.window
    seconds = window.span.seconds

    def known(value: float, basis: str) -> Known[float]:
        return Known(value=value, basis=basis, source=SOURCE, grade=count.grade, window_seconds=seconds)

    tokens = count.tokens
    rates = Tokens(
        uncached_input=pace.per_second(tokens.uncached_input),
        cached_input=pace.per_second(tokens.cached_input),
        output=pace.per_second(tokens.output),
    )
    per_gpu: Measure[float] = Missing(Absence.NO_PODS, "no GPU was held in the window")
    if window.gpu_seconds > 0:
        per_gpu = known(tokens.total / window.gpu_seconds, "tokens/s/GPU, Total basis, all GPUs held")
    return ThroughputFigures(
        tokens=Known(value=tokens, basis="tokens", source=SOURCE, grade=count.grade, window_seconds=seconds),
        per_second=Known(
            value=rates, basis="tokens/s", source=SOURCE, grade=count.grade, window_seconds=seconds
        ),
        per_gpu=per_gpu,
        cached_input_share=cached_share(counted),
        per_user=_per_user(window, count, known),
        concurrency=_concurrency(pace, known),
    )


Knower = Callable[[float, str], Known[float]]


def cached_share(counted: Measure[Counted]) -> Measure[float]:
    """The share of input tokens that came from a cache."""
    if isinstance(counted, Missing):
        return counted
    if not counted.value.cache_known:
        return Missing(Absence.NOT_EXPORTED)
    tokens = counted.value.tokens
    prompt = tokens.cached_input + tokens.uncached_input
    if prompt <= 0:
        return Missing(Absence.NO_TRAFFIC)
    return Known(
        value=tokens.cached_input / prompt,
        basis="cached over all input tokens",
        source=SOURCE,
        grade=counted.grade,
        window_seconds=counted.window_seconds,
    )


def decoders(window: WindowView) -> tuple[TrackView, ...]:
    """The engines whose decoding sequences are counted."""
    return tuple(p for p in window.parts if p.track.role in MAKERS and p.track.read_at is not None)


def _per_user(window: WindowView, count: Counted, known: Knower) -> Measure[float]:
    """Output tokens over the decoding seconds of all sequences: never 1 / mean latency."""
    parts = decoders(window)
    if not parts or not all(part.has(Signal.INTER_TOKEN_SECONDS) for part in parts):
        return Missing(Absence.NOT_EXPORTED)
    decoding = sum(part.total(Signal.INTER_TOKEN_SECONDS) for part in parts)
    if decoding <= 0 or not count.enough:
        return Missing(Absence.NO_TRAFFIC)
    return known(count.tokens.output / decoding, "output tokens/s of one decoding sequence")


def _concurrency(pace: Pace, known: Knower) -> Measure[float]:
    """Mean decoding sequences of the pool; from the sampled gauge (estimated) where no counter tells."""
    parts = decoders(pace.window)
    if not parts:
        return Missing(Absence.NOT_SCRAPED)
    if all(part.has(Signal.INTER_TOKEN_SECONDS) for part in parts):
        decoding = sum(part.total(Signal.INTER_TOKEN_SECONDS) for part in parts)
        return known(pace.per_second(decoding), "mean decoding sequences")
    sampled = pace.per_second(sum(part.running_seconds for part in parts))
    guess = known(sampled, "mean running requests, sampled")
    return Known(
        value=guess.value,
        basis=guess.basis,
        source=guess.source,
        grade=worst(guess.grade, Grade.ESTIMATED),
        window_seconds=guess.window_seconds,
    )
