"""Clouds' instance types: GPU product and GPUs of a node, for nodes whose labels don't say them.

Data of AS_OF, from the clouds' documentation (AWS, Google Cloud, Azure). Labels go before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

AS_OF = "2026-11-22"

A100_40, A100_80 = "NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB"
H100, H200, H100_NVL = "NVIDIA-H100-80GB-HBM3", "NVIDIA-H200", "NVIDIA-H100-NVL"
B200, B300 = "NVIDIA-B200", "NVIDIA-B300"
GB200, GB300 = "NVIDIA-GB200", "NVIDIA-GB300"
L40S = "NVIDIA-L40S"
RTX_PRO = "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"
MI300X = "AMD-Instinct-MI300X"


@dataclass(frozen=True, slots=True)
class InstanceType:
    """`gpus` of one product on a node; each is one of `parts` of a physical GPU."""

    product: str
    gpus: int
    parts: int = 1


INSTANCE_TYPES: Mapping[str, InstanceType] = MappingProxyType(
    {
        "p4d.24xlarge": InstanceType(A100_40, 8),
        "p4de.24xlarge": InstanceType(A100_80, 8),
        "p5.4xlarge": InstanceType(H100, 1),
        "p5.48xlarge": InstanceType(H100, 8),
        "p5e.48xlarge": InstanceType(H200, 8),
        "p5en.48xlarge": InstanceType(H200, 8),
        "p6-b200.48xlarge": InstanceType(B200, 8),
        "p6-b300.48xlarge": InstanceType(B300, 8),
        "p6e-gb200.36xlarge": InstanceType(GB200, 4),
        "g6e.xlarge": InstanceType(L40S, 1),
        "g6e.2xlarge": InstanceType(L40S, 1),
        "g6e.4xlarge": InstanceType(L40S, 1),
        "g6e.8xlarge": InstanceType(L40S, 1),
        "g6e.16xlarge": InstanceType(L40S, 1),
        "g6e.12xlarge": InstanceType(L40S, 4),
        "g6e.24xlarge": InstanceType(L40S, 4),
        "g6e.48xlarge": InstanceType(L40S, 8),
        "a2-highgpu-1g": InstanceType(A100_40, 1),
        "a2-highgpu-2g": InstanceType(A100_40, 2),
        "a2-highgpu-4g": InstanceType(A100_40, 4),
        "a2-highgpu-8g": InstanceType(A100_40, 8),
        "a2-ultragpu-1g": InstanceType(A100_80, 1),
        "a2-ultragpu-2g": InstanceType(A100_80, 2),
        "a2-ultragpu-4g": InstanceType(A100_80, 4),
        "a2-ultragpu-8g": InstanceType(A100_80, 8),
        "a3-highgpu-1g": InstanceType(H100, 1),
        "a3-highgpu-2g": InstanceType(H100, 2),
        "a3-highgpu-4g": InstanceType(H100, 4),
        "a3-highgpu-8g": InstanceType(H100, 8),
        "a3-megagpu-8g": InstanceType(H100, 8),
        "a3-ultragpu-8g": InstanceType(H200, 8),
        "a4-highgpu-8g": InstanceType(B200, 8),
        "a4x-highgpu-4g": InstanceType(GB200, 4),
        "a4x-maxgpu-4g-metal": InstanceType(GB300, 4),
        "g4-standard-6": InstanceType(RTX_PRO, 1, parts=8),
        "g4-standard-12": InstanceType(RTX_PRO, 1, parts=4),
        "g4-standard-24": InstanceType(RTX_PRO, 1, parts=2),
        "standard_nd96asr_v4": InstanceType(A100_40, 8),
        "standard_nd96amsr_a100_v4": InstanceType(A100_80, 8),
        "standard_nd96isr_h100_v5": InstanceType(H100, 8),
        "standard_nd96isr_h200_v5": InstanceType(H200, 8),
        "standard_nd128isr_ndr_gb200_v6": InstanceType(GB200, 4),
        "standard_nd128isr_gb300_v6": InstanceType(GB300, 4),
        "standard_nd96isr_mi300x_v5": InstanceType(MI300X, 8),
        "standard_nc40ads_h100_v5": InstanceType(H100_NVL, 1),
        "standard_nc80adis_h100_v5": InstanceType(H100_NVL, 2),
    }
)


def find_instance_type(name: str | None) -> InstanceType | None:
    """What is known of an instance type, however it is capitalised.

    >>> find_instance_type("Standard_ND128isr_NDR_GB200_v6")
    InstanceType(product='NVIDIA-GB200', gpus=4, parts=1)
    """
    return INSTANCE_TYPES.get(name.lower()) if name else None
