"""Pages kept for a short while, so that several pools that need one exporter's page share one fetch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tokenfactory.model import Endpoint, Failure
from tokenfactory.ports import Page
from tokenfactory.telemetry.limits import FetchLimits


@dataclass(slots=True)
class Shelf:
    """Results by endpoint, oldest first, bounded by `share_seconds` and `share_bytes`."""

    limits: FetchLimits
    monotonic: Callable[[], float]
    _results: dict[Endpoint, tuple[float, Page | Failure]] = field(default_factory=dict)
    _bytes: int = 0

    def find(self, endpoint: Endpoint, max_age: float) -> Page | Failure | None:
        """What was put for this endpoint at most `max_age` seconds ago, if it is still kept."""
        self._tidy()
        since, result = self._results.get(endpoint, (0.0, None))
        return result if result is not None and self.monotonic() - since <= max_age else None

    def put(self, endpoint: Endpoint, result: Page | Failure) -> None:
        """Keep this result in place of an older one."""
        self._drop(endpoint)
        self._results[endpoint] = (self.monotonic(), result)
        self._bytes += _weigh(result)
        self._tidy()

    def _tidy(self) -> None:
        horizon = self.monotonic() - self.limits.share_seconds
        while self._results:
            oldest = next(iter(self._results))
            if self._results[oldest][0] >= horizon and self._bytes <= self.limits.share_bytes:
                return
            self._drop(oldest)

    def _drop(self, endpoint: Endpoint) -> None:
        _, result = self._results.pop(endpoint, (0.0, None))
        self._bytes -= _weigh(result)


def _weigh(result: Page | Failure | None) -> int:
    return len(result.body) if isinstance(result, Page) else 0
