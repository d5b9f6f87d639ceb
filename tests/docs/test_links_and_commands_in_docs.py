"""Links lead somewhere, commands exist, examples are valid, figures are those of the code."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_group

from tests.support.documents import PAGES, ROOT, anchors, blocks, prose, read
from tokenfactory.api.crd import KINDS
from tokenfactory.cli.main import COMMANDS, build
from tokenfactory.costing.spans import ENERGY_SAMPLES
from tokenfactory.costing.tokencount import TOKEN_FLOOR
from tokenfactory.discovery.claims import MOST_CLAIMS
from tokenfactory.discovery.factory import read_factory
from tokenfactory.discovery.fleet import MOST_PODS
from tokenfactory.discovery.resource import read_pool
from tokenfactory.model import Pool
from tokenfactory.publishing import events, gate, metrics, status
from tokenfactory.runtime.claims import MOST_ASKED
from tokenfactory.runtime.election import LEASE_SECONDS, RENEW_DEADLINE, RETRY_SECONDS
from tokenfactory.telemetry.limits import KIB, MIB, FetchLimits, QueryLimits, ScanLimits
from tokenfactory.telemetry.queries import SLICES

LINK = re.compile(r"\]\(([^)\s]+)\)")
TARGET = re.compile(r"^([a-z-]+):.*## ", re.MULTILINE)
SHELL = ("sh", "console")
VERBS = frozenset(
    {
        "annotate",
        "apply",
        "create",
        "describe",
        "events",
        "get",
        "logs",
        "port-forward",
        "rollout",
        "wait",
    }
)
NODE_VERBS = frozenset({"cordon", "drain"})
NAMES = frozenset(
    name for kind in KINDS for name in (kind.plural, f"{kind.plural}.tokenfactory.dev", *kind.short_names)
)
OTHERS = frozenset(
    {"pod", "pods", "node", "nodes", "pods,nodes", "deployment", "events", "lease", "networkpolicies"}
)


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(prose(read(page))) if "://" not in link]


def lines(program: str) -> list[tuple[Path, list[str]]]:
    """Every command of the program in shell blocks and in code of the prose."""
    found: list[tuple[Path, list[str]]] = []
    for page in PAGES:
        text = read(page)
        shell = "\n".join(blocks(text, *SHELL)).replace("\\\n", " ")
        spoken = re.findall(rf"`({program} [^`]+)`", prose(text))
        for line in (*shell.splitlines(), *spoken):
            command = line.strip().removeprefix("$ ").rstrip("…")
            if command.startswith(f"{program} "):
                found.append((page, shlex.split(command, comments=True)))
    return found


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.is_file(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page}: {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [Path("README.md")]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in links(page):
            path = ((ROOT / page).parent / link.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.is_relative_to(ROOT):
                waiting.append(path.relative_to(ROOT))
    assert set(PAGES) - reached <= {Path("hack/README.md")}


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(TARGET.findall(read("Makefile")))
    named = {(page, words[1]) for page, words in lines("make")}
    assert named
    assert {word for _, word in named} <= targets


def test_the_first_command_of_the_readme_runs_the_main_job() -> None:
    assert blocks(read("README.md"), "sh")[0].startswith("make demo")


@pytest.mark.parametrize(("page", "words"), lines("kubectl"), ids=lambda value: str(value)[:60])
def test_every_kubectl_command_names_what_exists(page: Path, words: list[str]) -> None:
    if words[1] in ("tokenfactory", "delete", "explain"):
        return
    assert words[1] in VERBS | NODE_VERBS, page
    for flag, path in pairwise(words):
        if flag == "-k":
            assert (ROOT / path / "kustomization.yaml").is_file(), f"{page}: {path}"
        elif flag == "-f":
            assert (ROOT / path).exists(), f"{page}: {path}"
    if words[1] in ("get", "describe") and words[2:]:
        assert words[2] in NAMES | OTHERS, f"{page}: {words[2]}"
    for word in words:
        if word.startswith("crd/"):
            crds = {f"crd/{kind.plural}.tokenfactory.dev" for kind in KINDS}
            assert word in crds, f"{page}: {word}"


def typed() -> list[tuple[Path, list[str]]]:
    """Commands of ours with something behind their name: a bare name only speaks of the command."""
    found = [(page, words) for page, words in lines("tokenfactory") if page != Path("CHANGELOG.md")]
    return [(page, words) for page, words in found if len(words) > 2 and words[1] in COMMANDS]


@pytest.mark.parametrize(("page", "words"), typed(), ids=lambda value: str(value)[:60])
def test_every_command_of_ours_can_be_typed_as_it_is_written(page: Path, words: list[str]) -> None:
    end = next((place for place, word in enumerate(words) if word in (">", "|", "&&")), len(words))
    get_group(build([words[1]])).commands[words[1]].make_context(words[1], words[2:end])


def examples() -> list[tuple[Path, dict[str, Any]]]:
    return [
        (page, document)
        for page in PAGES
        for block in blocks(read(page), "yaml")
        for document in yaml.safe_load_all(block)
        if str(document.get("apiVersion", "")).startswith("tokenfactory.dev/")
    ]


@pytest.mark.parametrize(
    ("page", "body"), examples(), ids=lambda value: value["kind"] if isinstance(value, dict) else str(value)
)
def test_every_example_resource_is_valid(page: Path, body: dict[str, Any]) -> None:
    body = {**body, "metadata": {**body["metadata"], "uid": "1", "generation": 1}}
    if body["kind"] == "TokenFactory":
        assert read_factory(body).name == "default"
    else:
        assert isinstance(read_pool(body), Pool), page


FETCH, SCAN, QUERY = FetchLimits(), ScanLimits(), QueryLimits()
BOUNDS = {
    "body of a page": f"{FETCH.body_bytes // MIB} MiB, {FETCH.compressed_bytes // MIB} MiB compressed",
    "time for a page": f"{FETCH.deadline_seconds:g} s, {FETCH.connect_seconds:g} s of it to connect",
    "samples that are read of a page": f"{SCAN.samples:,}",
    "lines of a page": f"{SCAN.lines:,}",
    "length of a line": f"{SCAN.line_length // KIB} KiB",
    "labels of one sample": f"{SCAN.labels}",
    "labels of all samples of a page": f"{SCAN.page_labels:,}",
    "length of a label's value": f"{SCAN.label_value_length} bytes",
    "requests in flight": f"{FETCH.in_flight}, {FETCH.in_flight_per_namespace} per namespace",
    "answer of a Prometheus": (
        f"{QUERY.answer_bytes // MIB} MiB and {QUERY.series:,} series;"
        f" larger ones are asked for in up to {len(SLICES[-1])} slices"
    ),
    "time for an answer of a Prometheus": (f"half a scrape interval, at most {FETCH.deadline_seconds:g} s"),
    "pods of a pool": f"{MOST_PODS:,}",
    "ResourceClaims of a pod": f"{MOST_CLAIMS}",
    "ResourceClaims asked for in one cycle of a pool": f"{MOST_ASKED:,}",
    "pool series on `/metrics`": f"{metrics.LARGEST_SERIES_COUNT:,}",
    "status document": f"{status.LARGEST_DOCUMENT // KIB} KiB",
    "status writes": f"{gate.WRITES_PER_SECOND:g} a second, and one a minute per pool for moved numbers",
    "Events": f"{events.BURST} at once per pool, then one in {events.SECONDS_PER_EVENT} s",
}


def test_the_bounds_in_the_limitations_are_those_of_the_code() -> None:
    table = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", read("docs/limitations.md"), re.MULTILINE)
    assert dict(table) == {"what": "bound"} | BOUNDS
    assert gate.SECONDS_BETWEEN_NUMBERS == 60


@pytest.mark.parametrize(
    ("page", "figure"),
    [
        ("docs/quickstart.md", f"under {TOKEN_FLOOR:,.0f} tokens in the window"),
        ("docs/quickstart.md", f"More than {MOST_PODS:,} pods match"),
        (
            "docs/architecture.md",
            f"lease {LEASE_SECONDS} s, renew deadline {RENEW_DEADLINE:g} s, retry {RETRY_SECONDS:g} s",
        ),
        ("docs/limitations.md", f"at least {({10: 'ten'})[ENERGY_SAMPLES]} sampling intervals"),
        ("docs/reference/metrics.md", f"passed {metrics.LARGEST_SERIES_COUNT:,}"),
    ],
)
def test_a_figure_in_prose_is_that_of_the_code(page: str, figure: str) -> None:
    assert figure in read(page)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_page_has_work_left_over(page: Path) -> None:
    text = read(page)
    assert not re.search(r"\b(TODO|FIXME|XXX|TBD)\b", text)
    assert text.endswith("\n")
    assert "\t" not in prose(text)
