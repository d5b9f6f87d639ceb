"""Compute capability by the name of the GPU, for manifests whose node nobody has seen yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

MAJORS: Mapping[str, int] = MappingProxyType(
    {
        "V100": 7,
        "T4": 7,
        "A100": 8,
        "A30": 8,
        "A10": 8,
        "A10G": 8,
        "A40": 8,
        "L4": 8,
        "L40": 8,
        "L40S": 8,
        "H20": 9,
        "H100": 9,
        "H200": 9,
        "H800": 9,
        "GH200": 9,
        "B100": 10,
        "B200": 10,
        "GB200": 10,
        "B300": 10,
        "GB300": 10,
        "GB10": 12,
        "RTX-PRO-6000": 12,
    }
)
"""NVIDIA's table of CUDA GPUs: the major number of the compute capability."""

_NAME = re.compile(
    "(?<![A-Z0-9])(" + "|".join(sorted(map(re.escape, MAJORS), key=len, reverse=True)) + ")(?![A-Z0-9])"
)


def capability_of(product: str | None) -> int | None:
    """The major number for a product as node labels spell it; None for one that is not listed.

    >>> capability_of("NVIDIA-GB300"), capability_of("NVIDIA-H100-80GB-HBM3"), capability_of("unheard-of")
    (10, 9, None)
    """
    spelled = "-".join((product or "").upper().replace("_", "-").split())
    found = _NAME.search(spelled)
    return MAJORS[found.group(1)] if found else None
