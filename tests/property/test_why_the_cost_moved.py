"""The parts of a move add up to the whole change, whatever moved (docs/cost-model.md §11)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenfactory.model import Move, Mover, Roles, Standing, explain_move

amounts = st.floats(0.01, 1e4)
shares = st.one_of(st.none(), st.floats(0.0, 1.0))
money = st.decimals("0.001", "1000", places=6)
roles = st.one_of(
    st.none(),
    st.builds(
        Roles,
        prefill_share=st.floats(0.01, 0.5),
        decode_share=st.floats(0.01, 0.5),
        prefill_busy=st.floats(0, 1),
        decode_busy=st.floats(0, 1),
    ),
)
standings = st.builds(
    Standing,
    at=st.just(0.0),
    seconds=st.just(300.0),
    currency=st.just("USD"),
    cost=money,
    price=money,
    gpus=amounts,
    busy=amounts,
    input_share=shares,
    cached_share=shares,
    acceptance_length=st.one_of(st.none(), st.floats(1.0, 8.0)),
    roles=roles,
    clock=st.one_of(st.none(), st.floats(200.0, 2500.0)),
)
BASE = Standing(
    at=0.0,
    seconds=300.0,
    currency="USD",
    cost=Decimal(4),
    price=Decimal(2),
    gpus=16.0,
    busy=12.0,
    input_share=0.5,
    cached_share=0.4,
    acceptance_length=2.0,
    roles=Roles(prefill_share=0.25, decode_share=0.75, prefill_busy=0.4, decode_busy=0.9),
    clock=1900.0,
)


def moved(before: Standing, after: Standing) -> Move:
    found = explain_move(before, after)
    assert found is not None
    return found


def changes(move: Move) -> dict[Mover, Decimal]:
    return {part.mover: part.change for part in move.parts if part.change is not None}


@given(standings, standings)
@settings(max_examples=300, deadline=None)
def test_the_parts_add_up_to_the_change_with_the_rest_named(before: Standing, after: Standing) -> None:
    found = moved(before, after)
    assert abs(sum(changes(found).values(), Decimal(0)) - found.change) <= Decimal("1e-18")
    assert found.parts[-1].mover is Mover.UNEXPLAINED


@given(standings, standings)
@settings(max_examples=200, deadline=None)
def test_the_way_back_is_the_same_way_with_the_signs_turned(before: Standing, after: Standing) -> None:
    there, back = changes(moved(before, after)), changes(moved(after, before))
    assert there.keys() == back.keys()
    for mover, change in there.items():
        assert float(change) == pytest.approx(-float(back[mover]), rel=1e-6, abs=1e-6)


@given(standings)
def test_nothing_moved_is_nothing_to_explain(one: Standing) -> None:
    assert set(changes(moved(one, one)).values()) == {Decimal(0)}


@pytest.mark.parametrize(
    ("mover", "after"),
    [
        (Mover.PRICE, replace(BASE, price=Decimal(4), cost=Decimal(8))),
        (Mover.GPUS_HELD, replace(BASE, gpus=32.0, cost=Decimal(8))),
        (Mover.DEMAND, replace(BASE, busy=6.0, cost=Decimal(8))),
        (Mover.ACCEPTANCE_LENGTH, replace(BASE, acceptance_length=1.0, cost=Decimal(4) * Decimal(2).sqrt())),
        (Mover.CACHE_HITS, replace(BASE, cached_share=0.7, cost=Decimal(4) / Decimal(2).sqrt())),
        (Mover.CLOCKS, replace(BASE, clock=950.0, cost=Decimal(8))),
        (
            Mover.ROLE_RATIO,
            replace(
                BASE,
                roles=Roles(prefill_share=0.625, decode_share=0.375, prefill_busy=0.2, decode_busy=1.0),
                cost=Decimal(8),
            ),
        ),
        (Mover.UNEXPLAINED, replace(BASE, cost=Decimal(8))),
    ],
)
def test_what_moved_alone_is_the_whole_change(mover: Mover, after: Standing) -> None:
    found = changes(moved(BASE, after))
    whole = float(after.cost - BASE.cost)
    assert float(found.pop(mover)) == pytest.approx(whole, rel=1e-9)
    assert all(abs(float(change)) < 1e-9 * abs(whole) for change in found.values())


def test_what_is_not_known_stays_in_the_unexplained_rest() -> None:
    blind = replace(BASE, input_share=None, cached_share=None, acceptance_length=None, roles=None, clock=None)
    found = changes(moved(blind, replace(blind, cost=Decimal(5))))
    assert found.keys() == {Mover.PRICE, Mover.GPUS_HELD, Mover.DEMAND, Mover.UNEXPLAINED}
    assert found[Mover.UNEXPLAINED] == pytest.approx(Decimal(1))


def test_two_currencies_are_not_compared() -> None:
    assert explain_move(BASE, replace(BASE, currency="EUR")) is None
