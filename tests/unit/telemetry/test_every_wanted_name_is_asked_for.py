"""What a Prometheus is asked for is what the parsers read: the parsers themselves say so."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tokenfactory import telemetry
from tokenfactory.agent import page
from tokenfactory.model import Histogram, Level, Signal
from tokenfactory.telemetry.dcgm import HOLDER_INFO
from tokenfactory.telemetry.enginepage import EnginePage
from tokenfactory.telemetry.exposition import Wanted
from tokenfactory.telemetry.families import System
from tokenfactory.telemetry.wanted import ENGINE_NAMES, EXPORTER_NAMES

CAPTURES = Path(__file__).parents[2] / "golden" / "captures"
NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*", re.MULTILINE)


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(telemetry.__path__, f"{telemetry.__name__}."):
        yield importlib.import_module(found.name)


def held(kind: type[Any]) -> list[Any]:
    """Everything of this kind that a module of telemetry holds, also by a method of it."""
    values = [value for module in modules() for value in vars(module).values()]
    values += [getattr(value, "__self__", None) for value in values]
    return [value for value in values if isinstance(value, kind)]


def systems() -> list[System]:
    found = held(System) + [reader._system for reader in held(EnginePage)]
    return list({id(system): system for system in found}.values())


@pytest.mark.parametrize("system", systems(), ids=lambda system: system.name)
def test_every_sample_that_a_system_reads_is_asked_for(system: System) -> None:
    assert system.asked_names - ENGINE_NAMES == set()


def test_every_page_that_is_scanned_at_all_is_asked_for() -> None:
    scanned = [wanted.names for wanted in held(Wanted)] + [r._wanted.names for r in held(EnginePage)]
    assert len(scanned) > 5
    names = {name for found in scanned for name in found.values()}
    assert names - ENGINE_NAMES - EXPORTER_NAMES == set()


def test_every_signal_histogram_and_level_that_evidence_rests_on_has_a_name_that_is_asked_for() -> None:
    read = {key for system in systems() for key in (*system.families, *system.levels)}
    assert set(read) == {*Signal, *Histogram, *Level}
    for system in systems():
        for choices in system.families.values():
            assert all({*term.samples} <= ENGINE_NAMES for terms in choices for term in terms)


@pytest.mark.parametrize("system", [s for s in systems() if s.lazy], ids=lambda system: system.name)
def test_the_signs_of_finished_work_are_asked_for(system: System) -> None:
    """Of all names on all captured pages, with and without _total, those that prove work to the parser.

    One without work to prove may still have signs: of whose page it is while nothing was counted yet.
    """
    words = {name for path in CAPTURES.rglob("*.prom") for name in NAME.findall(path.read_text())}
    names = words | {name.removesuffix("_total") for name in words} | {f"{name}_total" for name in words}
    line = '\n{}{{dynamo_endpoint="generate",model="m"}} 5\n'
    signs = {name for name in names if system.worked(line.format(name).encode())}
    assert system.signs or not signs
    assert signs - ENGINE_NAMES == set()


def test_who_holds_a_gpu_by_the_agents_own_series_is_asked_for() -> None:
    assert HOLDER_INFO in EXPORTER_NAMES
    assert HOLDER_INFO in {family.name for family in vars(page).values() if isinstance(family, page.Family)}
