"""Every published number with its formula, inputs, pods, window, basis, grade and source, unrounded.

What `tokenfactory explain` prints. The pods' rows add up to the inputs, the inputs evaluate to the figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from tokenfactory.measure import Known, Measure, Missing, value_of
from tokenfactory.model import (
    Account,
    Economics,
    Move,
    OptimizationRow,
    PodAccount,
    PodFigures,
    PoolKey,
    Tokens,
    Verdict,
)
from tokenfactory.publishing.beside import list_beside
from tokenfactory.publishing.formulas import ALL_COVERED, COST, ESTIMATED, MONEY, OTHERS, Formula, rates
from tokenfactory.publishing.text import clean, plain, present, timestamp

SAVINGS = {
    "KVCacheOffloading": "inputCost × loadedTokens ÷ (inputTokens − cachedInputTokens)",
    "SpeculativeDecoding": "outputCost × acceptedTokens ÷ (outputTokens − acceptedTokens)",
    "MultiTokenPrediction": "outputCost × acceptedTokens ÷ (outputTokens − acceptedTokens)",
}
PER_MILLION = " ÷ (inputTokens + outputTokens) × 1000000"
NO_GPU_HELD = "price of one GPU-hour: no GPU is held now"
SAMPLED = "running requests at each scrape, averaged over the window: no counter tells"
ACCEPTANCE = "1 + accepted tokens over drafts, of the replicas that are there now"
TEXT_BYTES = 1024
UNKNOWN_NAME = "(gone)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The Prometheus that the pages came from, and its queries: (pages of what, namespace, PromQL)."""

    url: str
    tenant: str
    queries: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What an explanation is made of: one cycle, its account, and the names of the pods that are there.

    `recording` is None where the pages were read from the pods themselves.
    """

    key: PoolKey
    economics: Economics
    verdict: Verdict
    account: Account
    names: Mapping[str, str]
    recording: Recording | None = None


def explain(given: Explained) -> dict[str, Any]:
    """The whole explanation as a document. Numbers are strings, unrounded; what is unknown says why."""
    economics, account = given.economics, given.account
    return {
        "pool": str(given.key),
        "observationTime": timestamp(economics.at),
        "window": {
            "start": timestamp(account.start),
            "end": timestamp(account.end),
            "seconds": plain(account.seconds),
            "full": economics.window_full,
            "coverage": f"{economics.coverage.scraped}/{economics.coverage.expected}",
        },
        "pages": _pages(given.recording),
        "price": _price(economics),
        "inputs": [{"name": name, "value": plain(value)} for name, value in _inputs(given).items()],
        "figures": [_figure(formula, given) for formula in _formulas(given)]
        + [row for each in given.verdict.rows for row in _optimization(each, account)],
        "pods": [_pod(pod, given) for pod in account.pods],
        "beside": list_beside(economics),
        "frontends": economics.frontends.value,
        "moved": _moved(economics.moved),
    }


def _formulas(given: Explained) -> Iterator[Formula]:
    held = isinstance(given.economics.cost.per_hour, Known)
    for formula in COST:
        priced = held or formula.path != "cost.perGPUHour"
        yield formula if priced else replace(formula, text=NO_GPU_HELD)
    concurrency = given.economics.throughput.concurrency
    sampled = isinstance(concurrency, Known) and "sampled" in concurrency.basis
    for formula in rates(ALL_COVERED if given.economics.coverage.complete else ESTIMATED):
        counted = not sampled or formula.path != "throughput.concurrency"
        yield formula if counted else replace(formula, text=SAMPLED)
    yield from OTHERS


def _pages(recording: Recording | None) -> dict[str, Any]:
    """Where the metrics pages came from. Asked at both ends of the window, the queries show its counters."""
    if recording is None:
        return {"from": "Pods"}
    return present(
        {
            "from": "Prometheus",
            "url": recording.url,
            "tenant": recording.tenant,
            "queries": [
                {"of": of, "namespace": namespace, "query": query}
                for of, namespace, query in recording.queries
            ],
        }
    )


def _price(economics: Economics) -> dict[str, Any]:
    quote = economics.price
    return present(
        {
            "currency": quote.currency,
            "source": quote.source.value if quote.source else None,
            "text": clean(quote.source_text, limit=TEXT_BYTES),
            "asOf": quote.as_of,
            "placeholder": quote.placeholder or None,
            "problem": quote.problem.value if quote.problem else None,
            "message": clean(quote.message, limit=TEXT_BYTES),
        }
    )


def _inputs(given: Explained) -> dict[str, Decimal | float]:
    """The sums over the pods, and what was configured; an input that is not known is left out."""
    account, pods, economics = given.account, given.account.pods, given.economics
    watts = [row.measured_watts for row in economics.pods if row.measured_watts is not None]
    found: dict[str, Decimal | float | None] = {
        "windowSeconds": account.seconds,
        "gpusHeld": _add(pod.gpus for pod in pods),
        "gpuSecondsHeld": _add(pod.gpu_seconds for pod in pods),
        "gpuSecondsServing": _add(pod.serving for pod in pods),
        "gpuSecondsIdle": _add(pod.idle for pod in pods),
        "gpuSecondsLoading": _add(pod.loading for pod in pods),
        "costPerHourOfGPUsHeld": value_of(economics.cost.per_hour),
        "windowCost": _sum(pod.cost for pod in pods),
        "inputCost": _sum(pod.input_cost for pod in pods),
        "outputCost": _sum(pod.output_cost for pod in pods),
        "inputTokens": _add(pod.input_tokens for pod in pods),
        "cachedInputTokens": _cached(given),
        "outputTokens": _add(pod.output_tokens for pod in pods),
        "prefillSeconds": _add(pod.prefill_seconds for pod in pods),
        "decodeSeconds": _add(pod.decode_seconds for pod in pods),
        "interTokenSeconds": _add(pod.inter_token_seconds for pod in pods),
        "outputTokensAsMade": _add(pod.made_tokens for pod in pods),
        "acceptedTokens": _add(pod.accepted_tokens for pod in pods),
        "loadedTokens": _add(pod.loaded_tokens for pod in pods),
        "measuredWatts": value_of(economics.measured.watts) if watts else None,
        "energyWindowSeconds": account.energy_seconds,
        "energyWindowTokens": account.energy_tokens,
        "energyWindowGPUSeconds": account.energy_gpu_seconds,
        "energyWindowGPUs": account.energy_gpus,
        "provisionedWatts": value_of(economics.provisioned.watts),
        "provisionedWattsPerGPU": account.provisioned_watts_per_gpu,
        "pue": account.pue or 1.0,
        "gramsCO2PerKilowattHour": account.grams_per_kilowatt_hour,
        "referenceTokensPerSecondPerGPU": account.reference_per_gpu,
        "tokensPerMonth": account.tokens_per_month,
    }
    return {name: value for name, value in found.items() if value is not None}


def _cached(given: Explained) -> float:
    """Never more than the input: on a disaggregated pool the two come from different pods (§3)."""
    pods = given.account.pods
    return min(_add(pod.cached_tokens for pod in pods), _add(pod.input_tokens for pod in pods))


def _figure(formula: Formula, given: Explained) -> dict[str, Any]:
    measure = formula.pick(given.economics, given.verdict)
    if isinstance(measure, Known):
        measure = _scaled(measure, formula)
    return _row(formula.path, measure, text=formula.text, unit=formula.unit, section=formula.section) | {
        "unit": formula.unit.replace(MONEY, given.account.currency)
    }


def _scaled(measure: Known[Any], formula: Formula) -> Known[Any]:
    value: Any = measure.value
    if isinstance(value, Tokens):
        value = {
            "throughput.tokensPerSecond": value.total,
            "throughput.inputTokensPerSecond": value.uncached_input + value.cached_input,
            "throughput.outputTokensPerSecond": value.output,
        }[formula.path]
    return Known(
        value=value if formula.scale == 1.0 else value * formula.scale,
        basis=measure.basis,
        source=measure.source,
        grade=measure.grade,
        window_seconds=measure.window_seconds,
    )


def _optimization(row: OptimizationRow, account: Account) -> Iterator[dict[str, Any]]:
    """What a row of the optimizations publishes as a number: its saving, its acceptance length."""
    path = f"optimizations.{row.name.value}"
    if isinstance(row.saving, Known):
        yield _row(
            f"{path}.savingPerMillionTokens",
            row.saving,
            text=SAVINGS[row.name.value] + PER_MILLION,
            unit=f"{account.currency} per million tokens (Total)",
            section="§12",
        )
    if row.acceptance_length is not None:
        length = Known(value=row.acceptance_length, basis=ACCEPTANCE, source="engine counters")
        yield _row(
            f"{path}.acceptanceLength", length, text=ACCEPTANCE, unit="tokens per decode step", section="§12"
        )


def _row(path: str, measure: Measure[Any], *, text: str, unit: str, section: str) -> dict[str, Any]:
    head = {"name": path, "unit": unit, "formula": text, "section": f"docs/cost-model.md {section}"}
    if isinstance(measure, Missing):
        return head | present({"absent": measure.reason.value, "detail": clean(measure.detail, limit=512)})
    return {
        **head,
        "value": plain(measure.value),
        "grade": measure.grade.value,
        "basis": clean(measure.basis, limit=TEXT_BYTES),
        "source": clean(measure.source, limit=TEXT_BYTES),
        **present(
            {
                "windowSeconds": None if measure.window_seconds is None else plain(measure.window_seconds),
            }
        ),
    }


def _pod(pod: PodAccount, given: Explained) -> dict[str, Any]:
    """One row; its columns sum up to the inputs of the same name."""
    figures = next((row for row in given.economics.pods if row.pod_uid == pod.pod_uid), None)
    name = given.names.get(pod.pod_uid, UNKNOWN_NAME)
    return present(
        {
            "pod": clean(name, limit=253),
            "uid": clean(pod.pod_uid, limit=64),
            "role": pod.role.value,
            "product": clean(pod.product, limit=128),
            "pricePerGPUHour": None if pod.price is None else plain(pod.price),
            "priceSource": clean(pod.price_source, limit=TEXT_BYTES),
            "estimated": pod.estimated or None,
            "inputs": {name: plain(value) for name, value in _amounts(pod, figures) if value is not None},
        }
    )


def _amounts(pod: PodAccount, figures: PodFigures | None) -> tuple[tuple[str, Decimal | float | None], ...]:
    return (
        ("gpusHeld", pod.gpus),
        ("gpuSecondsHeld", pod.gpu_seconds),
        ("gpuSecondsServing", pod.serving),
        ("gpuSecondsIdle", pod.idle),
        ("gpuSecondsLoading", pod.loading),
        ("windowCost", pod.cost),
        ("inputCost", pod.input_cost),
        ("outputCost", pod.output_cost),
        ("inputTokens", pod.input_tokens),
        ("cachedInputTokens", pod.cached_tokens),
        ("outputTokens", pod.output_tokens),
        ("prefillSeconds", pod.prefill_seconds),
        ("decodeSeconds", pod.decode_seconds),
        ("interTokenSeconds", pod.inter_token_seconds),
        ("outputTokensAsMade", pod.made_tokens),
        ("acceptedTokens", pod.accepted_tokens),
        ("loadedTokens", pod.loaded_tokens),
        ("tokensPerSecond", figures.tokens_per_second if figures else None),
        ("costPerHourOfGPUsHeld", figures.cost_per_hour if figures else None),
        ("measuredWatts", figures.measured_watts if figures else None),
        ("provisionedWatts", figures.provisioned_watts if figures else None),
    )


def _moved(measure: Measure[Move]) -> dict[str, Any]:
    """The change against the window before (§11); its parts add up to it."""
    if isinstance(measure, Missing):
        return present({"absent": measure.reason.value, "detail": measure.detail})
    move = measure.value
    return {
        "from": timestamp(move.before.at),
        "to": timestamp(move.after.at),
        "before": plain(move.before.cost),
        "after": plain(move.after.cost),
        "change": plain(move.change),
        "basis": measure.basis,
        "grade": measure.grade.value,
        "section": "docs/cost-model.md §11",
        "parts": [
            {"part": part.mover.value}
            | {
                name: plain(value)
                for name, value in (("before", part.before), ("after", part.after), ("change", part.change))
                if value is not None
            }
            for part in move.parts
        ],
    }


def _add(values: Iterable[float]) -> float:
    return sum(values, 0.0)


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    """None as soon as one part is not known: part of a sum would read as the whole."""
    total = Decimal(0)
    for value in values:
        if value is None:
            return None
        total += value
    return total
