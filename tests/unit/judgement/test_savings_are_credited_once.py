"""Savings stand on rows that ran, and speculation's on one row only."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tokenfactory.judgement.savings import credit
from tokenfactory.measure import Grade, Known
from tokenfactory.model import OptimizationName, OptimizationRow, OptimizationState, Policy, Savings

SPECULATION, OFFLOADING = Decimal("0.5"), Decimal("0.25")
MTP, ANY = OptimizationName.MULTI_TOKEN_PREDICTION, OptimizationName.SPECULATIVE_DECODING
KV = OptimizationName.KV_CACHE_OFFLOADING


def saved(value: Decimal) -> Known[Decimal]:
    return Known(value=value, basis="USD", source="§12", grade=Grade.ESTIMATED)


SAVINGS = Savings(speculation=saved(SPECULATION), offloading=saved(OFFLOADING))


def row(name: OptimizationName, state: OptimizationState) -> OptimizationRow:
    return OptimizationRow(name=name, policy=Policy.REQUIRED, state=state, declared="", evidence="")


def credited(*rows: OptimizationRow) -> dict[OptimizationName, Decimal]:
    found = credit(rows, SAVINGS)
    return {item.name: item.saving.value for item in found if isinstance(item.saving, Known)}


def test_mtp_has_the_saving_when_it_runs_and_speculative_decoding_then_has_none() -> None:
    active = OptimizationState.ACTIVE
    assert credited(row(ANY, active), row(MTP, active), row(KV, active)) == {MTP: SPECULATION, KV: OFFLOADING}


def test_another_method_has_the_saving_on_the_row_of_speculative_decoding() -> None:
    rows = row(ANY, OptimizationState.PARTIAL), row(MTP, OptimizationState.MISSING)
    assert credited(*rows) == {ANY: SPECULATION}


@pytest.mark.parametrize("state", sorted(set(OptimizationState) - {"Active", "Partial"}))
def test_no_saving_is_claimed_for_what_did_not_provably_run(state: OptimizationState) -> None:
    assert credited(row(ANY, state), row(MTP, state), row(KV, state)) == {}
