"""What an optimization saved in the window, by what ran (docs/cost-model.md §12). Always an estimate."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from tokenfactory.costing.split import Halves
from tokenfactory.costing.throughput import decoders
from tokenfactory.costing.tokencount import Counted
from tokenfactory.costing.window import TrackView, WindowView
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing
from tokenfactory.model import Role, Savings, Signal
from tokenfactory.units import MILLION, decimal_of

SOURCE = "docs/cost-model.md §12"
SPECULATION = "decode cost × accepted ÷ (output − accepted) tokens"
OFFLOADING = "input cost × loaded ÷ computed prompt tokens"


def find_savings(
    window: WindowView, halves: Measure[Halves], counted: Measure[Counted], *, currency: str
) -> Savings:
    """Per million tokens of the Total basis. Whether the optimization ran at all is judged elsewhere."""
    if isinstance(counted, Missing):
        return Savings(speculation=counted, offloading=counted)
    if not counted.value.enough:
        few = Missing(Absence.NO_TRAFFIC, "fewer than 1,000 tokens in the window")
        return Savings(speculation=few, offloading=few)

    def known(measure: Measure[Decimal], formula: str) -> Measure[Decimal]:
        if isinstance(measure, Missing):
            return measure
        return Known(
            value=measure.value / (decimal_of(counted.value.tokens.total) / MILLION),
            basis=f"{currency} per million tokens (Total): {formula}",
            source=SOURCE,
            grade=Grade.ESTIMATED,
            window_seconds=window.span.seconds,
        )

    return Savings(
        speculation=known(_speculation(window, halves), SPECULATION),
        offloading=known(_offloading(window, halves, counted.value), OFFLOADING),
    )


def _speculation(window: WindowView, halves: Measure[Halves]) -> Measure[Decimal]:
    """The decode steps that accepted drafts made needless, each at the cost of a step that was taken."""
    parts = decoders(window)
    if all(part.accepted is None for part in parts):
        return Missing(Absence.NOT_EXPORTED, "no engine counts accepted draft tokens")
    accepted = decimal_of(accepted_tokens(parts))
    output = decimal_of(sum(part.total(Signal.OUTPUT_TOKENS) for part in parts))
    if not 0 < accepted < output:
        return Missing(Absence.NO_TRAFFIC, "no draft token was accepted in the window")
    if isinstance(halves, Missing):
        return halves
    return _plain(halves.value.output * accepted / (output - accepted))


def _offloading(window: WindowView, halves: Measure[Halves], counted: Counted) -> Measure[Decimal]:
    """The prompt tokens that were loaded, each at the prefill cost of a token that was computed."""
    loaded = loaded_tokens(window.parts)
    if loaded is None:
        return Missing(Absence.NOT_EXPORTED, "no engine counts prompt tokens loaded from an outer cache")
    if loaded <= 0:
        return Missing(Absence.NO_TRAFFIC, "no prompt token was loaded in the window")
    if not counted.cache_known or counted.tokens.uncached_input <= 0:
        return Missing(Absence.NOT_EXPORTED, "the computed prompt tokens are not known")
    if isinstance(halves, Missing):
        return halves
    return _plain(halves.value.input * decimal_of(loaded) / decimal_of(counted.tokens.uncached_input))


def accepted_tokens(parts: Iterable[TrackView]) -> float:
    return sum(part.accepted or 0.0 for part in parts)


def loaded_tokens(parts: Iterable[TrackView]) -> float | None:
    """Prompt tokens from host memory, disk or a remote cache; None where no engine tells.

    On decode replicas they may be the transfer from prefill, so those are left out; hits of any connector
    count on aggregated replicas only, where no tier is told apart.
    """
    found: list[float] = []
    for part in parts:
        if part.track.role in (Role.AGGREGATED, Role.PREFILL) and part.has(Signal.OFFLOAD_HIT_TOKENS):
            found.append(part.total(Signal.OFFLOAD_HIT_TOKENS))
        elif part.track.role is Role.AGGREGATED and part.has(Signal.EXTERNAL_HIT_TOKENS):
            found.append(part.total(Signal.EXTERNAL_HIT_TOKENS))
    return sum(found) if found else None


def _plain(value: Decimal) -> Known[Decimal]:
    return Known(value=value, basis="", source=SOURCE, grade=Grade.ESTIMATED)
