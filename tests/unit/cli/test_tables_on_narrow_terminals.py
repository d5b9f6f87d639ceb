"""kubectl's table of pools on terminals of 80 columns: every word of it that matters is there."""

from __future__ import annotations

import pytest

from tokenfactory.cli.fitting import fit

TABLE = """\
NAMESPACE   NAME             $/MTOK   TOK/S/GPU   GPUS   OPTIMIZED   OF-REF   DENOMINATOR           AGE
serving     deepseek-gb300   0.3518   2094        8      3/4                  ThroughputCollapsed   3m45s
serving     mixtral-idle              0           8      0/4                  LowDemand             3m45s
serving     wrong-poolref                                                     Blind                 3m45s"""
GONE = {120: set(), 100: set(), 90: {"AGE"}, 80: {"AGE", "OF-REF", "NAMESPACE"}}


@pytest.mark.parametrize("width", GONE)
def test_columns_leave_until_it_fits(width: int) -> None:
    lines = fit(TABLE, width).splitlines()
    assert max(map(len, lines)) <= width
    assert set(TABLE.split()[:9]) - set(lines[0].split()) == GONE[width]
    assert "ThroughputCollapsed" in lines[1]


def test_a_table_that_fits_stays_as_it_is() -> None:
    assert fit(TABLE, 120) == TABLE


def test_a_reference_that_is_known_stays() -> None:
    known = TABLE.replace("3/4                  Thr", "3/4         0.91     Thr")
    assert "0.91" in fit(known, 80)


@pytest.mark.parametrize("text", ["", "No resources found"])
def test_what_is_no_table_passes(text: str) -> None:
    assert fit(text, 80) == text
