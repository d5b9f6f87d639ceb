"""Kubernetes cuts times of creation to whole seconds: a pod made just after a cycle is billed from then."""

from __future__ import annotations

import pytest

from tokenfactory.costing.ledger import Ledger
from tokenfactory.costing.sights import begin_of_new

LAST = 1_000_000.6
LEDGER = Ledger(first_at=LAST - 60, at=LAST, window_seconds=30)


@pytest.mark.parametrize(
    ("created_at", "begun"),
    [
        pytest.param(1_000_000.0, LAST, id="created in the second of the last cycle: from that cycle on"),
        pytest.param(1_000_001.0, 1_000_001.0, id="created in a later second: from its own stamp on"),
        pytest.param(999_999.0, None, id="created a second before: it was there and is not new"),
        pytest.param(0.0, None, id="without a stamp: nothing is made up"),
    ],
)
def test_gpu_time_of_a_new_pod_begins(created_at: float, begun: float | None) -> None:
    assert begin_of_new(created_at, LEDGER) == begun


def test_no_pod_is_new_to_an_operator_that_has_just_started() -> None:
    assert begin_of_new(LAST, None) is None
