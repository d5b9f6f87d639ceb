"""How much cheaper a selective scan is than a full parse, measured in one run on captured vLLM pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from timeit import repeat

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tokenfactory.telemetry.exposition import Wanted, scan
from tokenfactory.telemetry.limits import ScanLimits

CAPTURES = Path(__file__).parent.parent / "golden" / "captures" / "vllm-0.32.0"
COUNTERS = (
    "prompt_tokens prompt_tokens_cached generation_tokens num_preemptions request_success "
    "spec_decode_num_drafts spec_decode_num_draft_tokens spec_decode_num_accepted_tokens "
    "external_prefix_cache_hits kv_offload_store_bytes kv_offload_load_bytes"
)
LATENCIES = "time_to_first_token_seconds inter_token_latency_seconds request_queue_time_seconds"
WANTED = Wanted(
    frozenset(f"vllm:{name}_total" for name in COUNTERS.split())
    | frozenset(f"vllm:{name}_{part}" for name in LATENCIES.split() for part in ("bucket", "sum", "count"))
    | {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"}
    | {"vllm:cache_config_info"}
)


def milliseconds(work: Callable[[], object], *, rounds: int) -> float:
    return min(repeat(work, number=rounds, repeat=5)) / rounds * 1000


@pytest.mark.bench
@pytest.mark.parametrize("ranks", [1, 3])
def test_a_scan_costs_at_most_a_twentieth_of_a_full_parse(ranks: int) -> None:
    page = (CAPTURES / "c-offload-outoftree-effective" / "metrics-after.prom").read_bytes()
    page = b"".join(page.replace(b'engine="0"', b'engine="%d"' % rank) for rank in range(ranks))
    if ranks > 1:
        page = b"".join(dict.fromkeys(page.splitlines(keepends=True)))
    text, limits = page.decode(), ScanLimits()
    full = milliseconds(lambda: list(text_string_to_metric_families(text)), rounds=2)
    selective = milliseconds(lambda: scan(page, WANTED, limits), rounds=20)
    kept = len(scan(page, WANTED, limits))
    figures = f"parse {full:.2f} ms, scan {selective:.3f} ms, {full / selective:.0f}x"
    print(f"{len(page)} bytes, {kept} kept: {figures}")
    assert full / selective >= 20
