"""What was read: one typed reading or failure per metrics page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from tokenfactory.model.fleet import EMPTY, Companion, Engine, Pod
from tokenfactory.model.layouts import Layout
from tokenfactory.model.signals import Histogram, Level, Signal

TOKENS_COUNTED = "tokens_counted"
AT_THE_END = "at the end of a request"
"""The fact of a reading whose tokens jump when a request finishes: a short window sees them late."""

INSIDE = "inside"
"""The fact of a NIM's reading that says which engine writes its page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReading:
    """One scraped page of one engine, in our own names.

    `layout` names `counters`, one by one; it is shared between readings of the same shape.
    `families` are the signals whose family the page carries, even without a sample (declared, still zero).
    `info` holds short, allow-listed facts (`model`, `cache_dtype`, `kv_offloading_size` …).
    """

    at: float
    layout: Layout
    counters: tuple[float, ...]
    levels: Mapping[Level, float]
    families: frozenset[Signal | Histogram]
    info: Mapping[str, str] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """One GPU (or one MIG instance of it) on an exporter's page. None: not exported for this GPU.

    `watts` and `energy_millijoules` are the whole board's, also on a MIG instance; `utilisation` and
    `tensor_active` are shares (0 to 1). Pods that share a GPU carry the same values: take each uuid once.
    """

    uuid: str
    instance: str = ""
    profile: str = ""
    product: str = ""
    pod: str = ""
    namespace: str = ""
    container: str = ""
    watts: float | None = None
    energy_millijoules: float | None = None
    utilisation: float | None = None
    tensor_active: float | None = None
    memory_used_mib: float | None = None
    memory_free_mib: float | None = None
    memory_reserved_mib: float | None = None
    clock_event_reasons: int | None = None
    sm_megahertz: float | None = None
    xid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterReading:
    """One dcgm page: every GPU of one node, deduplicated by (uuid, instance, pod)."""

    at: float
    node_name: str
    gpus: tuple[GpuReading, ...]


class FailureReason(StrEnum):
    """Why a page gave no reading."""

    ADDRESS_REFUSED = "AddressRefused"
    UNREACHABLE = "Unreachable"
    CONNECTION_REFUSED = "ConnectionRefused"
    TIMED_OUT = "TimedOut"
    HTTP_STATUS = "HttpStatus"
    REDIRECTED = "Redirected"
    TOO_LARGE = "TooLarge"
    BAD_ENCODING = "BadEncoding"
    EMPTY_PAGE = "EmptyPage"
    NOT_EXPOSITION = "NotExposition"
    LIMIT_EXCEEDED = "LimitExceeded"
    MALFORMED = "Malformed"
    BAD_VALUE = "BadValue"
    NO_ENGINE_METRICS = "NoEngineMetrics"
    OTHER_SYSTEM = "OtherSystem"
    NO_GPU_METRICS = "NoGPUMetrics"
    PROMETHEUS_UNREACHABLE = "PrometheusUnreachable"
    PROMETHEUS_TIMED_OUT = "PrometheusTimedOut"
    PROMETHEUS_UNTRUSTED = "PrometheusUntrusted"
    PROMETHEUS_DENIED = "PrometheusDenied"
    CREDENTIAL_MISSING = "CredentialMissing"
    PROMETHEUS_FAILED = "PrometheusFailed"
    PROMETHEUS_TOO_LARGE = "PrometheusTooLarge"
    NOT_IN_PROMETHEUS = "NotInPrometheus"
    DOWN_IN_PROMETHEUS = "DownInPrometheus"
    SELDOM_IN_PROMETHEUS = "SeldomInPrometheus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A scrape that gave nothing; `detail` is ours, never bytes of the page."""

    at: float
    reason: FailureReason
    detail: str = ""


@dataclass(frozen=True, slots=True, order=True)
class EngineId:
    pod_uid: str
    container: str
    instance: str = ""


def id_of(pod: Pod, engine: Engine) -> EngineId:
    """The engine of this pod, as readings and declarations know it."""
    return EngineId(pod.uid, engine.container.name, engine.instance)


def id_of_companion(companion: Companion) -> EngineId:
    """The companion, told apart from any engine of its container."""
    return EngineId(companion.pod.uid, companion.container.name, companion.kind.value)


_NONE: Mapping[EngineId, EngineReading | Failure] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Everything that one cycle scraped. Keys: engines and companions by id, exporters by node name."""

    at: float
    engines: Mapping[EngineId, EngineReading | Failure]
    exporters: Mapping[str, ExporterReading | Failure]
    companions: Mapping[EngineId, EngineReading | Failure] = field(default_factory=lambda: _NONE)
