"""Pages kept for a short while, so that several pools that need one exporter's page share one fetch."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tokenfactory.model import Endpoint, Failure
from tokenfactory.ports import Page
from tokenfactory.telemetry.limits import KIB, FetchLimits

PACKED_UP_TO = 128 * KIB
"""A page of 16 KiB becomes 1 KiB in 18 µs; packing one of megabytes would hold up everybody else."""


@dataclass(frozen=True, slots=True)
class _Packed:
    """A page with its body compressed."""

    body: bytes
    at: float


_Kept = Page | _Packed | Failure


@dataclass(slots=True)
class Shelf:
    """Results by endpoint, oldest first, bounded by `share_seconds` and `share_bytes` as they are kept."""

    limits: FetchLimits
    monotonic: Callable[[], float]
    _results: dict[Endpoint, tuple[float, _Kept]] = field(default_factory=dict)
    _bytes: int = 0

    def find(self, endpoint: Endpoint, max_age: float) -> Page | Failure | None:
        """What was put for this endpoint at most `max_age` seconds ago, if it is still kept."""
        self._tidy()
        since, kept = self._results.get(endpoint, (0.0, None))
        return _unpack(kept) if kept is not None and self.monotonic() - since <= max_age else None

    def put(self, endpoint: Endpoint, result: Page | Failure) -> None:
        """Keep this result in place of an older one."""
        self._drop(endpoint)
        kept = _pack(result)
        self._results[endpoint] = (self.monotonic(), kept)
        self._bytes += _weigh(kept)
        self._tidy()

    def _tidy(self) -> None:
        horizon = self.monotonic() - self.limits.share_seconds
        while self._results:
            oldest = next(iter(self._results))
            if self._results[oldest][0] >= horizon and self._bytes <= self.limits.share_bytes:
                return
            self._drop(oldest)

    def _drop(self, endpoint: Endpoint) -> None:
        _, kept = self._results.pop(endpoint, (0.0, None))
        self._bytes -= _weigh(kept)


def _pack(result: Page | Failure) -> _Kept:
    if isinstance(result, Page) and len(result.body) <= PACKED_UP_TO:
        return _Packed(zlib.compress(result.body, 1), result.at)
    return result


def _unpack(kept: _Kept) -> Page | Failure:
    return Page(zlib.decompress(kept.body), kept.at) if isinstance(kept, _Packed) else kept


def _weigh(kept: _Kept | None) -> int:
    return len(kept.body) if isinstance(kept, Page | _Packed) else 0
