"""An InferencePool as people wrote it becomes a Pool, or an InvalidPool that names the field and the fix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tokenfactory.api import inferencepool as api
from tokenfactory.api.parsing import parse_pool
from tokenfactory.discovery.border import LARGEST_GENERATION, mapping, text, whole
from tokenfactory.discovery.selectors import (
    optional_decimal,
    optional_float,
    read_collapse,
    read_requirements,
    read_selector,
)
from tokenfactory.errors import InvalidSpec
from tokenfactory.model import InvalidPool, Objectives, Pool, PoolKey

ACCEPT_BASELINE = "tokenfactory.dev/accept-baseline"

_EPOCH = re.compile(r"[0-9a-f]{4,64}", re.ASCII)


def read_pool(body: Mapping[str, Any]) -> Pool | InvalidPool:
    """The pool, or why it can't be served. Never raises on any body."""
    metadata = mapping(body, "metadata")
    key = PoolKey(text(metadata.get("namespace")), text(metadata.get("name")))
    uid = text(metadata.get("uid"))
    generation = whole(metadata.get("generation"), most=LARGEST_GENERATION) or 0
    try:
        spec = parse_pool(body if isinstance(body, Mapping) else {})
    except InvalidSpec as invalid:
        return InvalidPool(
            key=key, uid=uid, generation=generation, field=invalid.field, message=invalid.message
        )
    return Pool(
        key=key,
        uid=uid,
        generation=generation,
        selector=read_selector(spec.selector) if spec.selector else None,
        pool_ref=spec.pool_ref.name if spec.pool_ref else None,
        factory_name=spec.factory_name,
        optimizations=read_requirements(spec.optimizations),
        objectives=_objectives(spec.objectives),
        price_per_gpu_hour=optional_decimal(spec.price.per_gpu_hour) if spec.price else None,
        reference_name=spec.reference.name if spec.reference else None,
        metrics_port=spec.metrics.port if spec.metrics else None,
        metrics_path=spec.metrics.path if spec.metrics else None,
        window_seconds=spec.window_seconds,
        collapse=read_collapse(spec.collapse),
        tokens_per_month=spec.projection.tokens_per_month if spec.projection else None,
        suspend=spec.suspend,
        accept_baseline=_accepted(metadata),
    )


def _accepted(metadata: Mapping[str, Any]) -> str:
    """The epoch of the annotation: 4 to 64 hexadecimal digits; anything else counts as none."""
    value = text(mapping(metadata, "annotations").get(ACCEPT_BASELINE))
    return value if _EPOCH.fullmatch(value) else ""


def _objectives(written: api.Objectives | None) -> Objectives | None:
    if written is None:
        return None
    return Objectives(
        cost_basis=written.cost_basis,
        max_cost_per_million_tokens=optional_decimal(written.max_cost_per_million_tokens),
        min_tokens_per_second_per_gpu=optional_float(written.min_tokens_per_second_per_gpu),
        max_time_to_first_token_seconds=optional_float(written.max_time_to_first_token_seconds),
        max_inter_token_latency_seconds=optional_float(written.max_inter_token_latency_seconds),
    )
