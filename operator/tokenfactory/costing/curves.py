"""Built-in reference curves, dated: total tokens/s/GPU over tokens/s/user (docs/cost-model.md §9)."""

from __future__ import annotations

from tokenfactory.model import Reference, ReferencePoint

_SOURCE = "SemiAnalysis InferenceX, interpolated from measured points"


def _curve(name: str, *, facts: tuple[str, str, str, str, str, str], points: str) -> Reference:
    """One curve; `facts` are product, model, precision, lengths, speculation and date."""
    product, model, precision, lengths, speculation, as_of = facts
    into, out = lengths.split("/")
    pairs = (pair.split(":") for pair in points.split())
    return Reference(
        name=name,
        gpu_product=product,
        model=model,
        precision=precision,
        input_length=int(into),
        output_length=int(out),
        speculation=speculation,
        as_of=as_of,
        source=_SOURCE,
        points=tuple(
            ReferencePoint(tokens_per_second_per_user=float(user), tokens_per_second_per_gpu=float(gpu))
            for user, gpu in pairs
        ),
    )


_R1, _OSS = "DeepSeek-R1", "gpt-oss-120b"
_R1_8K = (_R1, "FP8", "8192/1024", "none", "2026")
_R1_1K = (_R1, "FP8", "1024/1024", "none", "2026")
_R1_FP4 = (_R1, "FP4", "8192/1024", "best recipe, may use MTP", "2026")
_OSS_1K = (_OSS, "FP4", "1024/1024", "none", "2026")
_OSS_1K8K = (_OSS, "FP4", "1024/8192", "none", "2025-10")

CURVES = (
    _curve(
        "inferencex-deepseek-r1-fp8-8k1k-b200",
        facts=("NVIDIA-B200", *_R1_8K),
        points="23:5857 32:5515 42:5220 75:2558 120:1110 164:751",
    ),
    _curve(
        "inferencex-deepseek-r1-fp8-8k1k-gb200-nvl72",
        facts=("NVIDIA-GB200", *_R1_8K),
        points="75:5790 120:3988 164:818",
    ),
    _curve(
        "inferencex-deepseek-r1-fp8-8k1k-mi300x", facts=("MI300X", *_R1_8K), points="23:725 32:601 42:406"
    ),
    _curve(
        "inferencex-deepseek-r1-fp8-8k1k-mi325x", facts=("MI325X", *_R1_8K), points="25:854 35:678 44:457"
    ),
    _curve(
        "inferencex-deepseek-r1-fp8-1k1k-b200",
        facts=("NVIDIA-B200", *_R1_1K),
        points="42:4792 71:1020 100:498",
    ),
    _curve(
        "inferencex-deepseek-r1-fp8-1k1k-h100", facts=("NVIDIA-H100", *_R1_1K), points="42:266 71:73 100:23"
    ),
    _curve(
        "inferencex-deepseek-r1-fp4-8k1k-b200",
        facts=("NVIDIA-B200", *_R1_FP4),
        points="73:9789 136:2197 198:1412",
    ),
    _curve(
        "inferencex-deepseek-r1-fp4-8k1k-gb200-nvl72",
        facts=("NVIDIA-GB200", *_R1_FP4),
        points="75:12503 120:9356 164:3995",
    ),
    _curve(
        "inferencex-gpt-oss-120b-fp4-1k1k-b200",
        facts=("NVIDIA-B200", *_OSS_1K),
        points="72:25320 86:22213 100:20939",
    ),
    _curve(
        "inferencex-gpt-oss-120b-fp4-1k1k-mi325x",
        facts=("MI325X", *_OSS_1K),
        points="72:1999 86:1208 100:835",
    ),
    _curve("inferencex-gpt-oss-120b-fp4-1k8k-h100", facts=("NVIDIA-H100", *_OSS_1K8K), points="90:1557"),
    _curve("inferencex-gpt-oss-120b-fp4-1k8k-b200", facts=("NVIDIA-B200", *_OSS_1K8K), points="90:6076"),
    _curve("inferencex-gpt-oss-120b-fp4-1k8k-mi300x", facts=("MI300X", *_OSS_1K8K), points="90:1343"),
    _curve("inferencex-gpt-oss-120b-fp4-1k8k-mi355x", facts=("MI355X", *_OSS_1K8K), points="90:6758"),
)
