"""T10, T16-T18, T20: mistakes of other tools with pods' names, boards, shares and prices."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.costing.synthetic import POOL, T0, TERMS, Sim, SimPod, replica
from tests.unit.costing.test_captured_boards import watts
from tests.unit.discovery.kube import node, pod
from tests.unit.discovery.test_resource_claims import claim, claiming, gpus, result
from tests.unit.discovery.test_resource_claims import found as fleet_of
from tokenfactory.costing.gpus import attribute
from tokenfactory.costing.hardware import HardwareFacts
from tokenfactory.costing.ownership import cost_of_owning
from tokenfactory.costing.prices import quote
from tokenfactory.discovery.gpus import gpus_held
from tokenfactory.measure import Absence, Known, Missing
from tokenfactory.model import (
    ExporterReading,
    Factory,
    Fleet,
    HardwareMatch,
    OwnershipEntry,
    PowerTerms,
    PriceEntry,
    PriceProblem,
    PriceQuote,
    PriceSource,
)
from tokenfactory.telemetry import dcgm

END = T0 + 450
ENERGY, POWER = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_POWER_USAGE"
H200 = HardwareFacts("NVIDIA-H200")
PLAIN = replace(POOL, price_per_gpu_hour=None)


def read(*lines: tuple[str, object, str]) -> ExporterReading:
    text = "".join(f'{name}{{gpu="0",UUID="GPU-1",{labels}}} {value}\n' for name, value, labels in lines)
    reading = dcgm.parse(text.encode(), at=1.0, node_name="node-of-p-0")
    assert isinstance(reading, ExporterReading), reading
    return reading


def ask(factory: Factory | None = None, facts: HardwareFacts = H200) -> PriceQuote:
    return quote(PLAIN, replace(TERMS, factory=factory or Factory()), {facts: 8.0})


def priced(text: str) -> Factory:
    entry = PriceEntry(
        match=HardwareMatch(), per_gpu_hour=Decimal(text), source="contract", as_of="2026-04-15"
    )
    return Factory(prices=(entry,))


def test_T10_a_gpu_belongs_to_the_pod_of_its_namespace_and_not_to_a_namesake() -> None:
    mine = replica(SimPod(name="p-0", gpus=1.0), T0)
    reading = read((POWER, 300, 'namespace="other",pod="p-0"'))
    assert attribute(Fleet(replicas=(mine,)), {"node-of-p-0": reading}) == ()
    reading = read((POWER, 300, 'namespace="serving",pod="p-0"'))
    assert len(attribute(Fleet(replicas=(mine,)), {"node-of-p-0": reading})) == 1


def test_T10_labels_that_prometheus_renamed_name_the_workload_and_not_the_exporter() -> None:
    labels = 'namespace="mon",pod="exporter",exported_namespace="serving",exported_pod="p-0",job="dcgm"'
    (gpu,) = read((POWER, 300, labels)).gpus
    assert (gpu.namespace, gpu.pod) == ("serving", "p-0")
    (idle,) = read((POWER, 300, 'namespace="mon",pod="exporter",job="dcgm",instance="1.2.3.4:9400"')).gpus
    assert idle.pod == ""


def test_T10_a_pod_that_was_replaced_under_its_name_is_another_pod() -> None:
    first = SimPod(name="p", uid="one", gone_at=T0 + 200)
    second = SimPod(name="p", uid="two", created_at=T0 + 201, ready_at=T0 + 201)
    found = Sim((first, second)).run(T0, END)
    assert {row.pod_uid for row in found.pods} == {"one", "two"}


@pytest.mark.parametrize("label", ['Hostname="n"', 'hostname="n"'])
def test_T16_the_energy_counter_is_read_under_either_spelling_of_the_host(label: str) -> None:
    (gpu,) = read((ENERGY, 5e9, label), (POWER, 300, label)).gpus
    assert gpu.energy_millijoules == 5e9


def test_T16_measured_power_is_the_counters_delta_and_not_the_sampled_gauge() -> None:
    found = Sim((SimPod(name="a", watts=500.0),)).run(T0, END).measured
    assert isinstance(found.watts, Known)
    assert found.watts.value == pytest.approx(8 * 500)
    assert "energy counters" in found.watts.basis


def test_T16_an_exporter_that_is_dark_makes_the_energy_missing_and_never_zero() -> None:
    found = Sim((SimPod(name="a"), SimPod(name="b")), dark=lambda pod, _: pod.name == "b").run(T0, END)
    assert isinstance(found.measured.watts, Missing)
    assert found.measured.watts.reason is Absence.INCOMPLETE_COVERAGE
    assert isinstance(found.measured.coverage, Known)
    assert found.measured.coverage.value == 0.5


def test_T16_boards_and_all_in_power_are_two_bases_that_name_themselves() -> None:
    found = Sim((SimPod(name="a"),)).run(T0, END)
    assert isinstance(found.measured.joules_per_token, Known)
    assert isinstance(found.provisioned.joules_per_token, Known)
    assert "GPU boards" in found.measured.joules_per_token.basis
    assert "all-in provisioned" in found.provisioned.joules_per_token.basis


def test_T17_a_time_sliced_board_counts_once_whoever_repeats_its_power() -> None:
    page = dcgm.parse(
        "".join(
            f'{ENERGY}{{gpu="0",UUID="GPU-1",namespace="serving",pod="p-{index}",vgpu="{index}"}} {value}\n'
            for index in range(3)
            for value in (600_000,)
        ).encode(),
        at=1.0,
        node_name="n",
    )
    assert isinstance(page, ExporterReading)
    replicas = tuple(
        replace(found, pod=replace(found.pod, node_name="n"))
        for found in (replica(SimPod(name=f"p-{index}", gpus=1 / 3), T0) for index in range(3))
    )
    ((_, holdings),) = attribute(Fleet(replicas=replicas), {"n": page})
    assert sum(holding.power_share for holding in holdings) == pytest.approx(1)
    assert sum(holding.gpus for holding in holdings) == pytest.approx(1)
    assert all(holding.estimated for holding in holdings)


def test_T17_a_mig_slice_has_its_share_of_the_boards_power_and_not_all_of_it() -> None:
    page = dcgm.parse(
        (
            f'{ENERGY}{{gpu="0",UUID="GPU-1",GPU_I_ID="1",GPU_I_PROFILE="1g.10gb",'
            'namespace="serving",pod="p-0"} 700000\n'
        ).encode(),
        at=1.0,
        node_name="node-of-p-0",
    )
    assert isinstance(page, ExporterReading)
    mine = replica(SimPod(name="p-0", gpus=1 / 7), T0)
    ((board, (holding,)),) = attribute(Fleet(replicas=(mine,)), {"node-of-p-0": page})
    assert board.millijoules == 700_000
    assert holding.power_share == pytest.approx(1 / 7)


@pytest.mark.parametrize(
    ("name", "pod_name", "expected"),
    [
        ("8xh200-4.8.2", "llama-70b-decode-0", 2103.5),
        ("8xh200-4.8.2", "qwen3-32b-7c9d6f9b5-x2lqp", 612.4),
    ],
)
def test_T16_watts_of_a_captured_node_are_those_of_its_energy(
    name: str, pod_name: str, expected: float
) -> None:
    assert watts(name, pod_name)[0] == pytest.approx(expected, abs=0.1)


def test_T18_shares_of_a_gpu_are_fractions_and_other_resources_are_no_gpus() -> None:
    sliced = gpus_held(
        pod(container={"resources": {"limits": {"nvidia.com/gpu": "2"}}}), node(nvidia_replicas="4")
    )
    assert sliced == pytest.approx(0.5)
    foreign = gpus_held(pod(container={"resources": {"limits": {"example.com/gpu": "1"}}}), node())
    assert foreign == 0


def test_T18_claimed_gpus_count_once_however_many_pods_share_the_claim_and_admin_access_never() -> None:
    whole = claim(result("gpu-0"), result("gpu-1"), result("gpu-2", adminAccess=True))
    assert gpus(fleet_of(claiming("web-0", "a"), a=whole)) == [2.0]
    shared = claim(result("gpu-0"), users=("uid-web-0", "uid-web-1"))
    assert sum(gpus(fleet_of(claiming("web-0", "a"), claiming("web-1", "a"), a=shared))) == pytest.approx(1)


def test_T18_gpus_that_only_dcgm_sees_are_paid_for() -> None:
    """A privileged container without a limit holds GPUs all the same."""
    hidden = SimPod(name="a", gpus=8.0)
    sim = Sim((hidden,))
    situation = sim.situation(T0)
    bare = replace(situation.fleet.replicas[0], gpus=0.0)
    from tokenfactory.costing.assess import assess

    _, found = assess(replace(situation, fleet=Fleet(replicas=(bare,))), None)
    assert isinstance(found.gpus.held, Known)
    assert found.gpus.held.value == 8.0


def test_T20_a_built_in_price_names_its_source_its_day_and_that_it_is_a_placeholder() -> None:
    found = ask(facts=HardwareFacts("NVIDIA-GB300"))
    assert found.source is PriceSource.REFERENCE
    assert found.as_of == "2026-04-03"
    assert "SemiAnalysis" in found.source_text
    assert found.placeholder


@pytest.mark.parametrize("price", ["0", "-1", "0.0019", "1029.3"])
def test_T20_a_price_of_nothing_or_730_times_off_is_refused_and_falls_through_to_no_other(price: str) -> None:
    found = ask(priced(price))
    assert isinstance(found.per_gpu_hour, Missing)
    assert found.problem is PriceProblem.PRICE_OUT_OF_BOUNDS


@pytest.mark.parametrize("price", ["0", "-3", "NaN"])
def test_T20_a_price_of_nothing_is_refused_in_every_currency(price: str) -> None:
    found = ask(replace(priced(price), currency="EUR"))
    assert found.problem is PriceProblem.PRICE_OUT_OF_BOUNDS


def test_T20_a_spot_price_holds_for_spot_nodes_only() -> None:
    spot = PriceEntry(
        match=HardwareMatch(capacity_type="spot"),
        per_gpu_hour=Decimal("0.7"),
        source="spot",
        as_of="2026-04-15",
    )
    factory = Factory(prices=(spot,), price_order=(PriceSource.FACTORY,))
    assert isinstance(ask(factory, replace(H200, capacity_type="Spot")).per_gpu_hour, Known)
    assert isinstance(ask(factory, replace(H200, capacity_type="OnDemand")).per_gpu_hour, Missing)


def test_T20_owning_is_spread_over_every_hour_of_its_life_and_pays_electricity_once() -> None:
    entry = OwnershipEntry(
        match=HardwareMatch(),
        purchase_price_per_gpu=Decimal(35040),
        amortization_years=4,
        yearly_maintenance_fraction=Decimal("0.05"),
        as_of="2026-01-01",
    )
    cost, problem = cost_of_owning(
        entry, PowerTerms(pue=1.5, price_per_kilowatt_hour=Decimal("0.10")), "NVIDIA-H200"
    )
    assert problem == ""
    assert cost == pytest.approx(Decimal("1.0") + Decimal("0.2") + Decimal("0.173"))
