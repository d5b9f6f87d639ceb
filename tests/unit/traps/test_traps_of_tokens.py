"""T01-T04, T09, T11-T15: mistakes of other tools in counting tokens. Each name says what holds here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.costing.synthetic import FAMILIES, T0, Sim, SimPod, served
from tokenfactory.api.poolstatus import Cost
from tokenfactory.costing.counters import Snapshot, count_since, take_snapshot
from tokenfactory.measure import Known, Measure
from tokenfactory.model import SLOT, CostBasis, Economics, EngineReading, Role, Signal, Tokens
from tokenfactory.publishing.families import GAUGES
from tokenfactory.publishing.samples import BASES
from tokenfactory.telemetry import sglang, trtllm, vllm
from tokenfactory.telemetry.layouts import Layouts

END = T0 + 450
WINDOW = 300.0


def value(measure: Measure[Any]) -> Any:
    assert isinstance(measure, Known), measure
    return measure.value


def tokens_of(economics: Economics) -> Tokens:
    return value(economics.throughput.tokens)


def page(*lines: str) -> bytes:
    labels = '{engine="0",model_name="m"}'
    return "".join(f"vllm:{line.replace(' ', labels + ' ', 1)}\n" for line in lines).encode()


def read(body: bytes) -> EngineReading:
    reading = vllm.parse(body, at=1.0, layouts=Layouts())
    assert isinstance(reading, EngineReading), reading
    return reading


def total(reading: EngineReading, signal: Signal) -> float:
    pairs = zip(reading.layout, reading.counters, strict=True)
    return sum(count for key, count in pairs if key.signal is signal and key.bound is None)


BASE = ("prompt_tokens_total 1000", "generation_tokens_total 200")


def split_pool() -> tuple[SimPod, SimPod]:
    """Both count every prompt; decode shows the transfer as external hits and all of it as cached."""
    prefill = SimPod(name="p", role=Role.PREFILL, gpus=2.0, prompt=600.0, cached=200.0, output=1.0)
    hits = ((Signal.EXTERNAL_HIT_TOKENS, 600.0),)
    decode = SimPod(name="d", role=Role.DECODE, gpus=6.0, prompt=600.0, cached=600.0, output=150.0, more=hits)
    return prefill, decode


def test_T01_a_disaggregated_pool_counts_every_prompt_once_and_no_throw_away_token() -> None:
    found = tokens_of(Sim(split_pool()).run(T0, END))
    assert found.total == pytest.approx((600 + 150) * WINDOW)
    assert found.output == pytest.approx(150 * WINDOW)


def test_T01_cached_input_comes_from_prefill_where_decode_shows_all_of_it_as_cached() -> None:
    economics = Sim(split_pool()).run(T0, END)
    assert value(economics.throughput.cached_input_share) == pytest.approx(200 / 600)


def test_T01_a_restore_from_an_outer_cache_is_delivered_input_on_an_aggregated_pod() -> None:
    pod = SimPod(name="a", prompt=600.0, cached=550.0, more=((Signal.EXTERNAL_HIT_TOKENS, 500.0),))
    found = tokens_of(Sim((pod,)).run(T0, END))
    assert found.uncached_input + found.cached_input == pytest.approx(600 * WINDOW)


def test_T02_decode_time_is_the_sum_of_seconds_and_never_the_mean_per_request() -> None:
    """1 s of prefill and 1,000 tokens at 20 ms: the input share is 1 / 21, not 98 %."""
    reading = read(
        page(
            *BASE,
            "request_prefill_time_seconds_sum 1",
            "request_decode_time_seconds_sum 20",
            "request_time_per_output_token_seconds_sum 0.02",
            "time_per_output_token_seconds_sum 19.98",
        )
    )
    assert total(reading, Signal.DECODE_SECONDS) == 20
    pod = SimPod(name="a", prompt=100.0, cached=0.0, output=1000.0, decoding=2.0, decode_seconds=20.0)
    cost = Sim((pod,)).run(T0, END).cost
    into = value(cost.per_million_input) * 100
    whole = value(cost.per_million[CostBasis.TOTAL]) * 1100
    assert into / whole == pytest.approx(Decimal(1) / 21, rel=Decimal("1e-9"))


@pytest.mark.parametrize("name", ["prefix_cache_hits_total", "prompt_tokens_cached_total"])
def test_T03_cache_hits_that_are_tokens_are_never_multiplied_by_the_block_size(name: str) -> None:
    info = b'vllm:cache_config_info{block_size="16",engine="0"} 1\n'
    assert total(read(page(*BASE, f"{name} 160") + info), Signal.CACHED_PROMPT_TOKENS) == 160


def test_T03_hits_of_the_old_name_without_a_unit_are_left_out_rather_than_guessed() -> None:
    reading = read(page(*BASE, "gpu_prefix_cache_hits_total 10"))
    assert Signal.CACHED_PROMPT_TOKENS not in reading.families


def test_T04_a_reset_of_one_replica_is_not_hidden_behind_the_others() -> None:
    restarted = SimPod(name="a", restarts=((T0 + 200, T0 + 260),))
    pods = restarted, SimPod(name="b", prompt=60_000.0)
    found = tokens_of(Sim(pods).run(T0, END))
    lost = 750.0 * 5
    truth = sum((pod.prompt + pod.output) * served(pod, END - WINDOW, END) for pod in pods)
    assert truth - lost - 1 <= found.total <= truth + 1


def test_T04_a_rank_that_fell_counts_from_zero_whatever_the_others_gained() -> None:
    def two(first: float, second: float) -> Snapshot:
        text = "".join(
            f'vllm:{family}_total{{engine="{rank}",model_name="m"}} {count}\n'
            for rank, count in (("0", first), ("1", second))
            for family in ("prompt_tokens", "generation_tokens")
        )
        return take_snapshot(read(text.encode()))

    found = count_since(two(1000, 1000), two(40, 9000))
    assert found.reset
    assert found.signals[SLOT[Signal.OUTPUT_TOKENS]] == 40 + 8000


def test_T04_a_pod_that_vanished_keeps_the_tokens_seen_until_its_last_scrape() -> None:
    gone = SimPod(name="gone", gone_at=T0 + 300)
    sim = Sim((gone, SimPod(name="b", prompt=0.0, cached=0.0, output=1.0)))
    found = tokens_of(sim.run(T0, END))
    assert found.total == pytest.approx(750 * 135 + 1 * WINDOW, rel=0.01)


def test_T09_tokens_of_a_pod_count_under_whatever_model_name_or_adapter_they_stand() -> None:
    names = ("deepseek-ai/DeepSeek-R1", "DeepSeek-R1", "a:b", "lora-adapter-7")
    body = "".join(
        f'vllm:{family}{{engine="0",model_name="{name}"}} {count}\n'
        for name in names
        for family, count in (("prompt_tokens_total", 10), ("generation_tokens_total", 5))
    )
    reading = read(body.encode())
    assert total(reading, Signal.PROMPT_TOKENS) == 40
    assert total(reading, Signal.OUTPUT_TOKENS) == 20


def test_T11_every_data_parallel_rank_counts_and_the_gpus_of_the_pod_once() -> None:
    body = "".join(
        f'vllm:{family}_total{{engine="{rank}",model_name="m"}} 100\n'
        for rank in range(8)
        for family in ("prompt_tokens", "generation_tokens")
    )
    assert total(read(body.encode()), Signal.OUTPUT_TOKENS) == 800
    assert value(Sim((SimPod(name="a", gpus=8.0),)).run(T0, END).gpus.held) == 8.0


def families_of(systems: Iterable[object]) -> set[str]:
    return {
        term.family
        for system in systems
        for choices in system.families.values()  # type: ignore[attr-defined]
        for terms in choices
        for term in terms
    }


def test_T12_no_throughput_gauge_is_read_by_any_engine() -> None:
    names = families_of((vllm.VLLM, sglang.SGLANG, trtllm.TRTLLM))
    assert names
    assert not [name for name in names if "throughput" in name]


def test_T13_drafts_are_no_output_and_recomputed_prompts_are_not_delivered_again() -> None:
    reading = read(
        page(
            *BASE,
            "spec_decode_num_draft_tokens_total 900",
            "spec_decode_num_accepted_tokens_total 100",
            "num_preemptions_total 7",
            "prompt_tokens_recomputed_total 400",
        )
    )
    assert total(reading, Signal.OUTPUT_TOKENS) == 200
    assert total(reading, Signal.PROMPT_TOKENS) == 1000
    pod = SimPod(name="a", more=((Signal.ACCEPTED_TOKENS, 90.0), (Signal.DRAFT_TOKENS, 400.0)))
    assert tokens_of(Sim((pod,)).run(T0, END)).output == pytest.approx(150 * WINDOW)


def test_T14_every_cost_of_a_million_tokens_names_its_token_basis() -> None:
    economics = Sim((SimPod(name="a", prompt=8000.0, cached=0.0, output=1000.0),)).run(T0, END)
    per_million = economics.cost.per_million
    output, whole = value(per_million[CostBasis.OUTPUT]), value(per_million[CostBasis.TOTAL])
    assert output / whole == pytest.approx(Decimal(9), rel=Decimal("1e-9"))
    for basis, measure in per_million.items():
        assert isinstance(measure, Known)
        assert basis.value in measure.basis
    assert GAUGES["cost_per_million_tokens"][1] == ("basis", "currency")
    assert set(BASES) == set(CostBasis)
    named = [name for name in Cost.model_fields if "per_million" in name]
    assert len(named) == 5


def test_T15_the_pools_cost_is_over_all_gpus_and_each_phase_over_its_roles_own() -> None:
    cost = Sim(split_pool()).run(T0, END).cost
    million = Decimal(10**6) / 3600
    assert value(cost.per_million[CostBasis.TOTAL]) == pytest.approx(
        8 * 2 * million / 750, rel=Decimal("1e-9")
    )
    assert value(cost.per_million_input) == pytest.approx(2 * 2 * million / 600, rel=Decimal("1e-9"))
    assert value(cost.per_million_output) == pytest.approx(6 * 2 * million / 150, rel=Decimal("1e-9"))


def test_T13_an_engine_without_cached_input_has_no_uncached_cost_instead_of_a_wrong_one() -> None:
    pod = SimPod(name="a", families=FAMILIES - {Signal.CACHED_PROMPT_TOKENS})
    cost = Sim((replace(pod, cached=0.0),)).run(T0, END).cost
    assert not isinstance(cost.per_million[CostBasis.TOTAL_UNCACHED], Known)
