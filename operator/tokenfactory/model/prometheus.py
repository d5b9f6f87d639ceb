"""What pools and TokenFactories say of a Prometheus that gives nothing: the field, and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from tokenfactory.model.readings import FailureReason

PROMETHEUS_REACHABLE = "PrometheusReachable"
"""The condition of a TokenFactory that names a Prometheus."""


class PrometheusReason(StrEnum):
    """True: Answers. Unknown: NotAsked. False: the others, which are those of failed scrapes."""

    ANSWERS = "Answers"
    NOT_ASKED = "NotAsked"
    UNREACHABLE = FailureReason.PROMETHEUS_UNREACHABLE.value
    TIMED_OUT = FailureReason.PROMETHEUS_TIMED_OUT.value
    UNTRUSTED = FailureReason.PROMETHEUS_UNTRUSTED.value
    DENIED = FailureReason.PROMETHEUS_DENIED.value
    CREDENTIAL_MISSING = FailureReason.CREDENTIAL_MISSING.value
    FAILED = FailureReason.PROMETHEUS_FAILED.value
    TOO_LARGE = FailureReason.PROMETHEUS_TOO_LARGE.value


PROMETHEUS_ADVICE: Mapping[FailureReason, str] = MappingProxyType(
    {
        FailureReason.PROMETHEUS_UNREACHABLE: "spec.telemetry.prometheus.url of the TokenFactory does not "
        "answer: check host and port, and the NetworkPolicies between the operator and Prometheus",
        FailureReason.PROMETHEUS_TIMED_OUT: "spec.telemetry.prometheus.url of the TokenFactory is too slow: "
        "a query has half of spec.telemetry.scrapeIntervalSeconds, at most 5 s; look at Prometheus' load",
        FailureReason.PROMETHEUS_UNTRUSTED: "the certificate of spec.telemetry.prometheus.url of the "
        "TokenFactory is not trusted: mount its ca.crt in the Secret behind "
        "spec.telemetry.prometheus.credentialsName, and compare the URL's host with the certificate's names",
        FailureReason.PROMETHEUS_DENIED: "spec.telemetry.prometheus.url of the TokenFactory denies access: "
        "check the token in the Secret behind spec.telemetry.prometheus.credentialsName, and "
        "spec.telemetry.prometheus.tenant",
        FailureReason.CREDENTIAL_MISSING: "nothing that can be used is mounted for "
        "spec.telemetry.prometheus.credentialsName of the TokenFactory: create the Secret with token, ca.crt "
        "or both, or correct the name",
        FailureReason.PROMETHEUS_FAILED: "spec.telemetry.prometheus.url of the TokenFactory answers with an "
        "error, or is no Prometheus: check the URL's path (without /api/v1), and Prometheus' own log",
        FailureReason.PROMETHEUS_TOO_LARGE: "Prometheus holds more series than are read at once: "
        "set spec.telemetry.mode of the TokenFactory to Direct",
    }
)
"""Every reason for which a whole Prometheus gives nothing; other failures are about one page of it."""
