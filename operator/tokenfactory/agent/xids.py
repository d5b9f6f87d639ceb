"""The XID codes that end or slow down serving, in words (NVIDIA, "XID errors", catalogue of 2026)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

XIDS: Mapping[int, str] = MappingProxyType(
    {
        0: "No Error",
        13: "Graphics engine exception",
        31: "GPU memory page fault",
        43: "GPU stopped processing",
        45: "Preemptive cleanup, due to previous errors",
        48: "Double bit ECC error",
        61: "Internal micro-controller breakpoint or warning",
        62: "Internal micro-controller halt",
        63: "ECC page retirement or row remapping recording event",
        64: "ECC page retirement or row remapper recording failure",
        74: "NVLink error",
        79: "GPU has fallen off the bus",
        92: "High single bit ECC error rate",
        94: "Contained ECC error",
        95: "Uncontained ECC error",
        119: "GSP RPC timeout",
        120: "GSP error",
        149: "NVLink netir error",
    }
)


def describe_xid(code: int) -> str:
    return XIDS.get(code, "Unknown Error")
