"""A page of a known shape is read like any other: what is remembered changes the cost, never the answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenfactory.telemetry.exposition import PageRefused, Wanted, scan, scan_columns, scan_rows
from tokenfactory.telemetry.limits import ScanLimits

LIMITS = ScanLimits()
NAMES = frozenset({"vllm:a", "vllm:a_total", "b_bucket", "info"})
TYPES = frozenset({b"vllm:a", b"vllm:c"})
CAPTURES = Path(__file__).parents[2] / "golden" / "captures" / "vllm-0.32.0"
FIRST = '# TYPE vllm:a counter\nvllm:a{x="1"} 1\nvllm:a{x="2"} 2\nother 3\ninfo{blocks="7"} 1.0\n'


def fresh() -> Wanted:
    return Wanted(NAMES, loose=frozenset({"info"}), types=TYPES)


def answer(page: str, wanted: Wanted, limits: ScanLimits = LIMITS) -> object:
    """Everything that columns say, or the refusal."""
    try:
        columns = scan_columns(page.encode(), wanted, limits)
    except PageRefused as refused:
        return refused.reason
    rows = scan_rows(page.encode(), wanted, limits)
    return columns.shape, rows, list(map(repr, columns.values)), columns.loose


NEXT = {
    "other values": FIRST.replace("1\n", "10\n").replace(" 2\n", " 2.5e3\n"),
    "another value of a line that is not wanted": FIRST.replace("other 3", "other 4"),
    "a value that is no number": FIRST.replace("} 2", "} two"),
    "a value that Python alone would read": FIRST.replace("} 2", "} 2_0"),
    "a value that is not a number": FIRST.replace("} 2", "} NaN"),
    "a timestamp": FIRST.replace("} 2\n", "} 2 5\n"),
    "an exemplar": FIRST.replace("} 2\n", '} 2 # {t="1"} 1\n'),
    "one series more": FIRST + 'vllm:a{x="3"} 3\n',
    "one series more with a blank in front": FIRST + ' vllm:a{x="3"} 3\n',
    "one series less": FIRST.replace('vllm:a{x="2"} 2\n', ""),
    "another series in place of one": FIRST.replace('x="2"', 'x="4"'),
    "another series in place of a line that was not wanted": FIRST.replace("other 3", "b_bucket 3"),
    "a series twice": FIRST.replace('x="2"', 'x="1"'),
    "another name": FIRST.replace('vllm:a{x="2"}', 'vllm:a_total{x="2"}'),
    "no labels": FIRST.replace('{x="2"}', ""),
    "no value": FIRST.replace('{x="2"} 2', '{x="2"}'),
    "no blank before the value": FIRST.replace("} 2", "}2"),
    "two blanks before the value": FIRST.replace("} 2", "}  2"),
    "carriage returns": FIRST.replace("\n", "\r\n"),
    "another declared type": "# TYPE vllm:c counter\n" + FIRST,
    "a type that nobody asked for": "# TYPE vllm:d counter\n" + FIRST,
    "other labels of a loose sample": FIRST.replace("blocks", "chunks"),
    "a loose sample less": FIRST.replace('info{blocks="7"} 1.0\n', ""),
    "a loose sample twice": FIRST + 'info{blocks="8"} 1.0\n',
    "a cut page": FIRST[:-1],
    "nothing": "",
}


@pytest.mark.parametrize("page", NEXT.values(), ids=NEXT.keys())
def test_after_a_page_that_was_learned_comes(page: str) -> None:
    wanted = fresh()
    assert answer(FIRST, wanted) == answer(FIRST, wanted) == answer(FIRST, fresh())
    assert answer(page, wanted) == answer(page, fresh())
    assert answer(page, wanted) == answer(page, fresh())


def test_an_exemplar_worth_what_the_sample_is_worth_is_not_taken_for_it_later() -> None:
    wanted = fresh()
    learned = FIRST.replace("} 2\n", '} 1 # {t="1"} 1\n')
    assert answer(learned, wanted) == answer(learned, fresh())
    later = learned.replace('{t="1"} 1\n', '{t="1"} 9\n')
    assert answer(later, wanted) == answer(later, fresh())


def test_a_timestamp_equal_to_the_value_is_not_taken_for_it_later() -> None:
    wanted = fresh()
    assert answer(FIRST.replace("} 2\n", "} 5 5\n"), wanted)
    later = FIRST.replace("} 2\n", "} 5 6\n")
    assert answer(later, wanted) == answer(later, fresh())


def test_a_known_shape_still_has_to_keep_the_limits() -> None:
    wanted, narrow = fresh(), ScanLimits(line_length=60)
    assert answer(FIRST, wanted, narrow) == answer(FIRST, fresh(), narrow)
    long = FIRST.replace("other 3", "other 3 " + "#" * 60)
    assert answer(long, wanted, narrow) == answer(long, fresh(), narrow)


def test_pages_of_one_shape_share_it() -> None:
    wanted = fresh()
    scan_columns(FIRST.encode(), wanted, LIMITS)
    shapes = {id(scan_columns(NEXT[name].encode(), wanted, LIMITS).shape) for name in list(NEXT)[:2]}
    assert len(shapes) == 1


def test_shapes_differ_where_a_name_a_label_a_declared_type_or_the_order_does() -> None:
    differing = [
        FIRST,
        *(NEXT[name] for name in ("one series more", "one series less", "another name", "no labels")),
        *(NEXT[name] for name in ("another declared type", "another series in place of one")),
        FIRST.replace('x="1"', 'x="3"').replace('x="2"', 'x="1"').replace('x="3"', 'x="2"'),
    ]
    shapes = {scan_columns(page.encode(), fresh(), LIMITS).shape.digest for page in differing}
    assert len(shapes) == len(differing)


LINES = st.sampled_from(
    [*FIRST.splitlines(), "vllm:a 1", "vllm:a 1 1", ' vllm:a{x="9"} 1', 'b_bucket{le="+Inf"} 1 # {} 1', "x{"]
)


@settings(deadline=None)
@given(st.lists(st.lists(LINES, max_size=6), max_size=6))
def test_whatever_was_learned_before_changes_no_answer(pages: list[list[str]]) -> None:
    wanted = fresh()
    for lines in (*pages, *pages):
        page = "\n".join(lines) + "\n"
        assert answer(page, wanted) == answer(page, fresh())


@pytest.mark.parametrize(
    "capture", sorted(CAPTURES.glob("*/metrics-after.prom")), ids=lambda path: path.parent.name
)
def test_a_captured_page_gives_the_same_samples_the_second_time(capture: Path) -> None:
    page = capture.read_bytes()
    wanted = Wanted(NAMES | {"vllm:generation_tokens_total", "vllm:time_to_first_token_seconds_bucket"})
    expected = scan(page, wanted, LIMITS)
    for _ in range(2):
        columns, rows = scan_columns(page, wanted, LIMITS), scan_rows(page, wanted, LIMITS)
        assert [(*row, value) for row, value in zip(rows, columns.values, strict=True)] == list(expected)
