"""Labelled pod specs, scored: run with -s to see the confusion matrix."""

from __future__ import annotations

import pytest

from tests.support.corpus import Score, answers, cases, score

LEAST_CASES = 80
LEAST_ACCURACY = 0.95

CASES = cases()


@pytest.fixture(scope="module")
def scored() -> Score:
    total = Score()
    for case in CASES:
        score(case, answers(case), total)
    print(f"\n{total.matrix()}")
    print("\n".join(total.wrong))
    return total


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= LEAST_CASES
    assert len({case.name for case in CASES}) == len(CASES)


def test_nothing_is_called_declared_that_is_not(scored: Score) -> None:
    assert scored.false_claims == []


def test_declarations_are_judged_right(scored: Score) -> None:
    assert scored.accuracy >= LEAST_ACCURACY, "\n".join(scored.wrong)


@pytest.mark.parametrize(
    "fact", ["engines found", "engine", "wrapper", "role", "port", "metrics", "weight only"]
)
def test_what_runs_and_where_it_is_read_is_judged_right(fact: str, scored: Score) -> None:
    assert scored.share(fact) >= LEAST_ACCURACY, "\n".join(scored.wrong)
