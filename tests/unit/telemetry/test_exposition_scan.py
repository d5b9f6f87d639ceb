"""The scanner takes what the text format allows and refuses whole pages for anything else."""

from __future__ import annotations

import math

import pytest

from tokenfactory.model import FailureReason
from tokenfactory.telemetry.exposition import PageRefused, Refusal, Sample, Wanted, scan
from tokenfactory.telemetry.limits import ScanLimits

WANTED = Wanted(frozenset({"vllm:a", "vllm:a_total", "b_bucket"}))
LIMITS = ScanLimits()


def read(page: str, limits: ScanLimits = LIMITS) -> tuple[Sample, ...]:
    return scan(page.encode(), WANTED, limits)


def refusal(page: str | bytes, limits: ScanLimits = LIMITS) -> Refusal:
    raw = page.encode() if isinstance(page, str) else page
    with pytest.raises(PageRefused) as refused:
        scan(raw, WANTED, limits)
    return refused.value.reason


ONE_SAMPLE = {
    "no labels": ("vllm:a 1\n", ()),
    "empty braces": ("vllm:a{} 1\n", ()),
    "one label": ('vllm:a{x="y"} 1\n', (("x", "y"),)),
    "labels keep the page's order": ('vllm:a{z="1",x="2"} 1\n', (("z", "1"), ("x", "2"))),
    "a trailing comma": ('vllm:a{x="y",} 1\n', (("x", "y"),)),
    "an escaped quote": (r'vllm:a{x="say \"hi\""} 1' + "\n", (("x", 'say "hi"'),)),
    "an escaped backslash": (r'vllm:a{x="c:\\n"} 1' + "\n", (("x", r"c:\n"),)),
    "a backslash before the closing quote": (r'vllm:a{x="y\\",z="1"} 1' + "\n", (("x", "y\\"), ("z", "1"))),
    "an escaped line feed": (r'vllm:a{x="p\nq"} 1' + "\n", (("x", "p\nq"),)),
    "an unknown escape stays as written": (r'vllm:a{x="\d"} 1' + "\n", (("x", r"\d"),)),
    "braces and commas inside a value": ('vllm:a{x="{a,b}",y="},"} 1\n', (("x", "{a,b}"), ("y", "},"))),
    "an equals sign inside a value": ("vllm:a{x=\"a='b'\"} 1\n", (("x", "a='b'"),)),
    "a hash inside a value": ('vllm:a{x="a # b"} 1\n', (("x", "a # b"),)),
    "an empty value": ('vllm:a{x=""} 1\n', (("x", ""),)),
    "UTF-8 in a value": ('vllm:a{x="Grüße 東京"} 1\n', (("x", "Grüße 東京"),)),
    "blanks everywhere": (' \tvllm:a { x = "y" , z="w" }\t 1  \n', (("x", "y"), ("z", "w"))),
    "no blank after the brace": ('vllm:a{x="y"}1\n', (("x", "y"),)),
    "CRLF": ('# HELP vllm:a x\r\nvllm:a{x="y"} 1\r\n', (("x", "y"),)),
    "CRLF without labels": ("vllm:a 1\r\nother 2\r\n", ()),
    "a timestamp": ('vllm:a{x="y"} 1 1795331257567\n', (("x", "y"),)),
    "a negative timestamp": ("vllm:a 1 -5\n", ()),
    "an exemplar": ('vllm:a{x="y"} 1 # {trace="}{\\"1"} 0.5 17.3\n# EOF\n', (("x", "y"),)),
    "an exemplar after a timestamp": ('vllm:a{x="y"} 1 17.3 # {t="1"} 1\n', (("x", "y"),)),
    "an end mark without a line feed": ("vllm:a 1\n# EOF", ()),
    "a page that starts with a blank line": ("\nvllm:a 1\n", ()),
    "a name that only starts alike": ("vllm:a_created 5\nvllm:a 1\nvllm:ab 7\nxvllm:a 9\n", ()),
    "a wanted name inside a comment": ("# vllm:a 7\n# HELP vllm:a vllm:a 8\nvllm:a 1\n", ()),
    "a wanted name inside another's label": ('z{x="vllm:a 4"} 2\nvllm:a 1\n', ()),
    "broken lines that are not wanted": ('z{x="\nq{ 1\nvllm:a 1\n', ()),
}


@pytest.mark.parametrize(("page", "labels"), ONE_SAMPLE.values(), ids=ONE_SAMPLE.keys())
def test_a_sample_is_read_with(page: str, labels: tuple[tuple[str, str], ...]) -> None:
    assert read(page) == (Sample("vllm:a", labels, 1.0),)


VALUES = {
    "0": 0.0,
    "-0": 0.0,
    "1.5e3": 1500.0,
    "+2.": 2.0,
    ".5": 0.5,
    "1E-2": 0.01,
    "+Inf": math.inf,
    "-Inf": -math.inf,
    "inf": math.inf,
    "Infinity": math.inf,
    "1e999": math.inf,
}


@pytest.mark.parametrize(("text", "value"), VALUES.items(), ids=VALUES.keys())
def test_a_value_is_read(text: str, value: float) -> None:
    assert read(f"vllm:a {text}\n")[0].value == value


@pytest.mark.parametrize("text", ["NaN", "nan", "-NaN"])
def test_nan_is_read(text: str) -> None:
    assert math.isnan(read(f"vllm:a {text}\n")[0].value)


def test_longer_names_are_told_from_their_beginnings_and_families_may_repeat() -> None:
    page = 'vllm:a_total{e="0"} 3\nvllm:a 1\nb_bucket{le="+Inf"} 2\nvllm:a_total{e="1"} 4\n'
    assert [(sample.name, sample.value) for sample in read(page)] == [
        ("vllm:a_total", 3.0),
        ("vllm:a", 1.0),
        ("b_bucket", 2.0),
        ("vllm:a_total", 4.0),
    ]


def test_a_page_without_a_wanted_sample_gives_none() -> None:
    assert read("# TYPE up gauge\nup 1\n") == ()


REFUSED = {
    "empty": (b"", Refusal.EMPTY_PAGE),
    "blank": (b" \r\n\n", Refusal.EMPTY_PAGE),
    "JSON": (b'{"detail": "Not Found"}\n', Refusal.NOT_EXPOSITION),
    "JSON without a line end": (b'{"status": "ok"}', Refusal.NOT_EXPOSITION),
    "an empty JSON object": (b"{}", Refusal.NOT_EXPOSITION),
    "a JSON list": (b"[1, 2]\n", Refusal.NOT_EXPOSITION),
    "HTML": (b"<!doctype html>\n<pre>\nvllm:a 1\n</pre>\n", Refusal.NOT_EXPOSITION),
    "plain words": (b"Not Found\n", Refusal.NOT_EXPOSITION),
    "comments only": (b"# HELP vllm:a x\n# TYPE vllm:a gauge\n", Refusal.NOT_EXPOSITION),
    "binary": (b"\x1f\x8b\x08\x00\x00vllm:a 1\n", Refusal.NOT_EXPOSITION),
    "binary without a zero byte": (b"\xff\xfe\x80\n\x93\n", Refusal.NOT_EXPOSITION),
    "cut in the middle of a number": (b"vllm:a 1\nvllm:a_total 12", Refusal.TRUNCATED),
    "cut in a line that is not wanted": (b"vllm:a 1\nother 12", Refusal.TRUNCATED),
    "no value": (b"vllm:a\n", Refusal.MALFORMED),
    "no value after labels": (b'vllm:a{x="y"}\n', Refusal.MALFORMED),
    "a brace that is not closed": (b'vllm:a{x="y" 1\n', Refusal.MALFORMED),
    "a quote that is not closed": (b'vllm:a{x="y} 1\nother 2\n', Refusal.MALFORMED),
    "a label without quotes": (b"vllm:a{x=y} 1\n", Refusal.MALFORMED),
    "a label without a value": (b'vllm:a{x,y="1"} 1\n', Refusal.MALFORMED),
    "two commas": (b'vllm:a{x="1",,y="2"} 1\n', Refusal.MALFORMED),
    "a comma first": (b'vllm:a{,x="1"} 1\n', Refusal.MALFORMED),
    "no comma between labels": (b'vllm:a{x="1"y="2"} 1\n', Refusal.MALFORMED),
    "a label name with a digit first": (b'vllm:a{1x="1"} 1\n', Refusal.MALFORMED),
    "a label twice": (b'vllm:a{x="1",x="2"} 1\n', Refusal.MALFORMED),
    "a label value that is not UTF-8": (b'vllm:a{x="\xff"} 1\n', Refusal.MALFORMED),
    "words after the value": (b"vllm:a 1 two\n", Refusal.MALFORMED),
    "two timestamps": (b"vllm:a 1 2 3\n", Refusal.MALFORMED),
    "digits grouped": (b"vllm:a 1_000\n", Refusal.MALFORMED),
    "a value glued to a comment": (b"vllm:a 1#x\n", Refusal.MALFORMED),
    "a sign glued to the name": (b"vllm:a-1 1\n", Refusal.MALFORMED),
    "a word as value": (b"vllm:a one\n", Refusal.BAD_VALUE),
    "a hexadecimal value": (b"vllm:a 0x1p3\n", Refusal.BAD_VALUE),
    "two dots": (b"vllm:a 1.2.3\n", Refusal.BAD_VALUE),
    "a series twice": (b'vllm:a{x="1"} 1\nvllm:a{x="1"} 1\n', Refusal.DUPLICATE_SERIES),
    "a bare series twice": (b"vllm:a 1\nvllm:a{} 2\n", Refusal.DUPLICATE_SERIES),
    "a series twice in another order": (
        b'vllm:a{x="1",y="2"} 1\nvllm:a{y="2",x="1"} 1\n',
        Refusal.DUPLICATE_SERIES,
    ),
}


@pytest.mark.parametrize(("page", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_page_is_refused_for(page: bytes, reason: Refusal) -> None:
    assert refusal(page) is reason


def many(count: int) -> str:
    return "".join(f'vllm:a{{x="{number}"}} 1\n' for number in range(count))


LIMIT_CASES = {
    "samples": (many(3), many(4), ScanLimits(samples=3), Refusal.TOO_MANY_SAMPLES),
    "lines": ("vllm:a 1\n#\n", "vllm:a 1\n#\n#\n", ScanLimits(lines=2), Refusal.TOO_MANY_LINES),
    "the first line": ("vllm:a 111\n", "vllm:a 1111\n", ScanLimits(line_length=10), Refusal.LINE_TOO_LONG),
    "a line that is not wanted": (
        "vllm:a 1\n#23456789\n",
        "vllm:a 1\n#234567890\n",
        ScanLimits(line_length=9),
        Refusal.LINE_TOO_LONG,
    ),
    "a last line without end": (
        "vllm:a 1\n#23456789",
        "vllm:a 1\n#234567890",
        ScanLimits(line_length=9),
        Refusal.LINE_TOO_LONG,
    ),
    "labels of a sample": (
        'vllm:a{x="",y=""} 1\n',
        'vllm:a{x="",y="",z=""} 1\n',
        ScanLimits(labels=2),
        Refusal.TOO_MANY_LABELS,
    ),
    "labels of a page": (many(3), many(4), ScanLimits(page_labels=3), Refusal.TOO_MANY_LABELS),
    "a label's name": (
        'vllm:a{abc=""} 1\n',
        'vllm:a{abcd=""} 1\n',
        ScanLimits(label_name_length=3),
        Refusal.LABEL_TOO_LONG,
    ),
    "a label's value": (
        'vllm:a{x="ü1"} 1\n',
        'vllm:a{x="ü12"} 1\n',
        ScanLimits(label_value_length=3),
        Refusal.LABEL_TOO_LONG,
    ),
}


@pytest.mark.parametrize(
    ("within", "beyond", "limits", "reason"), LIMIT_CASES.values(), ids=LIMIT_CASES.keys()
)
def test_a_limit_is_exact_for(within: str, beyond: str, limits: ScanLimits, reason: Refusal) -> None:
    assert read(within, limits)
    assert refusal(beyond, limits) is reason


def test_a_million_series_are_refused_by_the_default_limits() -> None:
    grid = "".join(f'vllm:a{{x="{number % 200}",y="{number // 200}"}} 1\n' for number in range(20_001))
    assert refusal(grid) is Refusal.TOO_MANY_SAMPLES
    assert refusal("z 1\n" * 1_000_000) is Refusal.TOO_MANY_LINES


def test_a_page_is_judged_alike_however_often_it_comes() -> None:
    lax, strict = ScanLimits(), ScanLimits(label_value_length=3)
    page = 'vllm:a{x="long"} 1\n'
    assert read(page, lax) == read(page, lax)
    assert refusal(page, strict) is refusal(page, strict) is Refusal.LABEL_TOO_LONG
    assert read(page, lax)
    over = ScanLimits(page_labels=3)
    assert refusal(many(4), over) is refusal(many(4), over) is Refusal.TOO_MANY_LABELS


def test_what_is_remembered_of_pages_is_bounded() -> None:
    wanted = Wanted(frozenset({"vllm:a"}))
    for start in range(0, 60_000, 15_000):
        page = "".join(f'vllm:a{{x="{number}"}} 1\n' for number in range(start, start + 15_000))
        assert len(scan(page.encode(), wanted, LIMITS)) == 15_000
    reader = wanted.label_reader(LIMITS)
    assert 0 < len(reader.blobs) <= 4096
    assert 0 < len(reader.pairs) <= 4096


def test_one_bad_wanted_line_refuses_the_good_ones_too() -> None:
    assert refusal('vllm:a 1\nvllm:a_total{x="1"} 5\nb_bucket{le=1} 2\n') is Refusal.MALFORMED


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (Refusal.EMPTY_PAGE, FailureReason.EMPTY_PAGE),
        (Refusal.NOT_EXPOSITION, FailureReason.NOT_EXPOSITION),
        (Refusal.BAD_VALUE, FailureReason.BAD_VALUE),
        (Refusal.DUPLICATE_SERIES, FailureReason.MALFORMED),
        (Refusal.LINE_TOO_LONG, FailureReason.LIMIT_EXCEEDED),
        (Refusal.TOO_MANY_SAMPLES, FailureReason.LIMIT_EXCEEDED),
    ],
)
def test_a_refusal_says_how_the_scrape_failed(refused: Refusal, reason: FailureReason) -> None:
    assert PageRefused(refused, "").failure_reason is reason


def test_a_refusal_never_quotes_the_page() -> None:
    for page in ('vllm:a{x="hunter2} 1\n', "vllm:a hunter2\n", "vllm:a{hunter2} 1\n", "vllm:a 1 hunter2\n"):
        with pytest.raises(PageRefused) as refused:
            read(page)
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("names", [frozenset(), frozenset({""}), frozenset({"a b"}), frozenset({"a|b"})])
def test_a_set_of_names_that_no_page_could_have_is_a_mistake_of_ours(names: frozenset[str]) -> None:
    with pytest.raises(ValueError, match="names"):
        Wanted(names)
