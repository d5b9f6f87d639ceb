"""A replayed fleet with known truth (docs/cost-model.md §1)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.costing.synthetic import POOL, T0, TERMS, Sim, SimPod, held, served, totals
from tokenfactory.costing.assess import assess
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing
from tokenfactory.model import CostBasis, Economics, EngineKind, FleetProblem, FleetReason, Role


def value(measure: Measure[float]) -> float:
    assert isinstance(measure, Known), measure
    return float(measure.value)


def money(measure: Measure[Decimal]) -> float:
    assert isinstance(measure, Known), measure
    return float(measure.value)


def check(economics: Economics, pods: tuple[SimPod, ...], *, end: float, unseen: float = 0.0) -> None:
    """Everything within 0.5 % of the truth; `unseen`: the first pod's unread serving seconds."""
    start = end - economics.covered_seconds
    rate = {pod: pod.prompt + pod.output for pod in pods}
    tokens = sum(rate[pod] * served(pod, start, end) for pod in pods) - unseen * rate[pods[0]]
    gpu_seconds = sum(held(pod, start, end) for pod in pods)
    per_gpu = tokens / gpu_seconds
    assert value(economics.throughput.per_gpu) == pytest.approx(per_gpu, rel=0.005)
    assert money(economics.cost.per_million[CostBasis.TOTAL]) == pytest.approx(
        2 / (per_gpu * 0.0036), rel=0.005
    )
    now = sum(pod.gpus for pod in pods if pod.created_at <= end < pod.gone_at)
    assert money(economics.cost.per_hour) == pytest.approx(2 * now, rel=0.005)
    watts = sum(held(pod, start, end) * pod.watts for pod in pods) / economics.covered_seconds
    assert value(economics.measured.watts) == pytest.approx(watts, rel=0.005)


def test_a_steady_fleet_is_read_to_its_true_rates() -> None:
    pods = (SimPod(name="a"), SimPod(name="b", gpus=4.0, watts=700.0))
    check(Sim(pods).run(T0, T0 + 600), pods, end=T0 + 600)


def test_a_restart_counts_the_tokens_seen_before_and_after_and_its_down_time() -> None:
    pods = (SimPod(name="a", restarts=((T0 + 330.01, T0 + 390.0),)), SimPod(name="b"))
    economics = Sim(pods).run(T0, T0 + 600)
    check(economics, pods, end=T0 + 600)
    assert isinstance(economics.throughput.per_gpu, Known)
    assert economics.throughput.per_gpu.grade is Grade.ESTIMATED


def test_the_tail_between_the_last_scrape_and_a_restart_is_all_that_is_lost() -> None:
    pods = (SimPod(name="a", restarts=((T0 + 342.0, T0 + 390.0),)), SimPod(name="b"))
    check(Sim(pods).run(T0, T0 + 600), pods, end=T0 + 600, unseen=12.0)


def test_a_restart_between_two_scrapes_is_a_reset_and_never_negative() -> None:
    pods = (SimPod(name="a", restarts=((T0 + 331.0, T0 + 340.0),)),)
    economics = Sim(pods).run(T0, T0 + 600)
    check(economics, pods, end=T0 + 600, unseen=1.0)


def test_lost_scrapes_are_bridged_without_dropping_or_inventing_anything() -> None:
    pods = (SimPod(name="a"), SimPod(name="b", output=300.0))
    sim = Sim(pods, lost=lambda pod, t: pod.name == "a" and 400 <= t - T0 <= 460)
    economics = sim.run(T0, T0 + 600)
    check(economics, pods, end=T0 + 600)
    assert isinstance(economics.throughput.per_gpu, Known)
    assert economics.throughput.per_gpu.grade is Grade.MEASURED


def test_one_lost_scrape_at_the_edge_moves_the_window_instead_of_the_numbers() -> None:
    pods = (SimPod(name="a"), SimPod(name="b", output=900.0))
    economics = Sim(pods, lost=lambda pod, t: pod.name == "a" and t == T0 + 600).run(T0, T0 + 600)
    check(economics, pods, end=T0 + 585)


def test_a_replica_that_is_lost_for_long_is_clipped_in_tokens_and_gpu_time_alike() -> None:
    pods = (SimPod(name="a"), SimPod(name="b"))
    economics = Sim(pods, lost=lambda pod, t: pod.name == "a" and t >= T0 + 450).run(T0, T0 + 600)
    assert (economics.coverage.expected, economics.coverage.scraped) == (2, 1)
    assert value(economics.throughput.per_gpu) == pytest.approx(750 / 8, rel=0.005)
    rates = economics.throughput.per_second
    assert isinstance(rates, Known)
    assert rates.grade is Grade.ESTIMATED
    assert rates.value.total == pytest.approx(1500, rel=0.005)


def test_a_loading_pod_costs_money_and_makes_no_tokens() -> None:
    pods = (SimPod(name="a"), SimPod(name="b", created_at=T0 + 303.0, ready_at=T0 + 481.0))
    economics = Sim(pods).run(T0, T0 + 600)
    check(economics, pods, end=T0 + 600)
    loading = 177 * 8 / (300 * 8 + 297 * 8)
    assert value(economics.cost.idle_share) == pytest.approx(loading, rel=0.02)


def test_a_replaced_pod_keeps_its_tokens_and_its_successor_counts_from_its_first_token() -> None:
    pods = (
        SimPod(name="a", gone_at=T0 + 405.01),
        SimPod(name="b", created_at=T0 + 405.01, ready_at=T0 + 427.0),
        SimPod(name="c"),
    )
    economics = Sim(pods).run(T0, T0 + 600)
    check(economics, pods, end=T0 + 600)


def test_everything_at_once_stays_within_half_a_percent() -> None:
    pods = (
        SimPod(name="a", restarts=((T0 + 345.01, T0 + 385.0),)),
        SimPod(name="b", gone_at=T0 + 420.01, watts=650.0),
        SimPod(name="c", created_at=T0 + 420.01, ready_at=T0 + 500.0, watts=300.0),
        SimPod(name="d", prompt=2000.0),
    )
    sim = Sim(pods, lost=lambda pod, t: pod.name == "d" and t in (T0 + 390, T0 + 405))
    check(sim.run(T0, T0 + 600), pods, end=T0 + 600)


def test_the_increments_add_up_to_what_was_served_whatever_was_lost() -> None:
    pods = (SimPod(name="a", restarts=((T0 + 345.01, T0 + 385.0),)), SimPod(name="b"))
    sim = Sim(pods, lost=lambda pod, t: (t - T0) % 60 == 15)
    sim.run(T0, T0 + 600)
    counted = sum(economics.increments.tokens.total for economics in sim.history)
    assert counted == pytest.approx(sum(750 * served(pod, T0, T0 + 600) for pod in pods), rel=1e-4)
    seconds = sum(sum(e.increments.gpu_seconds_by_share.values()) for e in sim.history)
    assert seconds == pytest.approx(2 * 8 * 600, rel=1e-6)
    cost = sum(sum(e.increments.cost_by_share.values(), Decimal(0)) for e in sim.history)
    assert float(cost) == pytest.approx(seconds * 2 / 3600, rel=1e-9)


def test_the_window_is_full_once_all_but_one_interval_is_covered() -> None:
    sim = Sim((SimPod(name="a"),))
    assert not sim.run(T0, T0 + 270).window_full
    assert sim.cycle(T0 + 285).window_full
    assert sim.cycle(T0 + 300).covered_seconds == 300


def test_one_scrape_is_no_window_yet() -> None:
    economics = Sim((SimPod(name="a"),)).cycle(T0)
    assert economics.throughput.per_gpu == Missing(Absence.WINDOW_FILLING, "a second scrape is needed")
    assert money(economics.cost.per_hour) == 16


def test_an_idle_pool_has_a_cost_per_hour_and_no_cost_per_token() -> None:
    economics = Sim((SimPod(name="a", prompt=0, cached=0, output=0, decoding=0),)).run(T0, T0 + 600)
    per_million = economics.cost.per_million[CostBasis.TOTAL]
    assert isinstance(per_million, Missing)
    assert per_million.reason is Absence.NO_TRAFFIC
    assert money(economics.cost.per_hour) == 16
    assert value(economics.cost.idle_share) == 1.0
    assert value(economics.throughput.per_gpu) == 0.0


def test_the_token_floor_is_one_thousand_tokens_in_the_window() -> None:
    slow = SimPod(name="a", prompt=3.0, cached=0.0, output=0.3)
    below = Sim((slow,)).run(T0, T0 + 600)
    assert isinstance(below.cost.per_million[CostBasis.TOTAL], Missing)
    above = Sim((replace(slow, output=0.4),)).run(T0, T0 + 600)
    assert isinstance(above.cost.per_million[CostBasis.TOTAL], Known)


def test_a_pool_that_only_loads_is_all_idle_and_its_tokens_are_truly_none() -> None:
    economics = Sim((SimPod(name="a", ready_at=T0 + 9999),)).run(T0, T0 + 600)
    assert value(economics.cost.idle_share) == 1.0
    assert value(economics.throughput.per_gpu) == 0.0
    assert economics.coverage.expected == 0


def test_a_dead_fleet_is_not_scraped_rather_than_idle() -> None:
    sim = Sim((SimPod(name="a"),), lost=lambda pod, t: t > T0 + 300)
    economics = sim.run(T0, T0 + 690)
    assert isinstance(economics.throughput.tokens, Missing)
    assert economics.throughput.tokens.reason is Absence.NOT_SCRAPED
    assert money(economics.cost.per_hour) == 16
    assert value(economics.measured.watts) == pytest.approx(4000, rel=0.005)
    assert economics.failures[0][0] == "a"


def test_an_unsupported_engine_still_has_gpus_price_and_cost_per_hour() -> None:
    economics = Sim((SimPod(name="a", kind=EngineKind.TGI),)).run(T0, T0 + 600)
    assert money(economics.cost.per_hour) == 16
    assert value(economics.gpus.held) == 8
    assert isinstance(economics.throughput.tokens, Missing)
    assert value(economics.measured.watts) == pytest.approx(4000, rel=0.005)
    assert (economics.coverage.expected, economics.coverage.scraped) == (1, 0)


def test_a_pod_without_a_node_holds_nothing_and_a_bound_one_counts_while_it_loads() -> None:
    waiting = SimPod(name="b", bound=False, ready_at=T0 + 9999)
    economics = Sim((SimPod(name="a"), waiting)).run(T0, T0 + 60)
    assert value(economics.gpus.held) == 8
    bound = Sim((SimPod(name="a"), replace(waiting, bound=True))).run(T0, T0 + 60)
    assert value(bound.gpus.held) == 16


def test_gpus_of_claims_that_could_not_be_read_are_missing_and_not_zero() -> None:
    situation = Sim((SimPod(name="a", gpus=0.0),), dark=lambda pod, t: True).situation(T0)
    _, none = assess(situation, None)
    assert value(none.gpus.held) == 0
    problem = FleetProblem(FleetReason.CLAIMS_NOT_READ, "")
    _, economics = assess(replace(situation, fleet=replace(situation.fleet, problems=(problem,))), None)
    assert isinstance(economics.gpus.held, Missing)
    assert economics.gpus.held.reason is Absence.CLAIMS_NOT_READ
    assert isinstance(economics.cost.per_hour, Missing)


def test_a_pod_that_holds_gpus_without_an_engine_is_idle_cost() -> None:
    economics = Sim((SimPod(name="a"), SimPod(name="sleeper", kind=EngineKind.NONE))).run(T0, T0 + 600)
    assert value(economics.gpus.held) == 16
    assert value(economics.throughput.per_gpu) == pytest.approx(750 / 16, rel=0.005)
    assert value(economics.cost.idle_share) == pytest.approx(0.5, rel=0.01)


def test_scaling_to_zero_ends_in_no_pods() -> None:
    economics = Sim((SimPod(name="a", gone_at=T0 + 300),)).run(T0, T0 + 690)
    assert economics.throughput.tokens == Missing(Absence.NO_PODS)
    assert isinstance(economics.cost.per_hour, Missing)


def test_concurrency_and_speed_per_user_come_from_the_time_between_tokens() -> None:
    pods = (SimPod(name="a", decoding=5.0, output=150.0), SimPod(name="b", decoding=3.0, output=90.0))
    economics = Sim(pods).run(T0, T0 + 600)
    assert value(economics.throughput.concurrency) == pytest.approx(8.0, rel=0.005)
    assert value(economics.throughput.per_user) == pytest.approx(30.0, rel=0.005)
    (load,) = economics.loads
    assert load.role is Role.AGGREGATED
    assert value(load.concurrency) == pytest.approx(4.0, rel=0.005)
    assert value(load.per_ready_gpu) == pytest.approx(240 / 16, rel=0.005)
    assert (load.ready_replicas, load.fresh_share, load.running) == (2, 1.0, 8.0)


def test_loading_time_is_cost_but_not_the_judges_inefficiency() -> None:
    pods = (SimPod(name="a"), SimPod(name="b", created_at=T0 + 303.0, ready_at=T0 + 9999))
    (load,) = Sim(pods).run(T0, T0 + 600).loads
    assert value(load.per_ready_gpu) == pytest.approx(150 / 8, rel=0.005)


def test_a_disaggregated_pool_counts_each_prompt_once() -> None:
    pods = (
        SimPod(name="p", role=Role.PREFILL, prompt=600, cached=120, output=3, decoding=0),
        SimPod(name="d", role=Role.DECODE, prompt=600, cached=600, output=150),
    )
    economics = Sim(pods).run(T0, T0 + 600)
    rates = economics.throughput.per_second
    assert isinstance(rates, Known)
    assert rates.value.total == pytest.approx(750, rel=0.005)
    assert rates.value.cached_input == pytest.approx(120, rel=0.005)
    assert rates.value.output == pytest.approx(150, rel=0.005)
    assert value(economics.throughput.per_gpu) == pytest.approx(750 / 16, rel=0.005)
    assert [(share.role, share.gpus) for share in economics.roles] == [(Role.PREFILL, 8), (Role.DECODE, 8)]


def test_a_page_that_is_repeated_adds_nothing() -> None:
    sim = Sim((SimPod(name="a"),))
    sim.run(T0, T0 + 300)
    again = sim.situation(T0 + 300)
    assert sim.ledger is not None
    from tokenfactory.costing.assess import assess

    _, economics = assess(replace(again, now=T0 + 305), sim.ledger)
    assert economics.increments.tokens.total == 0
    assert dict(economics.increments.gpu_seconds_by_share) == {}


def test_below_full_energy_coverage_only_the_coverage_is_shown() -> None:
    pods = (SimPod(name="a"), SimPod(name="b", gpus=4.0))
    economics = Sim(pods, dark=lambda pod, t: pod.name == "b").run(T0, T0 + 600)
    assert value(economics.measured.coverage) == pytest.approx(8 / 12)
    assert isinstance(economics.measured.watts, Missing)
    assert economics.measured.watts.reason is Absence.INCOMPLETE_COVERAGE
    assert (economics.gpu_coverage.expected, economics.gpu_coverage.scraped) == (12, 8)


def test_a_short_window_has_an_energy_window_of_its_own_and_says_so() -> None:
    terms = replace(TERMS, window_seconds=30, scrape_interval_seconds=6.0)
    economics = Sim((SimPod(name="a"),), terms=terms).run(T0, T0 + 600, 6.0)
    assert economics.covered_seconds == 30
    assert isinstance(economics.measured.watts, Known)
    assert economics.measured.watts.window_seconds == pytest.approx(300)
    assert value(economics.measured.watts) == pytest.approx(4000, rel=0.005)


def test_exporters_that_sample_every_thirty_seconds_are_read_without_a_sampling_error() -> None:
    pods = (SimPod(name="a"),)
    sim = Sim(pods)
    t = T0
    while t <= T0 + 600:
        situation = sim.situation(t)
        stale = sim.situation(T0 + 30 * ((t - T0) // 30)).readings.exporters
        pages = {node: replace(page, at=t) for node, page in stale.items()}  # type: ignore[arg-type]
        from tokenfactory.costing.assess import assess

        sim.ledger, economics = assess(
            replace(situation, readings=replace(situation.readings, exporters=pages)), sim.ledger
        )
        t += 15
    assert value(economics.measured.watts) == pytest.approx(4000, rel=0.005)


def test_both_energy_bases_are_named_and_pue_touches_only_the_measured_carbon() -> None:
    from tests.unit.costing.synthetic import with_factory
    from tokenfactory.model import PowerTerms

    def run(pue: float | None) -> Economics:
        terms = with_factory(power=PowerTerms(pue=pue, grams_co2_per_kilowatt_hour=380.0))
        return Sim((SimPod(name="a"),), terms=terms).run(T0, T0 + 600)

    plain, overhead = run(None), run(1.2)
    assert value(plain.provisioned.watts) == pytest.approx(8 * 1730)
    assert value(plain.provisioned.tokens_per_second_per_megawatt) == pytest.approx(
        750 / 8 / 1.73e-3, rel=0.005
    )
    assert value(plain.measured.joules_per_token) == pytest.approx(4000 / 750, rel=0.005)
    carbon = 4000 / 750 * 1e6 / 3.6e6 * 380
    assert value(plain.measured.grams_co2_per_million_tokens) == pytest.approx(carbon, rel=0.005)
    assert value(overhead.measured.grams_co2_per_million_tokens) == pytest.approx(1.2 * carbon, rel=0.005)
    assert overhead.provisioned == plain.provisioned
    assert value(overhead.measured.watts) == pytest.approx(value(plain.measured.watts))


def test_dcgm_shares_are_means_over_the_pools_own_gpus() -> None:
    gpus = Sim((SimPod(name="a"),)).run(T0, T0 + 600).gpus
    assert value(gpus.busy_share) == pytest.approx(0.6)
    assert value(gpus.tensor_active_share) == pytest.approx(0.4)
    assert value(gpus.memory_used_share) == pytest.approx(0.9)
    assert gpus.throttled_share == Missing(Absence.NOT_EXPORTED)
    assert gpus.products == ("NVIDIA-H200",)


def test_cached_input_that_is_not_exported_is_absent_and_so_is_the_uncached_basis() -> None:
    from tests.unit.costing.synthetic import FAMILIES
    from tokenfactory.model import Signal

    pod = SimPod(name="a", families=FAMILIES - {Signal.CACHED_PROMPT_TOKENS})
    economics = Sim((pod,)).run(T0, T0 + 600)
    assert economics.throughput.cached_input_share == Missing(Absence.NOT_EXPORTED)
    assert isinstance(economics.cost.per_million[CostBasis.TOTAL_UNCACHED], Missing)
    assert money(economics.cost.per_million[CostBasis.TOTAL]) == pytest.approx(
        16 / 3600 / 750 * 1e6, rel=0.005
    )


def test_a_mixed_pool_is_priced_by_product() -> None:
    pods = (SimPod(name="a"), SimPod(name="b", gpus=4.0, product="NVIDIA-B200"))
    economics = Sim(pods, pool=replace(POOL, price_per_gpu_hour=None)).run(T0, T0 + 600)
    assert money(economics.cost.per_hour) == pytest.approx(8 * 1.41 + 4 * 1.95)
    assert money(economics.price.per_gpu_hour) == pytest.approx((8 * 1.41 + 4 * 1.95) / 12)
    per_gpu = value(economics.throughput.per_gpu)
    assert money(economics.cost.per_million[CostBasis.TOTAL]) == pytest.approx(
        money(economics.price.per_gpu_hour) / (per_gpu * 0.0036), rel=1e-9
    )


def test_the_monthly_projection_follows_the_cost_per_million() -> None:
    pool = replace(POOL, tokens_per_month=10_000_000_000)
    economics = Sim((SimPod(name="a"),), pool=pool).run(T0, T0 + 600)
    per_million = money(economics.cost.per_million[CostBasis.TOTAL])
    assert money(economics.cost.projected_per_month) == pytest.approx(per_million * 10_000)


def test_evidence_names_what_a_page_does_not_carry() -> None:
    (row,) = Sim((SimPod(name="a"),)).run(T0, T0 + 600).evidence
    assert row.readable
    assert row.drafts is None
    assert row.output_tokens == pytest.approx(150 * 300, rel=0.005)
    assert (row.model, row.version) == ("DeepSeek-R1", "0.32.0")


def test_an_engine_without_gpus_has_tokens_and_no_cost() -> None:
    economics = Sim((SimPod(name="a", gpus=0.0),)).run(T0, T0 + 600)
    rates = economics.throughput.per_second
    assert isinstance(rates, Known)
    assert rates.value.total == pytest.approx(750, rel=0.005)
    assert isinstance(economics.throughput.per_gpu, Missing)
    assert isinstance(economics.cost.per_million[CostBasis.TOTAL], Missing)
    assert isinstance(economics.cost.per_hour, Missing)


def test_the_counters_tell_serving_idle_and_loading_time_apart() -> None:
    pods = (
        SimPod(name="a"),
        SimPod(name="idle", prompt=0, cached=0, output=0, decoding=0),
        SimPod(name="b", created_at=T0 + 303.0, ready_at=T0 + 481.0),
    )
    sim = Sim(pods)
    sim.run(T0, T0 + 600)
    seconds = totals(economics.increments.gpu_seconds_by_share for economics in sim.history)
    assert seconds == pytest.approx({"serving": 8 * (600 + 120), "idle": 8 * 600, "loading": 8 * 177})
