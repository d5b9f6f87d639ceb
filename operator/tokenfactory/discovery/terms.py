"""What holds for a pool: its own words, then its factory's, then the built-in defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tokenfactory.model import (
    Factory,
    OptimizationName,
    Pool,
    Requirement,
    TelemetryMode,
    TelemetryTerms,
    Terms,
)

DEFAULT_FACTORY = "default"
DEFAULT_WINDOW_SECONDS = 300
DEFAULT_FRACTION = 0.5
SCRAPES_PER_WINDOW = 5
SHORTEST_INTERVAL_SECONDS = 5.0
ALL_PREFERRED = tuple(Requirement(name=name) for name in OptimizationName)


def resolve(pool: Pool, factories: Mapping[str, Factory], *, broken: Collection[str] = frozenset()) -> Terms:
    """The terms of `pool`; `factories` by name, `broken` the names of those whose spec can't be used.

    A factory that the pool names and that is not there, or that is broken (named or `default`), gives
    `factory=None`: no price, no fallback. An empty list of optimizations is the same as none given. An
    endpoint is read at least five times a window, but not more often than every 5 s; what Prometheus scraped
    is not there more often than Prometheus scrapes.
    """
    name = pool.factory_name or DEFAULT_FACTORY
    factory = factories.get(name)
    if factory is None and pool.factory_name is None and name not in broken:
        factory = Factory()
    said = factory or Factory()
    window = pool.window_seconds or said.default_window_seconds or DEFAULT_WINDOW_SECONDS
    collapse, default = pool.collapse, said.default_collapse
    return Terms(
        factory=factory,
        window_seconds=window,
        scrape_interval_seconds=_interval(said.telemetry, window),
        requirements=pool.optimizations or said.default_optimizations or ALL_PREFERRED,
        collapse_fraction=collapse.fraction_of_baseline or default.fraction_of_baseline or DEFAULT_FRACTION,
        collapse_for_seconds=float(
            collapse.for_seconds or default.for_seconds or window / SCRAPES_PER_WINDOW
        ),
        telemetry=said.telemetry,
    )


def _interval(telemetry: TelemetryTerms, window: int) -> float:
    said = float(telemetry.scrape_interval_seconds)
    if telemetry.mode is TelemetryMode.PROMETHEUS:
        return said
    return max(SHORTEST_INTERVAL_SECONDS, min(said, window / SCRAPES_PER_WINDOW))
