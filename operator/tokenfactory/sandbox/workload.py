"""What a replayed engine really does: true rates, by which its counters advance on the sandbox's clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

ACCEPTED = "vllm:spec_decode_num_accepted_tokens_total"
WANDER_SECONDS, WANDER_PERIOD = 0.05, 97.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """True rates of one engine. Tokens, requests and drafts per second; latencies in seconds.

    `concurrency` is the mean number of decoding sequences. All zero is an engine without traffic.
    """

    model: str = "llama-3.3-70b"
    uncached_input: float = 0.0
    cached_input: float = 0.0
    output: float = 0.0
    requests: float = 0.0
    concurrency: float = 0.0
    drafts: float = 0.0
    draft_tokens: float = 0.0
    accepted_tokens: float = 0.0
    time_to_first_token: float = 0.2
    inter_token_latency: float = 0.02
    queue: float = 0.01
    waiting: float = 0.0

    @property
    def total(self) -> float:
        """Tokens per second on the Total basis."""
        return self.uncached_input + self.cached_input + self.output

    def rates(self) -> Mapping[str, float]:
        """True rate of every counter of a vLLM page that the sandbox drives, by sample name."""
        prompt = self.uncached_input + self.cached_input
        steps = self.output - self.requests if not self.drafts else self.drafts
        return {
            "vllm:prompt_tokens_total": prompt,
            "vllm:prompt_tokens_cached_total": self.cached_input,
            "vllm:prefix_cache_queries_total": prompt,
            "vllm:prefix_cache_hits_total": self.cached_input,
            "vllm:generation_tokens_total": self.output,
            "vllm:spec_decode_num_drafts_total": self.drafts,
            "vllm:spec_decode_num_draft_tokens_total": self.draft_tokens,
            ACCEPTED: self.accepted_tokens,
            "vllm:inter_token_latency_seconds_sum": self.concurrency,
            "vllm:inter_token_latency_seconds_count": max(0.0, steps),
            "vllm:time_to_first_token_seconds_sum": self.requests * self.time_to_first_token,
            "vllm:time_to_first_token_seconds_count": self.requests,
            "vllm:request_queue_time_seconds_sum": self.requests * self.queue,
            "vllm:request_queue_time_seconds_count": self.requests,
            "vllm:e2e_request_latency_seconds_count": self.requests,
            "vllm:request_prefill_time_seconds_sum": self.requests * self.time_to_first_token,
            "vllm:request_prefill_time_seconds_count": self.requests,
            "vllm:request_decode_time_seconds_sum": self.concurrency,
            "vllm:request_decode_time_seconds_count": self.requests,
        }

    def share_under(self, family: str, bound: float) -> float:
        """Share of a latency histogram's observations at or under `bound` seconds (exponential law)."""
        means = {
            "vllm:time_to_first_token_seconds": self.time_to_first_token,
            "vllm:inter_token_latency_seconds": self.inter_token_latency,
            "vllm:request_queue_time_seconds": self.queue,
        }
        mean = means.get(family, 0.0)
        return 1.0 - math.exp(-bound / mean) if mean and math.isfinite(bound) else 1.0


@dataclass(frozen=True, slots=True)
class Phase:
    """From `since` (Unix seconds) the engine works at these rates, on top of the counts before."""

    since: float
    workload: Workload


class Odometer:
    """Counters of one engine process: they start at zero and only rise, through changes of its workload."""

    def __init__(self, workload: Workload, *, started_at: float) -> None:
        self._base: dict[str, float] = {}
        self._phase = Phase(started_at, workload)

    @property
    def workload(self) -> Workload:
        return self._phase.workload

    def change(self, workload: Workload, *, now: float) -> None:
        """From `now` on other rates hold."""
        self._base = self.counts(now)
        self._phase = Phase(now, workload)

    def counts(self, now: float) -> dict[str, float]:
        """Every driven counter at `now`, by sample name."""
        elapsed = max(0.0, now - self._phase.since)
        return {
            name: self._base.get(name, 0.0)
            + rate * (elapsed + (_wander(elapsed) if name == ACCEPTED else 0.0))
            for name, rate in self._phase.workload.rates().items()
        }


def _wander(elapsed: float) -> float:
    """Seconds by which a counter is ahead or behind: as real acceptance, it is never quite the same twice."""
    return WANDER_SECONDS * math.sin(math.tau * elapsed / WANDER_PERIOD)
