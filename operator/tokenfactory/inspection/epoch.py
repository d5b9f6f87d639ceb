"""The configuration epoch of an engine: a short hash of image, flags that matter and GPU product."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.connectors import read_connectors
from tokenfactory.inspection.flags import Broken, Flags, parse
from tokenfactory.model import Container

LENGTH = 12
SGLANG_FLAGS = (
    "tp-size",
    "dp-size",
    "ep-size",
    "enable-dp-attention",
    "mem-fraction-static",
    "max-running-requests",
    "chunked-prefill-size",
    "schedule-policy",
    "disable-radix-cache",
    "enable-radix-cache",
    "speculative-algorithm",
    "speculative-num-steps",
    "speculative-eagle-topk",
    "speculative-num-draft-tokens",
    "enable-hierarchical-cache",
    "hicache-ratio",
    "hicache-size",
    "moe-runner-backend",
    "fp4-gemm-backend",
)
TRTLLM_FLAGS = ("max-batch-size", "max-num-tokens", "kv-cache-free-gpu-memory-fraction")
PLAIN_FLAGS = (
    "tensor-parallel-size",
    "pipeline-parallel-size",
    "data-parallel-size",
    "decode-context-parallel-size",
    "enable-expert-parallel",
    "quantization",
    "dtype",
    "kv-cache-dtype",
    "kv-offloading-size",
    "kv-offloading-backend",
    "max-model-len",
    "max-num-seqs",
    "max-num-batched-tokens",
    "gpu-memory-utilization",
    "block-size",
    "enable-prefix-caching",
    "enable-chunked-prefill",
    "enforce-eager",
    "async-scheduling",
    "scheduling-policy",
    "moe-backend",
    "linear-backend",
    "attention-backend",
    "load-format",
    "cpu-offload-gb",
    "swap-space",
    *SGLANG_FLAGS,
    *TRTLLM_FLAGS,
)
OBJECT_FLAGS = ("speculative-config", "compilation-config", "kernel-config")


def epoch_of(
    container: Container, command: Command | str, product: str | None, *, told: tuple[str, ...] = ()
) -> str:
    """Twelve hexadecimal digits that change when the image, a flag of the list or the GPU product does.

    Only flags of the list enter it, from an opaque command line those whose words can be found in it. `told`
    is what files and variables say of an engine whose settings are not all flags.
    """
    facts: list[Any] = [container.image_id or container.image, product or "", *told]
    if isinstance(command, str):
        words = [part for word in container.command + container.args for part in word.split()]
        facts += ["opaque", *_plain(parse(words))]
    else:
        facts += [command.model, *_plain(command.flags), *_objects(command)]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:LENGTH]


def _plain(flags: Flags) -> Iterator[str]:
    for name in PLAIN_FLAGS:
        value = flags.text(name)
        if value is not None:
            yield f"{name}={value}"


def _objects(command: Command) -> Iterator[str]:
    """JSON flags by content, whatever the order of their keys; of KV transfer only names, roles and sizes."""
    for name in OBJECT_FLAGS:
        value: Mapping[str, Any] | Broken | None = command.flags.mapping(name)
        if isinstance(value, dict):
            yield f"{name}={json.dumps(value, sort_keys=True, default=str)}"
    connectors = read_connectors(command)
    for item in () if isinstance(connectors, Broken) else connectors:
        sizes = {
            key: item.extra[key] for key in sorted(item.extra) if key.startswith(("cpu_bytes", "num_cpu"))
        }
        yield f"{item.name}={item.role}{json.dumps(sizes, default=str)}"
