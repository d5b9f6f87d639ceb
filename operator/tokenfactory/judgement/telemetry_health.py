"""TelemetryHealthy: are all replicas and GPUs that should be seen fresh, and if not, what is the fix?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from tokenfactory.judgement.evidence import Evidence
from tokenfactory.model import (
    PROMETHEUS_ADVICE,
    Condition,
    EngineId,
    EngineKind,
    FailureReason,
    FleetReason,
    TelemetryMode,
    Truth,
)
from tokenfactory.model.reasons import ConditionType, TelemetryReason

NAMES_SHOWN = 3

_FIXES: tuple[tuple[FleetReason, TelemetryReason, str], ...] = (
    (
        FleetReason.NO_PODS,
        TelemetryReason.NO_PODS,
        "no pod matches the selector: compare spec.selector with the labels of the serving pods",
    ),
    (
        FleetReason.TARGETS_TRUNCATED,
        TelemetryReason.TARGETS_TRUNCATED,
        "there are more targets than are scraped: split the pool",
    ),
    (
        FleetReason.CLAIMS_NOT_READ,
        TelemetryReason.CLAIMS_NOT_READ,
        "ResourceClaims can't be read: grant the operator get on resourceclaims",
    ),
    (
        FleetReason.HOST_NETWORK_REFUSED,
        TelemetryReason.HOST_NETWORK_REFUSED,
        "serving pods on the host network are not scraped: "
        "set telemetry.allowHostNetwork in the TokenFactory, or leave the host network",
    ),
    (
        FleetReason.METRICS_DISABLED,
        TelemetryReason.METRICS_DISABLED,
        "the engine's metrics are off: turn them on",
    ),
    (
        FleetReason.ENGINE_NOT_SUPPORTED,
        TelemetryReason.ENGINE_NOT_SUPPORTED,
        "the engine is not supported yet",
    ),
)

_DCGM_FIX = "run dcgm-exporter on every GPU node, or set telemetry.dcgm in the TokenFactory to where it runs"

_DCGM_FIX_RECORDED = (
    "have Prometheus scrape dcgm-exporter on every GPU node, with honorLabels false in its monitor: "
    "true hides the GPUs that pods hold"
)

_ADVICE: Mapping[FailureReason, str] = MappingProxyType(
    {
        FailureReason.ADDRESS_REFUSED: "the address is not one that a pod may have, it was not asked",
        FailureReason.CONNECTION_REFUSED: "nothing listens there: compare spec.metrics.port with the pod",
        FailureReason.UNREACHABLE: "no answer, or not in HTTP: compare spec.metrics.port with the pod",
        FailureReason.TIMED_OUT: "the page did not come in time: look at the engine's load",
        FailureReason.HTTP_STATUS: "the server answers with an error: check spec.metrics.path",
        FailureReason.REDIRECTED: "redirects are not followed: set spec.metrics.path to the page itself",
        FailureReason.TOO_LARGE: "the page is larger than any engine's: check spec.metrics.port",
        FailureReason.BAD_ENCODING: "the page is not compressed properly: serve it as plain text",
        FailureReason.EMPTY_PAGE: "the page is empty: check spec.metrics.path",
        FailureReason.NOT_EXPOSITION: "that is no metrics page: check spec.metrics.port and path",
        FailureReason.LIMIT_EXCEEDED: "more series, or longer labels or headers, than any engine's page has",
        FailureReason.MALFORMED: "the page breaks the text format or is cut off: look at what serves it",
        FailureReason.BAD_VALUE: "a counter on the page is negative or no number: look at what serves it",
        FailureReason.NO_ENGINE_METRICS: "the page has no counters of a serving engine: turn its metrics on",
        FailureReason.OTHER_SYSTEM: "the page is another server's: set spec.metrics.port to the engine's own",
        FailureReason.NO_GPU_METRICS: "the page shows no GPU: check telemetry.dcgm of the TokenFactory",
        FailureReason.NOT_IN_PROMETHEUS: "Prometheus has no page of it: have it scraped (a PodMonitor), "
        "and compare telemetry.prometheus.labels and scrapeIntervalSeconds of the TokenFactory",
        FailureReason.DOWN_IN_PROMETHEUS: "Prometheus asks it and gets no page: look at its targets",
        FailureReason.SELDOM_IN_PROMETHEUS: "Prometheus scrapes less often than "
        "spec.telemetry.scrapeIntervalSeconds of the TokenFactory says: set that to its interval",
    }
)


_LOOPBACK = "--host"
_SAID_BY_THE_PAGE = frozenset({FailureReason.NO_ENGINE_METRICS, FailureReason.OTHER_SYSTEM})
_NO_PAGE: Mapping[EngineKind, str] = MappingProxyType(
    {
        EngineKind.SGLANG: "SGLang has no page without --enable-metrics: add it",
        EngineKind.TENSORRT_LLM: "TensorRT-LLM has no page without return_perf_metrics: true"
        " in the file of --config: set it",
    }
)


def judge_telemetry(evidence: Evidence) -> Condition:
    """The first check that finds something decides; True when none does."""
    for check in _CHECKS:
        condition = check(evidence)
        if condition is not None:
            return condition
    return _say(Truth.TRUE, TelemetryReason.ALL_FRESH, "all replicas and GPUs are fresh")


def _check_fleet(evidence: Evidence) -> Condition | None:
    """What discovery and the engines' own problems say, the gravest first."""
    problems = {item.reason: item.message for item in evidence.fleet.problems}
    if not evidence.fleet.replicas:
        problems.setdefault(FleetReason.NO_PODS, "")
    for found, reason, fix in _FIXES:
        affected = sorted(_engine_problems(evidence, found))
        if affected:
            names = list_names(sorted({name for name, _ in affected}))
            return _say(Truth.FALSE, reason, f"{problems.get(found) or affected[0][1] or fix}; {names}")
        if found in problems:
            return _say(Truth.FALSE, reason, problems[found] or fix)
    return None


def _engine_problems(evidence: Evidence, reason: FleetReason) -> Iterator[tuple[str, str]]:
    """(pod name, why not) of the engines that have this problem."""
    for replica in evidence.fleet.replicas:
        for engine in replica.engines:
            if engine.problem is reason:
                yield replica.pod.name, engine.why_not


def _check_readiness(evidence: Evidence) -> Condition | None:
    if evidence.economics.coverage.expected > 0:
        return None
    return _say(Truth.FALSE, TelemetryReason.NO_PODS, "no pod of the pool is ready to be scraped yet")


def _check_prometheus(evidence: Evidence) -> Condition | None:
    """A Prometheus that gives nothing at all; while the last pages are fresh it is no news."""
    economics = evidence.economics
    if economics.coverage.complete:
        return None
    told = sorted({reason for _, reason in economics.failures if reason in PROMETHEUS_ADVICE})
    if not told:
        return None
    return _say(Truth.FALSE, TelemetryReason.PROMETHEUS_UNAVAILABLE, PROMETHEUS_ADVICE[told[0]])


def _check_scrapes(evidence: Evidence) -> Condition | None:
    """Replicas that are no longer fresh; one lost scrape of a fresh replica is no news."""
    coverage = evidence.economics.coverage
    if coverage.complete:
        return None
    message = f"{coverage.scraped} of {coverage.expected} replicas scraped"
    return _say(Truth.FALSE, TelemetryReason.SCRAPE_FAILED, _name_failures(message, evidence))


def _name_failures(message: str, evidence: Evidence) -> str:
    """Who failed and why, and what to do about the first of them."""
    failures = sorted(set(evidence.economics.failures))
    if not failures:
        return message
    named = list_names([f"{name}: {reason.value}" for name, reason in failures])
    name, reason = failures[0]
    advice = _advise(evidence, name, reason) or _ADVICE.get(reason) or PROMETHEUS_ADVICE.get(reason)
    return f"{message}; {named}; {advice}" if advice else f"{message}; {named}"


def _advise(evidence: Evidence, name: str, reason: FailureReason) -> str:
    """What to do, as far as the failing pod's engine makes it plain; empty for the general advice."""
    if reason is FailureReason.NO_GPU_METRICS and _is_recorded(evidence):
        return _DCGM_FIX_RECORDED
    uids = {replica.pod.uid for replica in evidence.fleet.replicas if replica.pod.name == name}
    seen = {item.id: item for item in evidence.economics.evidence if item.failure is reason}
    for item in evidence.inspected:
        found = seen.get(EngineId(item.pod_uid, item.container, item.instance))
        if item.pod_uid not in uids or found is None:
            continue
        if reason is FailureReason.CONNECTION_REFUSED and _LOOPBACK in item.metrics.fix:
            return f"the server listens on its own loopback address alone: {item.metrics.fix}"
        if reason is FailureReason.HTTP_STATUS and item.kind in _NO_PAGE:
            return _NO_PAGE[item.kind]
        if reason in _SAID_BY_THE_PAGE:
            return found.failure_detail
    return ""


def _check_gpus(evidence: Evidence) -> Condition | None:
    """GPUs that DCGM doesn't show: no exporter, one that fails, or one that doesn't list them."""
    coverage = evidence.economics.gpu_coverage
    told = [item.message for item in evidence.fleet.problems if item.reason is FleetReason.DCGM_MISSING]
    if coverage.complete and not told:
        return None
    seen = f"{coverage.scraped} of {coverage.expected} GPUs are seen by DCGM"
    if evidence.economics.failures and not told:
        return _say(Truth.FALSE, TelemetryReason.SCRAPE_FAILED, _name_failures(seen, evidence))
    general = _DCGM_FIX_RECORDED if _is_recorded(evidence) else _DCGM_FIX
    fix = told[0] if told and told[0] else general
    return _say(Truth.FALSE, TelemetryReason.DCGM_MISSING, f"{seen}: {fix}")


def _is_recorded(evidence: Evidence) -> bool:
    """Whether pages come from a Prometheus."""
    return evidence.terms.telemetry.mode is TelemetryMode.PROMETHEUS


_CHECKS: tuple[Callable[[Evidence], Condition | None], ...] = (
    _check_fleet,
    _check_readiness,
    _check_prometheus,
    _check_scrapes,
    _check_gpus,
)


def list_names(names: list[str]) -> str:
    """The first three of `names` (sorted by the caller) and how many more there are."""
    shown = ", ".join(names[:NAMES_SHOWN])
    rest = len(names) - NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def _say(status: Truth, reason: TelemetryReason, message: str) -> Condition:
    return Condition(type=ConditionType.TELEMETRY_HEALTHY, status=status, reason=reason, message=message)
