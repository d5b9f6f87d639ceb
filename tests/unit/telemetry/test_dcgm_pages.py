"""What a dcgm-exporter page means to us: labels by version, sharing, blanks, and what is refused."""

from __future__ import annotations

import pytest

from tokenfactory.model import ExporterReading, Failure, FailureReason, GpuReading
from tokenfactory.telemetry import dcgm

POWER = "DCGM_FI_DEV_POWER_USAGE"
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
POD = 'namespace="ns",pod="p-0",container="vllm"'


def line(name: str, value: object, labels: str = "", uuid: str = "GPU-1") -> str:
    return f'{name}{{gpu="0",UUID="{uuid}"{"," if labels else ""}{labels}}} {value}\n'


def parse(page: str) -> ExporterReading | Failure:
    return dcgm.parse(page.encode(), at=7.0, node_name="node-1")


def read(page: str) -> tuple[GpuReading, ...]:
    reading = parse(page)
    assert isinstance(reading, ExporterReading), reading
    assert (reading.at, reading.node_name) == (7.0, "node-1")
    return reading.gpus


HOLDERS = [
    ("a pod's GPU", POD, ("ns", "p-0", "vllm")),
    ("an idle GPU", "", ("", "", "")),
    ("an idle GPU with empty labels", 'namespace="",pod="",container=""', ("", "", "")),
    ("the old namespace mode", 'pod_namespace="ns",pod_name="p-0",container_name="c"', ("ns", "p-0", "c")),
    (
        "exported labels outrank the exporter's own",
        'namespace="mon",pod="exp",exported_namespace="ns",exported_pod="p-0",exported_container="c"',
        ("ns", "p-0", "c"),
    ),
    (
        "target labels without exported ones mean idle",
        f'{POD},job="dcgm",instance="1.2.3.4:9400"',
        ("", "", ""),
    ),
    ("a pod label called service is no target label", f'{POD},service="chat"', ("ns", "p-0", "vllm")),
    ("the exporter's own pod holds nothing", 'namespace="g",pod="nvidia-dcgm-exporter-x7"', ("", "", "")),
    ("the node's name is not an attribution", 'Hostname="h",hostname="h"', ("", "", "")),
    (
        "labels of a claim beside the pod's",
        f'{POD},dra_claim_name="c",dra_claim_namespace="x",dra_driver_name="gpu.nvidia.com",dra_pool_name="n"',
        ("ns", "p-0", "vllm"),
    ),
    ("labels of a claim without a pod", 'dra_claim_name="c",dra_claim_namespace="ns"', ("", "", "")),
    ("an empty pod_uid of 4.5 to 4.8.0", f'{POD},pod_uid=""', ("ns", "p-0", "vllm")),
]


@pytest.mark.parametrize(("labels", "holder"), [row[1:] for row in HOLDERS], ids=[row[0] for row in HOLDERS])
def test_whose_gpu_it_is(labels: str, holder: tuple[str, str, str]) -> None:
    (gpu,) = read(line(POWER, 300, labels))
    assert (gpu.namespace, gpu.pod, gpu.container) == holder
    assert gpu.watts == 300.0


FIELDS = [
    (POWER, 312.5, "watts", 312.5),
    (ENERGY, 5e12, "energy_millijoules", 5e12),
    (ENERGY + "_total", 5e14, "energy_millijoules", 5e14),
    ("DCGM_FI_DEV_GPU_UTIL", 98, "utilisation", 0.98),
    ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.7, "utilisation", 0.7),
    ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 0.25, "tensor_active", 0.25),
    ("DCGM_FI_DEV_FB_USED", 1000, "memory_used_mib", 1000.0),
    ("DCGM_FI_DEV_FB_FREE", 0, "memory_free_mib", 0.0),
    ("DCGM_FI_DEV_FB_RESERVED", 600, "memory_reserved_mib", 600.0),
    ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", 68, "clock_event_reasons", 68),
    ("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", 4, "clock_event_reasons", 4),
    ("DCGM_FI_DEV_XID_ERRORS", 31, "xid", 31),
]


@pytest.mark.parametrize(("name", "value", "attribute", "expected"), FIELDS, ids=[row[0] for row in FIELDS])
def test_a_family_gives_one_field_and_leaves_the_others_missing(
    name: str, value: float, attribute: str, expected: float
) -> None:
    (gpu,) = read(line(name, value))
    assert gpu == GpuReading(uuid="GPU-1", **{attribute: expected})


@pytest.mark.parametrize("blank", ["NaN", "9223372036854775792", "140737488355328", "2147483632"])
def test_a_blank_value_is_missing_and_the_gpu_is_still_there(blank: str) -> None:
    (gpu,) = read(line("DCGM_FI_DEV_FB_USED", blank) + line(POWER, 100))
    assert (gpu.memory_used_mib, gpu.watts) == (None, 100.0)
    (only,) = read(line("DCGM_FI_DEV_XID_ERRORS", blank))
    assert only == GpuReading(uuid="GPU-1")


@pytest.mark.parametrize("value", ["-1", "-Inf", "+Inf"])
@pytest.mark.parametrize("name", [POWER, ENERGY, "DCGM_FI_DEV_GPU_UTIL"])
def test_a_negative_or_infinite_value_refuses_the_page(name: str, value: str) -> None:
    failure = parse(line(POWER, 5, uuid="GPU-2") + line(name, value))
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.BAD_VALUE


@pytest.mark.parametrize(
    "page",
    ["up 1\n", "vllm:prompt_tokens_total 4\n", 'DCGM_FI_DEV_POWER_USAGE{gpu="0"} 4\n'],
    ids=["another exporter", "an engine's page", "no UUID"],
)
def test_a_page_without_a_gpu_is_a_failure(page: str) -> None:
    failure = parse(page)
    assert isinstance(failure, Failure)
    assert failure.reason is FailureReason.NO_GPU_METRICS


def test_what_the_scanner_refuses_is_a_failure_in_its_words() -> None:
    failure = parse("<html></html>")
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.at) == (FailureReason.NOT_EXPOSITION, 7.0)


def test_several_series_of_one_gpu_become_one_reading() -> None:
    errors = "".join(
        line("DCGM_FI_DEV_XID_ERRORS", code, f'{POD},err_code="{code}",err_msg="x"') for code in (0, 79, 31)
    )
    (gpu,) = read(line(POWER, 250, POD) + errors)
    assert (gpu.watts, gpu.xid) == (250.0, 79)


def test_two_containers_of_a_pod_are_one_holder() -> None:
    page = "".join(line(POWER, 250, f'namespace="ns",pod="p-0",container="{c}"') for c in ("a", "b"))
    assert [(gpu.pod, gpu.container) for gpu in read(page)] == [("p-0", "a")]


def test_virtual_gpus_of_one_pod_are_one_holder_and_reasons_are_united() -> None:
    page = "".join(
        line("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", bits, f'{POD},vgpu="{vgpu}"')
        for vgpu, bits in ((0, 4), (1, 32))
    )
    (gpu,) = read(page)
    assert gpu.clock_event_reasons == 36


def test_the_devices_own_series_outranks_what_each_pod_used_of_it() -> None:
    page = line("DCGM_FI_DEV_GPU_UTIL", 98)
    for number, share in enumerate((49, 29)):
        labels = f'namespace="ns",pod="p-{number}",vgpu="{number}"'
        page += line("DCGM_FI_DEV_GPU_UTIL", share, labels) + line(POWER, 500, labels)
    assert [(gpu.pod, gpu.utilisation, gpu.watts) for gpu in read(page)] == [
        ("p-0", 0.98, 500.0),
        ("p-1", 0.98, 500.0),
    ]


def test_an_instance_without_a_pod_stays_beside_instances_with_one() -> None:
    page = line(POWER, 400, 'GPU_I_ID="1",GPU_I_PROFILE="1g.10gb"') + line(
        POWER, 400, f'{POD},GPU_I_ID="2",GPU_I_PROFILE="2g.20gb"'
    )
    assert [(gpu.instance, gpu.profile, gpu.pod) for gpu in read(page)] == [
        ("1", "1g.10gb", ""),
        ("2", "2g.20gb", "p-0"),
    ]


def test_lower_case_uuid_counts_and_hostile_texts_are_cut_and_made_printable() -> None:
    page = f'{POWER}{{uuid="GPU-9",modelName="H\u202e{"x" * 400}"}} 1\n'
    (gpu,) = read(page)
    assert gpu.uuid == "GPU-9"
    assert gpu.product.startswith("H?x")
    assert len(gpu.product) == 253
