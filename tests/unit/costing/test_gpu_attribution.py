"""GPUs counted once and boards metered once (docs/cost-model.md §4, §8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.costing.synthetic import T0, SimPod, dcgm, replica
from tokenfactory.costing.boards import drive, metered_by_pod, sample
from tokenfactory.costing.gpus import attribute, count_held, observed_by_pod
from tokenfactory.costing.ledger import Presence
from tokenfactory.model import ExporterReading, Fleet, GpuReading, Replica

NODE = "node-of-a"


def a(gpus: float = 2.0, name: str = "a", *, sharing: int = 1) -> Replica:
    found = replica(SimPod(name=name, gpus=gpus), T0)
    node = replace(found.node, name=NODE, sharing=sharing) if found.node else None
    return replace(found, node=node, turns=sharing, pod=replace(found.pod, node_name=NODE))


def gpu(uuid: str, pod: str = "a", **fields: object) -> GpuReading:
    known = {"uuid": uuid, "pod": pod, "namespace": "serving" if pod else "", "energy_millijoules": 1000.0}
    return GpuReading(**{**known, **fields})  # type: ignore[arg-type]


def page(*gpus: GpuReading, at: float = T0) -> ExporterReading:
    return ExporterReading(at=at, node_name=NODE, gpus=gpus)


def observed(page: ExporterReading, *replicas: Replica) -> dict[str, float]:
    found = attribute(Fleet(replicas=replicas), {NODE: page})
    return observed_by_pod(holding for _, holdings in found for holding in holdings)


def test_more_observed_than_asked_for_counts_and_fewer_never_lowers() -> None:
    assert count_held(a(1.0), 2.0) == 2.0
    assert count_held(a(4.0), 2.0) == 4.0
    assert count_held(a(0.0), 3.0) == 3.0


def test_a_gpu_counts_for_the_pod_that_its_labels_name() -> None:
    assert observed(page(gpu("0"), gpu("1"), gpu("2", "other"), gpu("3", "")), a()) == {"a": 2.0}


def test_a_pod_of_the_same_name_in_another_namespace_is_somebody_else() -> None:
    assert observed(page(gpu("0", namespace="elsewhere")), a()) == {}


def test_mig_slices_are_sevenths_and_the_boards_energy_is_taken_once() -> None:
    slices = [gpu("0", f"p{i}" if i < 5 else "", instance=str(i), profile="1g.18gb") for i in range(7)]
    pods = [a(1 / 7, f"p{i}") for i in range(5)]
    assert observed(page(*slices), *pods) == pytest.approx({f"p{i}": 1 / 7 for i in range(5)})
    later = [replace(item, energy_millijoules=1000.0 + 402.7e3 * 60) for item in slices]
    assert joules(page(*slices), page(*later, at=T0 + 60), *pods) == pytest.approx(402.7 * 60 * 5 / 7)


def test_time_sliced_pods_split_the_board_and_say_that_it_is_a_guess() -> None:
    pods = [a(1 / 3, name, sharing=3) for name in ("x", "y", "z")]
    before = [gpu("0", name) for name in ("x", "y", "z", "")]
    after = [replace(item, energy_millijoules=1000.0 + 544.4e3 * 60) for item in before]
    assert observed(page(*before), *pods) == pytest.approx(dict.fromkeys("xyz", 1 / 3))
    assert joules(page(*before), page(*after, at=T0 + 60), pods[0]) == pytest.approx(544.4 * 20)


def test_the_only_labelled_pod_of_a_shared_gpu_does_not_get_all_of_it() -> None:
    assert observed(page(gpu("0")), a(1 / 3, sharing=3)) == pytest.approx({"a": 1 / 3})


def test_a_shared_mig_slice_is_not_the_whole_slice_of_one_pod() -> None:
    """Two pods take turns on each slice; the page names one of them."""
    slices = page(gpu("0", "a", instance="7", profile="1g.18gb"))
    assert observed(slices, a(1 / 14, sharing=2)) == pytest.approx({"a": 1 / 14})


def test_a_pod_on_a_shared_claim_is_not_counted_for_all_of_its_gpus() -> None:
    """Two pods share a claim of two GPUs; the page names one of them."""
    shared = page(gpu("0"), gpu("1"))
    assert observed(shared, a(1.0, sharing=2), a(1.0, "b", sharing=2)) == pytest.approx({"a": 1.0})


def test_a_page_without_pod_labels_is_the_pools_only_when_it_holds_every_gpu() -> None:
    bare = page(gpu("0", ""), gpu("1", ""))
    assert observed(bare, a(2.0)) == {"a": 2.0}
    assert observed(bare, a(1.0), a(1.0, "b")) == {"a": 1.0, "b": 1.0}
    assert observed(bare, a(1.0)) == {}
    assert observed(bare, replace(a(2.0), shared_with=("serving/other",))) == {}


def joules(first: ExporterReading, second: ExporterReading, *replicas: Replica) -> float:
    fleet = Fleet(replicas=replicas)
    presence = {r.pod.uid: Presence(T0 - 100, T0, r.gpus) for r in replicas}
    before = drive({}, attribute(fleet, {NODE: first}), presence=presence, now=first.at, keep=300)
    after = drive(
        before.odometers, attribute(fleet, {NODE: second}), presence=presence, now=second.at, keep=300
    )
    return sum(span.joules for span in after.spans)


def test_a_falling_energy_counter_is_dropped_and_never_negative() -> None:
    assert joules(page(gpu("0")), page(gpu("0", energy_millijoules=5.0), at=T0 + 60), a()) == 0.0


def test_a_repeated_page_closes_nothing() -> None:
    assert joules(page(gpu("0")), page(gpu("0"), at=T0 + 15), a()) == 0.0


def test_a_board_that_joins_late_is_metered_only_for_the_pods_own_time() -> None:
    fleet = Fleet(replicas=(a(),))
    boards = [attribute(fleet, {NODE: page(gpu("0", energy_millijoules=e), at=t)}) for e, t in
              ((0.0, T0), (6e7, T0 + 60))]  # fmt: skip
    presence = {"a": Presence(T0 + 30, T0 + 60, 2.0)}
    before = drive({}, boards[0], presence=presence, now=T0, keep=300)
    after = drive(before.odometers, boards[1], presence=presence, now=T0 + 60, keep=300)
    assert sum(span.joules for span in after.spans) == pytest.approx(30_000)


def test_a_counter_that_stands_still_is_no_live_meter() -> None:
    fleet, presence, meters = Fleet(replicas=(a(1.0),)), {"a": Presence(T0, T0, 1.0)}, {}
    for step in range(12):
        energy = 1000.0 * min(step, 2)
        reading = page(gpu("0", energy_millijoules=energy), at=T0 + 15 * step)
        meters = drive(
            meters, attribute(fleet, {NODE: reading}), presence=presence, now=reading.at, keep=300
        ).odometers
        live = metered_by_pod(meters, now=reading.at, seen_within=75, sample_interval=30)
        if step == 4:
            assert live == {"a": 1.0}
    assert live == {}


@pytest.mark.parametrize(
    ("reasons", "share"), [(0x0, 0.0), (0x1, 0.0), (0x4, 1.0), (0x20, 1.0), (0x40, 1.0), (0x81, 1.0)]
)
def test_only_power_thermal_and_brake_reasons_are_throttling(reasons: int, share: float) -> None:
    boards = attribute(Fleet(replicas=(a(1.0),)), {NODE: page(gpu("0", clock_event_reasons=reasons))})
    found = sample(boards, now=T0)
    assert found is not None
    assert found.throttled == (share, 1.0)


def test_other_peoples_gpus_are_no_part_of_the_sample() -> None:
    busy = [gpu("0", utilisation=0.5), gpu("1", "other", utilisation=1.0), gpu("2", "", utilisation=0.0)]
    found = sample(attribute(Fleet(replicas=(a(1.0),)), {NODE: page(*busy)}), now=T0)
    assert found is not None
    assert found.busy == (0.5, 1.0)


def test_the_synthetic_page_shows_eight_gpus() -> None:
    pod = SimPod(name="a")
    assert len(dcgm(pod, T0).gpus) == 8
