"""The selective scanner agrees with prometheus_client on valid pages and stays calm on all others."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import thread_time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tokenfactory.telemetry.exposition import PageRefused, Sample, Wanted, scan
from tokenfactory.telemetry.limits import MIB, ScanLimits

LIMITS = ScanLimits()
CAPTURES = Path(__file__).parent.parent / "golden" / "captures"
WANTED_NAMES = frozenset({"vllm:tokens_total", "vllm:tokens", "lat_bucket", "lat_sum", "DCGM_POWER"})
WANTED = Wanted(WANTED_NAMES)
NAMES = st.sampled_from([*sorted(WANTED_NAMES), "other", "vllm:tokens_created", "lat"])
LABEL_NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: not name.startswith("__")  # reserved: the oracle refuses them
)
LABEL_VALUES = st.one_of(
    st.text('\\"{},=# \tnaé東', max_size=6),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
)
NUMBERS = st.one_of(st.floats(width=64).map(repr), st.integers(-(10**18), 10**18).map(str), st.just("+Inf"))
BLANKS = st.sampled_from([" ", "  ", "\t", " \t "])


def comparable(name: str, labels: object, value: float) -> tuple[object, ...]:
    return name, labels, "NaN" if math.isnan(value) else float(value)


def ours(page: str, wanted: Wanted) -> list[tuple[object, ...]]:
    samples = scan(page.encode(), wanted, LIMITS)
    return [comparable(name, dict(labels), value) for name, labels, value in samples]


def theirs(page: str, names: frozenset[str]) -> list[tuple[object, ...]]:
    """The oracle's samples under the names of the page: it appends `_total` to counters that lack it."""
    found = []
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            name = sample.name
            if family.type == "counter" and not declares(page, f"{family.name}_total"):
                name = name.removesuffix("_total")
            if name in names:
                found.append(comparable(name, sample.labels, sample.value))
    return found


def declares(page: str, name: str) -> bool:
    return f"# TYPE {name} " in page


def escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def write_sample(
    name: str, labels: dict[str, str], braces: tuple[str, str], blank: str, number: str, stamp: str
) -> str:
    comma, end = braces
    text = comma.join(f'{label}="{escape(value)}"' for label, value in labels.items())
    return name + ("{" + text + end + "}" if text else "") + blank + number + stamp


SAMPLE_LINES = st.builds(
    write_sample,
    NAMES,
    st.dictionaries(LABEL_NAMES, LABEL_VALUES, max_size=3),
    st.sampled_from([(",", ""), (", ", ""), (",", ",")]),
    BLANKS,
    NUMBERS,
    st.sampled_from(["", " 1795331257567", " -3"]),
)
COMMENTS = st.sampled_from(
    [
        "# HELP vllm:tokens say {this} \\n \\\\",
        "# TYPE vllm:tokens_total counter",
        "# TYPE lat histogram",
        "#",
        "# ",
        "",
    ]
)


PAGES = st.builds(
    lambda lines, end: "up 1\n" + "".join(line + end for line in lines),
    st.lists(st.one_of(SAMPLE_LINES, COMMENTS), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PAGES)
@example("# TYPE DCGM_POWER counter\nDCGM_POWER 5\n")
@example('# TYPE vllm:tokens counter\nvllm:tokens{a="\\\\\\"}"} 5\nvllm:tokens_total 6\n')
def test_a_valid_page_gives_the_oracles_samples(page: str) -> None:
    expected = theirs(page, WANTED_NAMES)
    series = [(name, frozenset(labels.items())) for name, labels, _ in expected]  # type: ignore[attr-defined]
    if len(set(series)) < len(series):
        with pytest.raises(PageRefused, match="DuplicateSeries"):
            ours(page, WANTED)
    else:
        assert sorted(map(repr, ours(page, WANTED))) == sorted(map(repr, expected))


@given(st.binary(max_size=400))
@example(b'vllm:tokens{a="\\')
@example(b"vllm:tokens{" * 9)
def test_any_bytes_give_samples_or_a_refusal(page: bytes) -> None:
    try:
        samples = scan(page, WANTED, LIMITS)
    except PageRefused:
        return
    assert all(isinstance(sample, Sample) and sample.name in WANTED_NAMES for sample in samples)


@given(
    st.lists(
        st.sampled_from([b"vllm:tokens", b"{", b"}", b'"', b"\\", b",", b"=", b"a", b" ", b"1", b"\n", b"#"])
    )
)
def test_any_jumble_of_the_formats_signs_gives_samples_or_a_refusal(signs: list[bytes]) -> None:
    test_any_bytes_give_samples_or_a_refusal.hypothesis.inner_test(b"".join(signs))  # type: ignore[attr-defined]


CAPTURED = sorted(CAPTURES.glob("**/*.prom"))


@pytest.mark.parametrize("path", CAPTURED, ids=[str(path.relative_to(CAPTURES)) for path in CAPTURED])
def test_every_sample_of_a_captured_page_is_the_oracles(path: Path) -> None:
    page = path.read_text()
    lines = [line for line in page.splitlines() if line and not line.startswith("#")]
    names = frozenset(line.partition(" ")[0].partition("{")[0] for line in lines)
    found = ours(page, Wanted(names))
    assert len(found) == len(lines)
    assert sorted(map(repr, found)) == sorted(map(repr, theirs(page, names)))


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "an open brace and quotes": lambda size: b"vllm:tokens{" + b'a="' * (size // 3) + b"\n",
    "backslashes": lambda size: b'vllm:tokens{a="' + b"\\" * size + b"\n",
    "commas": lambda size: b"vllm:tokens{" + b"," * size + b"} 1\n",
    "commas and names": lambda size: b"vllm:tokens{" + b",a" * (size // 2) + b"} 1\n",
    "equals signs": lambda size: b"vllm:tokens{" + b"=" * size + b"} 1\n",
    "labels that never end well": lambda size: b"vllm:tokens{" + b'a="b\\"",' * (size // 8) + b"x} 1\n",
    "one long name": lambda size: b"vllm:tokens{" + b"a" * size + b"} 1\n",
    "blanks": lambda size: b"vllm:tokens " + b" " * size + b"x\n",
    "blanks in the labels": lambda size: b"vllm:tokens{" + b" " * size + b"} 1\n",
    "digits": lambda size: b"vllm:tokens " + b"9" * size + b"x\n",
    "timestamps": lambda size: b"vllm:tokens 1 " + b"1" * size + b"x\n",
    "hashes": lambda size: b"vllm:tokens 1 " + b" #" * (size // 2) + b"\n",
    "names with no end": lambda size: b"a" * size + b"\n",
    "empty lines": lambda size: b"\n" * size + b"x\n",
    "line starts of wanted names": lambda size: b"vllm:token\n" * (size // 11),
    "indents": lambda size: (b" " * 99 + b"\n") * (size // 100) + b"x\n",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_work_grows_with_the_page_and_no_faster(hostile: Callable[[int], bytes]) -> None:
    """16 times the bytes may cost 16 times as much (64 with noise); quadratic work would cost 256 times."""
    limits = ScanLimits(lines=2 * MIB, line_length=2 * MIB, labels=MIB, page_labels=MIB)
    small, large = (cpu_seconds(hostile(size), limits) for size in (MIB // 16, MIB))
    assert large < 64 * max(small, 1e-4)


def cpu_seconds(page: bytes, limits: ScanLimits) -> float:
    times = []
    for _ in range(3):
        start = thread_time()
        with suppress(PageRefused):
            scan(page, WANTED, limits)
        times.append(thread_time() - start)
    return min(times)
