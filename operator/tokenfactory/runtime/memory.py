"""Gives memory that the C library holds but nobody uses back to the system.

At the start, and whenever many pages arrive at once, glibc's heap grows; what is freed in its middle stays
resident until it is asked to look (malloc_trim(3)). With 200 pools that is 15 MiB (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import ctypes
import sys

SECONDS = 15.0


async def give_back_now_and_then() -> None:
    """Trims the heap every 15 s until cancelled; where the C library is not glibc, only waits."""
    trim = find_trim()
    while True:
        await asyncio.sleep(SECONDS)
        if trim is not None:
            trim(0)


def find_trim() -> ctypes._NamedFuncPointer | None:
    """glibc's malloc_trim; None on other systems."""
    if sys.platform != "linux":
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    return trim
