"""How the operator itself does, on its own `/metrics`. Label values come from closed lists only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from tokenfactory.model import FailureReason

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OUTCOMES = ("written", "skipped", "conflict", "failed")
VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "delete"})
RESOURCES = frozenset(
    {"events", "inferencepools", "leases", "nodes", "pods", "tokenfactories", "customresourcedefinitions"}
)
ALERT_OUTCOMES = ("taken", "refused", "failed", "dropped")
OTHER = "other"


class OperatorMetrics:
    """Counters, histograms and gauges of the process. A label value outside of its list becomes `other`."""

    def __init__(self, registry: CollectorRegistry, *, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        self._add_times()
        self._add_counters()
        self._add_gauges()
        build = Gauge("tokenfactory_build_info", "The version.", ["version"], registry=registry)
        build.labels(version).set(1)

    def _add_times(self) -> None:
        self._cycle = Histogram(
            "tokenfactory_cycle_duration_seconds",
            "One cycle of one pool.",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._stage = Histogram(
            "tokenfactory_stage_duration_seconds",
            "One stage: discover, inspect, scrape, cost or judge.",
            ["stage"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )

    def _add_counters(self) -> None:
        self._scrapes = Counter(
            "tokenfactory_scrapes",
            "Metrics pages read: ok, or why a page gave no reading (below).",
            ["outcome"],
            registry=self.registry,
        )
        self._writes = Counter(
            "tokenfactory_status_writes",
            "Statuses to be written, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self._requests = Counter(
            "tokenfactory_api_requests",
            "Requests to the API server but those of kopf's watches. code is an HTTP status, or error.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self._bugs = Counter(
            "tokenfactory_internal_errors",
            "Cycles that ended in an error of the operator's own. Should stay 0.",
            registry=self.registry,
        )
        self._alerts = Counter(
            "tokenfactory_alerts_posted",
            "Alerts posted to Alertmanagers: taken, refused for good, failed and tried again, or dropped.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in OUTCOMES:
            self._writes.labels(outcome)

    def _add_gauges(self) -> None:
        self._informers = Gauge(
            "tokenfactory_informer_age_seconds",
            "Since the API server last said anything about pods or nodes. Bookmarks keep it near a minute.",
            ["resource"],
            registry=self.registry,
        )
        self._sweep = Gauge(
            "tokenfactory_last_sweep_timestamp_seconds",
            "By then every pool had been cycled. 0 on a standby.",
            registry=self.registry,
        )
        self._leader = Gauge(
            "tokenfactory_leader", "1 on the replica that leads, else 0.", registry=self.registry
        )

    def observe_cycle(self, seconds: float) -> None:
        """Counts one cycle of one pool."""
        self._cycle.observe(seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures one stage of a cycle: the Stopwatch of cycle.py."""
        with self._stage.labels(name).time():
            yield

    def count_scrape(self, failure: FailureReason | None) -> None:
        """Counts one page: `ok`, or why it gave no reading."""
        self._scrapes.labels(failure.value if failure else "ok").inc()

    def count_status_write(self, outcome: str) -> None:
        """Counts a status that was written, skipped, in conflict or failed."""
        self._writes.labels(outcome if outcome in OUTCOMES else OTHER).inc()

    def count_request(self, verb: str, resource: str, code: str) -> None:
        """Counts one request to the API server; `code` is an HTTP status, or `error` when none came."""
        self._requests.labels(
            verb if verb in VERBS else OTHER,
            resource if resource in RESOURCES else OTHER,
            code if len(code) == 3 and code.isascii() and code.isdigit() else "error",
        ).inc()

    def count_alerts(self, outcome: str, number: int) -> None:
        """Counts alerts that an Alertmanager took or refused, that failed, or that found no room."""
        if number:
            self._alerts.labels(outcome if outcome in ALERT_OUTCOMES else OTHER).inc(number)

    def count_bug(self) -> None:
        """Counts a cycle that raised."""
        self._bugs.inc()

    def set_informer_age(self, resource: str, seconds: float) -> None:
        self._informers.labels(resource if resource in RESOURCES else OTHER).set(seconds)

    def set_last_sweep(self, at: float) -> None:
        """Unix time of the last complete sweep."""
        self._sweep.set(at)

    def set_leader(self, value: int) -> None:
        """1 while this replica leads, else 0."""
        self._leader.set(value)
