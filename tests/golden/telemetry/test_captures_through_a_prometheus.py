"""Captured pages, taken apart as a Prometheus stores them and put together again: the parsers can't tell.

What a Prometheus does not keep, metrics without a sample and texts of HELP, is the only difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tokenfactory.model import EngineReading, ExporterReading, Failure
from tokenfactory.telemetry import (
    dcgm,
    dynamo,
    dynamofrontend,
    kvbm,
    lmcacheserver,
    sglang,
    trtllm,
    vllm,
)
from tokenfactory.telemetry.layouts import Layouts
from tokenfactory.telemetry.rebuild import rebuild
from tokenfactory.telemetry.wanted import ENGINE_NAMES, EXPORTER_NAMES

CAPTURES = Path(__file__).parents[1] / "captures"
AT = 1000.0
ATTACHED = {
    "job": "monitoring/pods",
    "instance": "10.0.0.1:8000",
    "namespace": "attached",
    "pod": "attached-0",
    "container": "attached",
    "endpoint": "http",
}
PARSERS = {
    "sglang": sglang.parse,
    "trtllm": trtllm.parse,
    "kvbm": kvbm.parse,
    "lmcache/effective": vllm.parse,
    "lmcache/server": lmcacheserver.parse,
    "dynamo": dynamo.parse_vllm,
}
ENGINES = [
    *((path, vllm.parse) for path in sorted((CAPTURES / "vllm-0.32.0").glob("*/*.prom"))),
    *(
        (path, parse)
        for system, parse in PARSERS.items()
        for path in sorted((CAPTURES / "engines" / system).rglob("*.prom"))
    ),
    *(
        (path, dynamofrontend.parse)
        for path in sorted((CAPTURES / "engines" / "dynamo").glob("*/frontend/*.prom"))
    ),
]
EXPORTERS = sorted((CAPTURES / "engines" / "dcgm").glob("*/*.prom"))


def stored(page: str, names: frozenset[str]) -> Iterator[dict[str, Any]]:
    """The series that a Prometheus with honorLabels false keeps of a page; empty labels are none."""
    yield {"metric": {"__name__": "up", **ATTACHED}, "values": [[AT, "1"]]}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name in names:
                own = {
                    f"exported_{label}" if label in ATTACHED else label: value
                    for label, value in sample.labels.items()
                    if value
                }
                metric = {"__name__": sample.name, **own, **ATTACHED}
                yield {"metric": metric, "values": [[AT, repr(sample.value)]]}


def through(path: Path, names: frozenset[str]) -> bytes:
    (target,) = rebuild(list(stored(path.read_text(), names)), pod_label="pod")
    assert target.at == AT
    assert target.page is not None
    return target.page


def name_of(path: Path) -> str:
    return str(path.relative_to(CAPTURES).with_suffix(""))


@pytest.mark.parametrize(("path", "parse"), ENGINES, ids=[name_of(path) for path, _ in ENGINES])
def test_an_engines_page_reads_alike(path: Path, parse: Any) -> None:
    page = path.read_bytes()
    direct = parse(page, at=AT, layouts=Layouts())
    recorded = parse(through(path, ENGINE_NAMES), at=AT, layouts=Layouts())
    if isinstance(direct, Failure):
        assert isinstance(recorded, Failure)
        assert recorded.reason is direct.reason
        return
    assert isinstance(direct, EngineReading)
    assert isinstance(recorded, EngineReading)
    was = dict(zip(direct.layout, direct.counters, strict=True))
    now = dict(zip(recorded.layout, recorded.counters, strict=True))
    assert now == {key: was[key] for key in now}
    assert not any(was[key] for key in was.keys() - now.keys())
    assert recorded.levels == direct.levels
    assert recorded.families <= direct.families
    assert recorded.info.get("model") == direct.info.get("model")


@pytest.mark.parametrize("path", EXPORTERS, ids=name_of)
def test_an_exporters_page_reads_alike(path: Path) -> None:
    direct = dcgm.parse(path.read_bytes(), at=AT, node_name="n")
    recorded = dcgm.parse(through(path, EXPORTER_NAMES), at=AT, node_name="n")
    if isinstance(direct, Failure):
        assert isinstance(recorded, Failure)
        return
    assert isinstance(direct, ExporterReading)
    assert recorded == direct
