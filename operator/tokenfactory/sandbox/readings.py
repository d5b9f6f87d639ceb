"""Reads the operator's own /metrics as any Prometheus would, for comparison with the truth."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LINE = re.compile(r"^(?P<name>[a-z_]+)\{(?P<labels>.*)\} (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def read_series(page: str, name: str, **labels: str) -> Mapping[str, float]:
    """Values of one metric by pool name, among the series that carry `labels`."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        match = _LINE.match(line)
        if match is None or match["name"] != name:
            continue
        given = dict(_LABEL.findall(match["labels"]))
        if labels.items() <= given.items() and "pool" in given:
            found[given["pool"]] = float(match["value"])
    return found
