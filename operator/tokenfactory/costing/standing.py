"""One window reduced to what explains its cost, and the windows before it (docs/cost-model.md §11)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from tokenfactory.costing.savings import accepted_tokens
from tokenfactory.costing.shares import Share
from tokenfactory.costing.split import Halves
from tokenfactory.costing.throughput import decoders
from tokenfactory.costing.window import TrackView, WindowView
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing, value_of
from tokenfactory.model import Move, Role, Roles, Signal, Standing, explain_move

STANDINGS_A_WINDOW = 4
KEPT_WINDOWS = 2
HALF = 0.5


def stand(
    window: WindowView,
    *,
    cost: Measure[Decimal],
    price: Decimal | None,
    currency: str,
    halves: Measure[Halves],
    cached_share: Measure[float],
    clock: Measure[float],
) -> Standing | None:
    """The window's standing; None while it has no cost."""
    seconds = window.span.seconds
    if not isinstance(cost, Known) or price is None or seconds <= 0:
        return None
    return Standing(
        at=window.span.end,
        seconds=seconds,
        currency=currency,
        cost=cost.value,
        price=price,
        gpus=window.gpu_seconds / seconds,
        busy=window.by_share(Share.SERVING) / seconds,
        input_share=float(halves.value.input_share) if isinstance(halves, Known) else None,
        cached_share=value_of(cached_share),
        acceptance_length=_acceptance_length(decoders(window)),
        roles=_weigh_roles(window),
        clock=value_of(clock),
    )


def keep(standings: tuple[Standing, ...], new: Standing | None, *, window: float) -> tuple[Standing, ...]:
    """The standings of the last two windows, a quarter of a window apart."""
    if new is None:
        return standings
    spaced = not standings or new.at - standings[-1].at >= window / STANDINGS_A_WINDOW
    found = (*standings, new) if spaced else standings
    return tuple(item for item in found if new.at - item.at <= KEPT_WINDOWS * window)


def find_move(standings: Iterable[Standing], new: Standing | None, *, window: float) -> Measure[Move]:
    """From the newest window that ended before this one began; both at least half full."""
    if new is None:
        return Missing(Absence.NO_TRAFFIC, "this window has no cost per million tokens")
    apart = [item for item in standings if new.at - item.at >= new.seconds and item.seconds >= HALF * window]
    if not apart or new.seconds < HALF * window:
        return Missing(Absence.WINDOW_FILLING, "no whole window before this one is known")
    move = explain_move(apart[-1], new)
    if move is None:
        return Missing(Absence.CURRENCY_MISMATCH, "the two windows can't be compared")
    return Known(
        value=move,
        basis=f"{new.currency} per million tokens (Total)",
        source="docs/cost-model.md §11",
        grade=Grade.ESTIMATED,
        window_seconds=new.seconds,
    )


def _acceptance_length(parts: tuple[TrackView, ...]) -> float | None:
    """Output tokens per decode step, over all engines; 1 where none speculates."""
    output = sum(part.total(Signal.OUTPUT_TOKENS) for part in parts)
    steps = output - accepted_tokens(parts)
    return output / steps if steps > 0 else None


def _weigh_roles(window: WindowView) -> Roles | None:
    """None without prefill and decode replicas."""
    held = {Role.PREFILL: 0.0, Role.DECODE: 0.0}
    busy = dict(held)
    for part in window.parts:
        role = part.track.role
        if role in held:
            held[role] += part.all_gpu_seconds
            busy[role] += sum(value for share, value in part.gpu_seconds if share is Share.SERVING)
    if min(held.values()) <= 0:
        return None
    return Roles(
        prefill_share=held[Role.PREFILL] / window.gpu_seconds,
        decode_share=held[Role.DECODE] / window.gpu_seconds,
        prefill_busy=busy[Role.PREFILL] / held[Role.PREFILL],
        decode_busy=busy[Role.DECODE] / held[Role.DECODE],
    )
