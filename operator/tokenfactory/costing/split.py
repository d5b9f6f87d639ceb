"""What of the cost is input and what is output (docs/cost-model.md §7).

By the GPUs of each role where prefill and decode are apart, by seconds spent in prefill and decode where
one engine does both. Never by the per-request mean time per output token.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tokenfactory.costing.cost import Prices, cost_of, missing_price
from tokenfactory.costing.tokencount import Counted
from tokenfactory.costing.window import TrackView, WindowView
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing, worst
from tokenfactory.model import PriceQuote, Role, Signal
from tokenfactory.units import MILLION, decimal_of

SOURCE = "docs/cost-model.md §7"
BY_ROLE = "GPUs of each role"
BY_SECONDS = "seconds in prefill and in decode"
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """Money of one window: what input cost, what output cost, and by what they were told apart."""

    input: Decimal
    output: Decimal
    how: str

    @property
    def total(self) -> Decimal:
        return self.input + self.output

    @property
    def input_share(self) -> Decimal:
        return self.input / self.total if self.total else ZERO


def halve(window: WindowView, prices: Prices, quote: PriceQuote) -> Measure[Halves]:
    """The window's cost in two. GPUs of neither half (idle engines, followers) go with the known parts."""
    roles = {part.track.role for part in window.parts if part.all_gpu_seconds > 0}
    if (Role.PREFILL in roles) != (Role.DECODE in roles):
        return Missing(Absence.SPLIT_UNKNOWN, "prefill or decode replicas are not part of the pool")
    halves, rest = [ZERO, ZERO], ZERO
    for part in window.parts:
        money = cost_of(part, prices)
        if money is None:
            return missing_price(quote, prices)
        if _is_mute(part):
            return Missing(Absence.SPLIT_UNKNOWN, "an engine does not count its prefill and decode time")
        share = input_share_of(part)
        if share is None:
            rest += money
        else:
            halves[0] += money * share
            halves[1] += money * (1 - share)
    told = sum(halves, ZERO)
    if told <= 0:
        return Missing(Absence.SPLIT_UNKNOWN, "no request finished in the window")
    apart = Role.PREFILL in roles and Role.AGGREGATED not in roles
    how = BY_ROLE if apart else BY_SECONDS
    return Known(
        value=Halves(
            input=halves[0] + rest * halves[0] / told, output=halves[1] + rest * halves[1] / told, how=how
        ),
        basis=f"{quote.currency} of the window, by {how}",
        source=SOURCE,
        grade=Grade.CONFIGURED if apart and not rest else Grade.ESTIMATED,
        window_seconds=window.span.seconds,
    )


def input_share_of(part: TrackView) -> Decimal | None:
    """The share of one engine's cost that is input; None when nothing of its own tells."""
    if part.track.role in (Role.PREFILL, Role.DECODE):
        return Decimal(part.track.role is Role.PREFILL)
    prefill, decode = part.total(Signal.PREFILL_SECONDS), part.total(Signal.DECODE_SECONDS)
    if part.track.role is not Role.AGGREGATED or prefill + decode <= 0:
        return None
    return decimal_of(prefill) / (decimal_of(prefill) + decimal_of(decode))


def _is_mute(part: TrackView) -> bool:
    counts = part.has(Signal.PREFILL_SECONDS) and part.has(Signal.DECODE_SECONDS)
    return part.track.role is Role.AGGREGATED and part.track.read_at is not None and not counts


def per_million_of_each(
    halves: Measure[Halves], counted: Measure[Counted], *, currency: str
) -> tuple[Measure[Decimal], Measure[Decimal]]:
    """Input cost per million input tokens (cached ones included), output cost per million output tokens.

    Times their tokens they add up to the whole cost.
    """
    if isinstance(counted, Missing):
        return counted, counted
    if not counted.value.enough:
        few = Missing(Absence.NO_TRAFFIC, "fewer than 1,000 tokens in the window")
        return few, few
    if isinstance(halves, Missing):
        return halves, halves
    tokens, money = counted.value.tokens, halves.value
    pairs = (
        ("input", money.input, tokens.uncached_input + tokens.cached_input),
        ("output", money.output, tokens.output),
    )
    grade = worst(halves.grade, counted.value.grade)
    found = tuple(_per_million(pair, halves, grade=grade, currency=currency) for pair in pairs)
    return found[0], found[1]


def _per_million(
    pair: tuple[str, Decimal, float], halves: Known[Halves], *, grade: Grade, currency: str
) -> Measure[Decimal]:
    kind, money, tokens = pair
    if tokens <= 0:
        return Missing(Absence.NO_TRAFFIC, f"no {kind} token in the window")
    return Known(
        value=money / (decimal_of(tokens) / MILLION),
        basis=f"{currency} per million {kind} tokens, by {halves.value.how}",
        source=SOURCE,
        grade=grade,
        window_seconds=halves.window_seconds,
    )
