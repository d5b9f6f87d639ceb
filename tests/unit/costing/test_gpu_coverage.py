"""How many of the GPUs held does DCGM show: gaps of an exporter are normal, a dead one is news."""

from __future__ import annotations

from tests.unit.costing.synthetic import T0, Sim, SimPod

OLD = SimPod(name="old")


def shares(sim: Sim) -> list[tuple[int, int]]:
    return [(item.gpu_coverage.scraped, item.gpu_coverage.expected) for item in sim.history]


def test_one_page_that_an_exporter_failed_to_give_is_no_news() -> None:
    sim = Sim(pods=(OLD,), dark=lambda _, t: t == T0 + 45)
    sim.run(T0, T0 + 90)
    assert shares(sim) == [(8, 8)] * 7


def test_an_exporter_that_stays_dark_is_news_after_two_and_a_half_intervals() -> None:
    sim = Sim(pods=(OLD,), dark=lambda _, t: t > T0 + 30)
    sim.run(T0, T0 + 90)
    assert shares(sim) == [(8, 8)] * 5 + [(0, 8)] * 2


def test_a_new_pod_that_its_exporter_does_not_name_yet_is_waited_for() -> None:
    new = SimPod(name="new", created_at=T0 + 40, ready_at=T0 + 40)
    sim = Sim(pods=(OLD, new), dark=lambda pod, t: pod is new and t < T0 + 75)
    sim.run(T0, T0 + 105)
    assert shares(sim) == [(8, 8)] * 5 + [(16, 16)] * 3


def test_a_new_pod_that_no_exporter_ever_names_is_news_in_the_end() -> None:
    new = SimPod(name="new", created_at=T0 + 40, ready_at=T0 + 40)
    sim = Sim(pods=(OLD, new), dark=lambda pod, _: pod is new)
    sim.run(T0, T0 + 120)
    assert shares(sim)[-1] == (8, 16)
