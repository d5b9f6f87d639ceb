"""The judge's view of what each role and each of its engines did (docs/cost-model.md §10)."""

from __future__ import annotations

from dataclasses import dataclass

from tokenfactory.measure import Measure
from tokenfactory.model.fleet import Role
from tokenfactory.model.readings import EngineId


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep:
    """What one engine did between its last two good scrapes, while it could serve.

    `tokens` are output tokens (prefill: prompt tokens), `sequence_seconds` the time that its sequences spent
    decoding (prefill: in prefill), so that sequence_seconds / seconds is its mean concurrency.
    """

    epoch: str
    product: str
    seconds: float
    gpu_seconds: float
    tokens: float
    sequence_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaLoad:
    """One engine over the window. None: its page does not carry that family.

    `tokens` are output tokens (prefill: prompt tokens). `still_seconds` is how long nothing had moved at its
    last good scrape; `running`, `waiting` and `kv_usage` are gauges of that scrape. `slowest_seconds` is the
    99th percentile of whole requests since it started, where tokens are counted at their end and enough did.
    """

    id: EngineId
    epoch: str
    product: str
    fresh: bool
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    tokens: float = 0.0
    sequence_seconds: float = 0.0
    prompt_tokens: float = 0.0
    requests: float | None = None
    preemptions: float | None = None
    running: float = 0.0
    waiting: float = 0.0
    kv_usage: float | None = None
    still_seconds: float = 0.0
    slowest_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleLoad:
    """One role over the window: output (prefill: input) tokens per second per ready GPU, mean decoding
    concurrency per replica, requests waiting, share of replicas that are fresh.

    `steps` is what this cycle's scrapes added. `counts_live`: tokens are counted at every step and not at the
    end of a request. `waiting_mean` is over the window; `kv_usage` the mean gauge of fresh engines.
    """

    role: Role
    tokens: float
    per_ready_gpu: Measure[float]
    concurrency: Measure[float]
    running: float
    waiting: float
    fresh_share: float
    ready_replicas: int
    gpu_seconds: float = 0.0
    waiting_mean: float = 0.0
    counts_live: bool = True
    preemptions: float | None = None
    prompt_tokens_per_request: float | None = None
    kv_usage: float | None = None
    replicas: tuple[ReplicaLoad, ...] = ()
    steps: tuple[LoadStep, ...] = ()
