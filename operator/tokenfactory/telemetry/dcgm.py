"""A dcgm-exporter page (3.3 to 4.8.3) as one ExporterReading. Pure: bytes in, a value out.

Everything belongs to the GPU (or to its MIG instance), never to one of several pods that share it: copies
per pod repeat the device's values, so a reader takes each uuid once before summing watts or energy.
`tokenfactory agent` repeats nothing: what belongs to the board stands once, without an instance, and reaches
the board's instances here; who holds a device is told by a series of its own.
`Hostname` and `hostname` are not read: the page's node is known from the exporter's pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from tokenfactory.model import ExporterReading, Failure, FailureReason, GpuReading
from tokenfactory.telemetry.exposition import PageRefused, Refusal, Sample, Wanted, scan
from tokenfactory.telemetry.limits import ScanLimits
from tokenfactory.telemetry.shapes import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Where a family's value goes. Above `largest` a value is DCGM's mark for "blank" and counts as missing.

    `unit` is what one unit of the page is in ours.
    """

    name: str
    largest: float
    unit: float = 1.0


_BLANK_INT32 = 2.0**31 - 17
_BLANK_FLOAT = 2.0**47 - 1
_BLANK_INT64 = 9e18

# Percentages become shares, so that both ways of telling how busy a GPU is read alike (0 to 1).
FIELDS: MappingProxyType[str, Field] = MappingProxyType(
    {
        "DCGM_FI_DEV_POWER_USAGE": Field(name="watts", largest=_BLANK_FLOAT),
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": Field(name="energy_millijoules", largest=_BLANK_INT64),
        "DCGM_FI_DEV_GPU_UTIL": Field(name="utilisation", largest=_BLANK_INT32, unit=0.01),
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE": Field(name="engine_active", largest=_BLANK_FLOAT),
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": Field(name="tensor_active", largest=_BLANK_FLOAT),
        "DCGM_FI_DEV_FB_USED": Field(name="memory_used_mib", largest=_BLANK_INT32),
        "DCGM_FI_DEV_FB_FREE": Field(name="memory_free_mib", largest=_BLANK_INT32),
        "DCGM_FI_DEV_FB_RESERVED": Field(name="memory_reserved_mib", largest=_BLANK_INT32),
        "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": Field(name="clock_event_reasons", largest=_BLANK_INT32),
        "DCGM_FI_DEV_SM_CLOCK": Field(name="sm_megahertz", largest=_BLANK_INT32),
        "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": Field(name="clock_event_reasons", largest=_BLANK_INT32),
        "DCGM_FI_DEV_XID_ERRORS": Field(name="xid", largest=_BLANK_INT32),
    }
)
_BY_SAMPLE = MappingProxyType(
    {name + suffix: entry for name, entry in FIELDS.items() for suffix in ("", "_total")}
)
HOLDER_INFO = "tokenfactory_agent_gpu_pod_info"
BOARD_FIELDS = ("watts", "energy_millijoules", "clock_event_reasons", "xid", "sm_megahertz")
SAMPLE_NAMES = frozenset((*_BY_SAMPLE, HOLDER_INFO))
_WANTED = Wanted(SAMPLE_NAMES)
_DEFAULT_LIMITS = ScanLimits()
_TEXT_LENGTH = 253
_OWN_POD = "dcgm-exporter"

Values = dict[str, float]


class _Holder(NamedTuple):
    """Whose values these are: a GPU or MIG instance and the pod that holds it (empty: nobody).

    The first four tell holders apart; the others are the first that the page says of them.
    """

    uuid: str
    instance: str
    namespace: str
    pod: str
    container: str
    profile: str
    product: str


def parse(
    page: bytes, *, at: float, node_name: str, limits: ScanLimits = _DEFAULT_LIMITS
) -> ExporterReading | Failure:
    """Every GPU of the page, sorted, each (uuid, instance, pod) once; watts, mJ, MiB and shares of 1.

    What DCGM marks as blank, NaN or leaves out is None. A negative or infinite value refuses the page.
    """
    try:
        samples = scan(page, _WANTED, limits)
        holders = _gather(samples)
    except PageRefused as refused:
        return Failure(at=at, reason=refused.failure_reason, detail=refused.detail)
    if not holders:
        detail = "the page has no DCGM_FI_ metric with a GPU's UUID; is this dcgm-exporter's port?"
        return Failure(at=at, reason=FailureReason.NO_GPU_METRICS, detail=detail)
    gpus = [_to_reading(holder, values) for holder, values in sorted(_settle(holders).items())]
    return ExporterReading(at=at, node_name=node_name, gpus=tuple(gpus))


def _gather(samples: Iterable[Sample]) -> dict[_Holder, Values]:
    holders: dict[_Holder, Values] = {}
    known: dict[Labels, _Holder] = {}
    first: dict[tuple[str, ...], _Holder] = {}
    for name, labels, value in samples:
        holder = known.get(labels)
        if holder is None:
            read = _read_holder(dict(labels))
            holder = known[labels] = first.setdefault(read[:4], read)
        if not holder.uuid:
            continue
        values = holders.setdefault(holder, {})
        entry = _BY_SAMPLE.get(name)
        if entry is None:
            continue
        if value < 0 or value == float("inf"):
            raise PageRefused(Refusal.BAD_VALUE, f"a value of {name} is negative or infinite")
        if value <= entry.largest:
            _merge(values, {entry.name: value * entry.unit})
    return holders


def _merge(values: Values, more: Mapping[str, float]) -> None:
    """Copies of one device's value: the largest is the newest of a counter and the worst of a state."""
    for name, value in more.items():
        if name == "clock_event_reasons":
            values[name] = float(int(values.get(name, 0)) | int(value))
        else:
            values[name] = max(value, values.get(name, 0.0))


def _read_holder(labels: Mapping[str, str]) -> _Holder:
    namespace, pod, container = _read_pod(labels)
    return _Holder(
        uuid=_tidy(labels.get("UUID") or labels.get("uuid") or ""),
        instance=_tidy(labels.get("GPU_I_ID", "")),
        namespace=namespace,
        pod=pod,
        container=container,
        profile=_tidy(labels.get("GPU_I_PROFILE", "")),
        product=_tidy(labels.get("modelName", "")),
    )


def _read_pod(labels: Mapping[str, str]) -> tuple[str, str, str]:
    """The namespace, pod and container that hold the GPU; empty when it is idle.

    A page with a scraper's target labels (`job` and `instance`) names the exporter itself in `pod`: there
    only `exported_*` count.
    """
    if labels.get("exported_pod"):
        found = tuple(labels.get(f"exported_{part}", "") for part in ("namespace", "pod", "container"))
    elif "job" in labels and "instance" in labels:
        return "", "", ""
    elif labels.get("pod"):
        found = tuple(labels.get(part, "") for part in ("namespace", "pod", "container"))
    else:
        found = tuple(labels.get(part, "") for part in ("pod_namespace", "pod_name", "container_name"))
    namespace, pod, container = (_tidy(part) for part in found)
    return ("", "", "") if not pod or _OWN_POD in pod else (namespace, pod, container)


def _settle(holders: Mapping[_Holder, Values]) -> dict[_Holder, Values]:
    """Series without a pod beside series with one are the device's own: they outrank the pods' copies.

    What an instance does not say of its board, the board's own series say.
    """
    device: dict[tuple[str, str], Values] = {}
    held = {(holder.uuid, holder.instance) for holder in holders if holder.pod}
    for holder, values in holders.items():
        if not holder.pod:
            _merge(device.setdefault((holder.uuid, holder.instance), {}), values)
    settled: dict[_Holder, Values] = {}
    for holder, values in holders.items():
        place = holder.uuid, holder.instance
        if holder.pod or place not in held:
            board = device.get((holder.uuid, ""), {}) if holder.instance else {}
            inherited = {name: board[name] for name in BOARD_FIELDS if name in board}
            settled[holder] = inherited | values | device.get(place, {})
    return settled


def _to_reading(holder: _Holder, values: Values) -> GpuReading:
    reasons, xid = values.get("clock_event_reasons"), values.get("xid")
    return GpuReading(
        uuid=holder.uuid,
        instance=holder.instance,
        profile=holder.profile,
        product=holder.product,
        pod=holder.pod,
        namespace=holder.namespace,
        container=holder.container,
        watts=values.get("watts"),
        energy_millijoules=values.get("energy_millijoules"),
        utilisation=values.get("utilisation", values.get("engine_active")),
        tensor_active=values.get("tensor_active"),
        memory_used_mib=values.get("memory_used_mib"),
        memory_free_mib=values.get("memory_free_mib"),
        memory_reserved_mib=values.get("memory_reserved_mib"),
        clock_event_reasons=None if reasons is None else int(reasons),
        sm_megahertz=values.get("sm_megahertz"),
        xid=None if xid is None else int(xid),
    )


def _tidy(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_TEXT_LENGTH])
