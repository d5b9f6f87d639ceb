"""T05-T08, T19, T25-T27: mistakes of other tools with windows, idle time, averages and loops."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.support.subjects import NOW, economics, pod_figures, subject
from tests.unit.costing.synthetic import T0, Sim, SimPod
from tests.unit.judgement.builders import evidence
from tests.unit.judgement.test_denominator_judge import Moment, after
from tokenfactory.judgement.judge import judge
from tokenfactory.measure import Absence, Known, Missing
from tokenfactory.model import (
    CostBasis,
    Coverage,
    DenominatorState,
    Factory,
    Fleet,
    PoolKey,
    Truth,
)
from tokenfactory.publishing.drafting import draft
from tokenfactory.publishing.fleet_status import PoolReport, Roll, render_fleet
from tokenfactory.publishing.gate import decide, note
from tokenfactory.publishing.samples import samples
from tokenfactory.publishing.status import render
from tokenfactory.runtime.desk import Desk

END = T0 + 450
QUIET = {"prompt": 0.0, "cached": 0.0, "output": 0.0, "decoding": 0.0}


def test_T05_a_failed_scrape_is_not_idle_and_the_next_one_bridges_it() -> None:
    gap = (T0 + 210, T0 + 255)
    lossy = Sim((SimPod(name="a"),), lost=lambda _, t: gap[0] <= t <= gap[1]).run(T0, END)
    whole = Sim((SimPod(name="a"),)).run(T0, END)
    for found in (lossy, whole):
        assert isinstance(found.cost.idle_share, Known)
        assert found.cost.idle_share.value == 0
    assert lossy.throughput.tokens == whole.throughput.tokens
    assert lossy.cost.per_million == whole.cost.per_million


def test_T05_while_no_page_is_read_for_longer_than_the_window_the_numbers_are_absent_and_not_zero() -> None:
    found = Sim((SimPod(name="a"),), lost=lambda _, t: t > T0 + 60).run(T0, T0 + 900)
    assert isinstance(found.cost.per_million[CostBasis.TOTAL], Missing)
    assert isinstance(found.throughput.per_gpu, Missing)
    assert found.throughput.per_gpu.reason is Absence.NOT_SCRAPED


@pytest.mark.parametrize("stale_since", [T0 + 390, T0 + 300])
def test_T06_a_replica_without_a_page_is_clipped_in_tokens_and_gpu_time_alike(stale_since: float) -> None:
    pods = SimPod(name="a"), SimPod(name="b")
    found = Sim(pods, lost=lambda pod, t: pod.name == "b" and t > stale_since).run(T0, END)
    cost = found.cost.per_million[CostBasis.TOTAL]
    assert isinstance(cost, Known)
    assert float(cost.value) == pytest.approx(2 / (750 / 8 * 0.0036), rel=1e-9)
    assert isinstance(found.throughput.tokens, Known)
    assert cost.window_seconds == found.throughput.tokens.window_seconds


def test_T07_without_traffic_there_is_a_cost_an_hour_and_no_cost_of_a_million_tokens() -> None:
    cost = Sim((SimPod(name="q", **QUIET),)).run(T0, END).cost
    for basis in CostBasis:
        found = cost.per_million[basis]
        assert isinstance(found, Missing)
        assert found.reason is Absence.NO_TRAFFIC
    assert isinstance(cost.per_hour, Known)
    assert cost.per_hour.value == 16


def test_T07_a_handful_of_tokens_is_under_the_floor() -> None:
    few = SimPod(name="q", prompt=2.0, cached=0.0, output=1.0)
    assert isinstance(Sim((few,)).run(T0, END).cost.per_million[CostBasis.TOTAL], Missing)


def test_T08_a_fleets_cost_is_all_cost_over_all_tokens_and_no_average_of_ratios() -> None:
    busy = economics(pods=(pod_figures("busy", rate=90_000.0, cost="10"),))
    quiet = economics(pods=(pod_figures("quiet", rate=100.0, cost="10"),))
    reports = tuple(
        PoolReport(key=PoolKey("serving", name), economics=found, verdict=subject().verdict)
        for name, found in (("busy", busy), ("quiet", quiet))
    )
    document = render_fleet(Roll(factory=Factory(), reports=reports, pools=2, now=NOW), None)
    assert Decimal(document["cost"]["perMillionTokens"]) == pytest.approx(
        Decimal(20) / (Decimal(90_100) * Decimal("0.0036")), rel=Decimal("1e-3")
    )


def test_T08_counters_of_cost_and_tokens_are_published_so_that_any_span_can_be_summed() -> None:
    sim = Sim((SimPod(name="a"),))
    sim.run(T0, END)
    cost = sum((sum(e.increments.cost_by_share.values(), Decimal(0)) for e in sim.history), Decimal(0))
    tokens = sum(e.increments.tokens.total for e in sim.history)
    last = sim.history[-1].cost.per_million[CostBasis.TOTAL]
    assert isinstance(last, Known)
    assert float(cost) / tokens * 1e6 == pytest.approx(float(last.value), rel=1e-9)


def test_T19_idle_and_loading_replicas_are_paid_for_by_the_pool() -> None:
    busy = SimPod(name="a")
    idle = SimPod(name="i", **QUIET)
    loading = SimPod(name="l", created_at=T0 + 30, ready_at=T0 + 9999)
    found = Sim((busy, idle, loading)).run(T0, END)
    cost, share = found.cost.per_million[CostBasis.TOTAL], found.cost.idle_share
    assert isinstance(cost, Known)
    assert isinstance(share, Known)
    assert share.value == pytest.approx(2 / 3)
    assert float(cost.value) == pytest.approx(3 * 2 / (750 / 8 * 0.0036), rel=1e-6)


def test_T19_loading_time_costs_money_and_is_no_inefficiency() -> None:
    loading = SimPod(name="l", created_at=T0 + 30, ready_at=T0 + 9999)
    alone, both = Sim((SimPod(name="a"),)).run(T0, END), Sim((SimPod(name="a"), loading)).run(T0, END)
    per_ready = [found.loads[0].per_ready_gpu for found in (alone, both)]
    assert isinstance(per_ready[0], Known)
    assert isinstance(per_ready[1], Known)
    assert per_ready[1].value == pytest.approx(per_ready[0].value)


def test_T25_a_pool_that_matches_no_pod_is_not_green() -> None:
    nothing = economics(coverage=Coverage(), gpu_coverage=Coverage(), evidence=(), loads=())
    _, verdict = judge(evidence(fleet=Fleet(), money=nothing), None)
    rows = {row.type: row for row in verdict.conditions}
    assert rows["TelemetryHealthy"].status is Truth.FALSE
    assert rows["TelemetryHealthy"].reason == "NoPods"
    assert rows["DenominatorHealthy"].status is not Truth.TRUE


def test_T25_every_pool_says_how_much_was_read_and_how_old_it_is() -> None:
    found = {name for name, _, _ in samples(subject())}
    assert {"replicas", "last_observation_timestamp_seconds", "condition"} <= found
    assert render(subject(), None)["serving"]["coverage"] == "2/2"


def test_T26_an_own_status_write_starts_no_cycle_and_a_quiet_pool_no_write() -> None:
    desk, heard = Desk(), list[str]()
    desk.listen(heard.append)
    body = {
        "metadata": {"name": "chat", "namespace": "serving", "uid": "u1", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "chat"}}},
    }
    desk.take_pool("ADDED", body)
    desk.take_pool("MODIFIED", {**body, "status": {"windowSeconds": 300}})
    assert heard == ["u1"]
    found, published, writes = subject(), None, 0
    for step in range(20):
        now = NOW + 15 * step
        again = replace(found, now=now)
        document = render(again, published.document if published else None)
        proposal = draft(again, document, window_seconds=300)
        decision = decide(published, proposal, now=now)
        writes += decision.write
        published = note(published, proposal, decision, now=now) if decision.write else published
    assert writes == 1


def test_T27_a_pool_is_compared_with_itself_at_the_same_load() -> None:
    """Half the concurrency makes half the tokens: no collapse. The same concurrency does: a collapse."""
    assert after(Moment(125.0, 8.0)) == ["Healthy"]
    assert after(Moment(100.0, 16.0))[-1] == DenominatorState.THROUGHPUT_COLLAPSED.value


def test_T27_load_stands_next_to_efficiency() -> None:
    document = render(subject(), None)
    assert {"ofBaseline", "load"} <= set(document["efficiency"])
