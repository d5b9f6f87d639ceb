"""Fleets of one engine, and shorthand for what inspection says of them."""

from __future__ import annotations

from typing import Any

from tokenfactory.inspection.fleet import inspect
from tokenfactory.model import (
    Container,
    Declaration,
    Engine,
    EngineKind,
    Fleet,
    Inspected,
    OptimizationName,
    Pod,
    Replica,
)

ROWS = {
    "fp4": OptimizationName.FP4,
    "spec": OptimizationName.SPECULATIVE_DECODING,
    "offload": OptimizationName.KV_CACHE_OFFLOADING,
    "mtp": OptimizationName.MULTI_TOKEN_PREDICTION,
    "pd": OptimizationName.DISAGGREGATED_SERVING,
}


def container(*args: str, **changes: Any) -> Container:
    values = {"name": "vllm", "image": "vllm/vllm-openai:v0.33.0", "args": args}
    return Container(**(values | changes))


def engine(*args: str, **changes: Any) -> Engine:
    known = {key: changes.pop(key) for key in ("kind", "role", "problem") if key in changes}
    return Engine(container=container(*args, **changes), **({"kind": EngineKind.VLLM} | known))


def fleet_of(*engines: Engine, product: str | None = "NVIDIA-B200") -> Fleet:
    return Fleet(
        replicas=tuple(
            Replica(
                pod=Pod(namespace="n", name=f"p{index}", uid=f"u{index}"),
                node=None,
                gpus=8.0,
                product=product,
                engines=(item,),
            )
            for index, item in enumerate(engines)
        )
    )


def inspected(*args: str, **changes: Any) -> Inspected:
    return inspect(fleet_of(engine(*args, **changes)))[0]


def row(name: str, *args: str, **changes: Any) -> Declaration:
    return next(item for item in inspected(*args, **changes).declarations if item.optimization is ROWS[name])
