"""What `explain` prints can be checked by hand: pods add up to inputs, formulas evaluate to figures (§13)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property.test_conservation_of_cost import END, fleets, losses
from tests.support import subjects
from tests.unit.costing.synthetic import FAMILIES, POOL, T0, TERMS, Sim, SimPod
from tokenfactory.costing.itemize import itemize
from tokenfactory.measure import Grade, Known
from tokenfactory.model import Factory, PowerTerms, Role, Signal, Verdict
from tokenfactory.publishing.explanation import NO_GPU_HELD, Explained, explain

few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
POWER = PowerTerms(pue=1.2, grams_co2_per_kilowatt_hour=380.0)
RICH = replace(TERMS, factory=replace(Factory(), power=POWER))
IN_WORDS = (
    "energy.measured.coverage",
    "efficiency.ofBaseline",
    "efficiency.load",
    "gpus.observed",
    "gpus.busyShare",
    "gpus.tensorActiveShare",
    "gpus.memoryUsedShare",
    "gpus.throttledShare",
    "latency.",
    "acceptanceLength",
)


def explained(sim: Sim, verdict: Verdict | None = None) -> dict[str, Any]:
    assert sim.ledger is not None
    economics = sim.history[-1]
    return explain(
        Explained(
            key=sim.pool.key,
            economics=economics,
            verdict=verdict or subjects.verdict(),
            account=itemize(sim.pool, sim.terms, sim.ledger, economics),
            names={pod.uid or pod.name: pod.name for pod in sim.pods},
        )
    )


def inputs_of(document: Mapping[str, Any]) -> dict[str, Decimal]:
    return {row["name"]: Decimal(row["value"]) for row in document["inputs"]}


def evaluate(formula: str, inputs: Mapping[str, Decimal]) -> Decimal:
    """The formula as a person would work it out: its names are inputs, its signs are the usual ones."""
    text = formula.replace("×", "*").replace("÷", "/").replace("−", "-")
    text = re.sub(r"\b[0-9]+(\.[0-9]+)?\b", lambda found: f"Decimal('{found[0]}')", text)
    value: Decimal = eval(text, {"Decimal": Decimal, "__builtins__": {}}, dict(inputs))
    return value


def in_words(name: str) -> bool:
    return any(part in name for part in IN_WORDS)


def check(document: Mapping[str, Any]) -> int:
    """Evaluates every figure that is there; returns how many were."""
    inputs = inputs_of(document)
    done = 0
    for row in document["figures"]:
        if "value" in row and not in_words(row["name"]) and row["formula"] != NO_GPU_HELD:
            assert float(row["value"]) == pytest.approx(
                float(evaluate(row["formula"], inputs)), rel=1e-9, abs=1e-12
            ), row["name"]
            done += 1
    return done


@given(fleets, losses, st.sampled_from((Role.AGGREGATED, Role.PREFILL)))
@few
def test_pods_add_up_and_formulas_evaluate_whatever_happens_to_the_fleet(
    fleet: tuple[SimPod, ...], lost: frozenset[tuple[int, int]], first: Role
) -> None:
    other = Role.DECODE if first is Role.PREFILL else Role.AGGREGATED
    roles = (first, *(other for _ in fleet[1:]))
    sim = Sim(
        tuple(replace(pod, role=role) for pod, role in zip(fleet, roles, strict=True)),
        terms=RICH,
        lost=lambda pod, t: (int(pod.name[1:]), round((t - T0) / 15)) in lost,
    )
    sim.run(T0, END)
    document = explained(sim)
    inputs, pods = inputs_of(document), document["pods"]
    for name in set(inputs) & {key for pod in pods for key in pod["inputs"]}:
        if name in ("cachedInputTokens", "provisionedWatts"):
            continue
        total = sum(Decimal(pod["inputs"].get(name, "0")) for pod in pods)
        assert float(total) == pytest.approx(float(inputs[name]), rel=1e-9, abs=1e-9), name
    check(document)


def test_a_rich_pool_has_every_figure_that_can_be_evaluated() -> None:
    pod = SimPod(name="a", more=((Signal.ACCEPTED_TOKENS, 50.0), (Signal.OFFLOAD_HIT_TOKENS, 80.0)))
    sim = Sim((pod, replace(pod, name="b")), pool=replace(POOL, tokens_per_month=10**10), terms=RICH)
    economics = sim.run(T0, T0 + 450)
    rows = tuple(
        replace(
            row,
            saving=economics.savings.offloading if "KV" in row.name else economics.savings.speculation,
            acceptance_length=None,
        )
        for row in subjects.rows()
        if row.name.value in ("KVCacheOffloading", "SpeculativeDecoding")
    )
    document = explained(sim, subjects.verdict(rows=rows))
    assert check(document) == 27
    units = {row["name"]: row["unit"] for row in document["figures"]}
    assert units["cost.perMillionTokens"] == "USD per million tokens (Total)"
    assert {row["section"][:18] for row in document["figures"]} == {"docs/cost-model.md"}


def test_energy_over_a_window_of_its_own_evaluates_from_inputs_of_its_own() -> None:
    sim = Sim((SimPod(name="a"), SimPod(name="b", prompt=60.0)), terms=replace(RICH, window_seconds=60))
    sim.run(T0, T0 + 600)
    document = explained(sim)
    inputs = inputs_of(document)
    assert (inputs["windowSeconds"], inputs["energyWindowSeconds"]) == (60, 300)
    check(document)


def test_a_concurrency_that_no_counter_tells_is_explained_in_words() -> None:
    bare = SimPod(name="a", families=FAMILIES - {Signal.INTER_TOKEN_SECONDS})
    sim = Sim((bare,))
    sim.run(T0, T0 + 400)
    rows = {row["name"]: row for row in explained(sim)["figures"]}
    assert float(rows["throughput.concurrency"]["value"]) == pytest.approx(5.0)
    assert "at each scrape" in rows["throughput.concurrency"]["formula"]


def test_every_number_of_a_status_is_explained_and_rounds_to_what_stands_there() -> None:
    from tokenfactory.publishing.status import render
    from tokenfactory.units import significant

    sim = Sim(
        (SimPod(name="a", more=((Signal.ACCEPTED_TOKENS, 50.0),)),),
        pool=replace(POOL, tokens_per_month=10**10),
        terms=RICH,
    )
    economics = sim.run(T0, T0 + 450)
    verdict = subjects.verdict()
    document = render(subjects.subject(economics=economics, verdict=verdict), None)
    figures = {row["name"]: row for row in explained(sim, verdict)["figures"]}
    numbers = {
        path: value
        for section in ("gpus", "cost", "throughput", "latency", "energy", "efficiency")
        for path, value in leaves(document.get(section, {}), section)
        if re.fullmatch(r"[0-9.]+", value)
    }
    assert len(numbers) > 25
    for path, value in numbers.items():
        assert significant(Decimal(figures[path]["value"])) == value, path


def leaves(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in leaves(item, f"{path}.{name}")]
    return [(path, value)] if isinstance(value, str) else []


def test_a_number_that_is_not_known_says_why_and_a_gone_pod_keeps_its_row() -> None:
    sim = Sim(
        (SimPod(name="a"), SimPod(name="b", gone_at=T0 + 200)), pool=replace(POOL, price_per_gpu_hour=None)
    )
    sim.run(T0, T0 + 400)
    sim.pods = sim.pods[:1]
    document = explained(sim)
    rows = {row["name"]: row for row in document["figures"]}
    assert "value" in rows["cost.perMillionTokens"]
    assert rows["efficiency.ofReference"]["absent"] == "NotConfigured"
    gone = next(pod for pod in document["pods"] if pod["uid"] == "b")
    assert gone["pod"] == "(gone)"
    assert float(gone["inputs"]["gpusHeld"]) == 0
    assert float(gone["inputs"]["outputTokens"]) > 0


def test_nothing_is_rounded_and_no_exponent_is_printed() -> None:
    sim = Sim((SimPod(name="a", gpus=1 / 7, prompt=7000.0, output=11.0),))
    sim.run(T0, T0 + 400)
    document = explained(sim)
    values = [row["value"] for row in (*document["inputs"], *document["figures"]) if "value" in row]
    assert all(re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) for value in values)
    assert any(len(value) > 15 for value in values)


def test_a_saving_carries_its_formula_and_is_an_estimate() -> None:
    sim = Sim((SimPod(name="a", more=((Signal.ACCEPTED_TOKENS, 50.0),)),))
    found = sim.run(T0, T0 + 400).savings.speculation
    assert isinstance(found, Known)
    assert found.grade is Grade.ESTIMATED
