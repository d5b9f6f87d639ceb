"""One window's account, pod by pod: the inputs of every published number, to be checked by hand."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tokenfactory.model.fleet import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAccount:
    """One pod's part of the window. Money None: its GPUs have no price, or the split is not known.

    Tokens are counted once (docs/cost-model.md §3): a prefill pod has no input or output of its own, a decode
    pod no cached input. `made_tokens` are output tokens as they were made, where the engine counts them so.
    `gpus` and `present` are now; everything else is of the window.
    """

    pod_uid: str
    role: Role
    product: str
    gpus: float
    present: bool
    price: Decimal | None
    price_source: str
    serving: float
    idle: float
    loading: float
    cost: Decimal | None
    input_cost: Decimal | None
    output_cost: Decimal | None
    input_tokens: float
    cached_tokens: float
    output_tokens: float
    prefill_seconds: float
    decode_seconds: float
    inter_token_seconds: float
    made_tokens: float
    accepted_tokens: float
    loaded_tokens: float
    estimated: bool

    @property
    def gpu_seconds(self) -> float:
        return self.serving + self.idle + self.loading


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The window from `start` to `end` (Unix seconds). The energy window has numbers of its own (§8)."""

    start: float
    end: float
    currency: str
    pods: tuple[PodAccount, ...]
    energy_seconds: float
    energy_tokens: float
    energy_gpu_seconds: float
    energy_gpus: float
    provisioned_watts_per_gpu: float | None
    reference_per_gpu: float | None
    pue: float | None
    grams_per_kilowatt_hour: float | None
    tokens_per_month: int | None

    @property
    def seconds(self) -> float:
        return self.end - self.start
