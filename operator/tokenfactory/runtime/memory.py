"""Gives memory that the C library holds but nobody uses back to the system.

At the start, and whenever many pages arrive at once, glibc's heap grows; what is freed in its middle stays
resident until it is asked to look (malloc_trim(3)): 15 MiB of 126 with 200 pools (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import ctypes
import sys

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 16.0
_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> bool:
    """Has all threads share two heaps of glibc's; whether there is such a thing. Before the first thread.

    Each thread's own heap keeps the most that it ever held: those that read answers of a Prometheus kept
    40 MiB of 190, with 1,000 pods.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, _ARENAS))


async def give_back_now_and_then() -> None:
    """Trims the heap, often at the start and then every 16 s, until cancelled. Only waits without glibc."""
    trim, pause = find_trim(), FIRST_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = min(LONGEST_SECONDS, pause * 1.5)
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
