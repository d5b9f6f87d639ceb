"""The demo's referee: what the operator says, against what is true."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tokenfactory.sandbox.fleet import WRONG, PoolPlan
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.truth import state_truth

METRICS_TOLERANCE = 0.01
STATUS_TOLERANCE = 0.03
READINGS_APART = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison with the truth."""

    what: str
    ok: bool
    detail: str


class Referee:
    """Compares a running operator with the truth of its scene."""

    def __init__(self, scene: Scene, operator: OperatorProcess) -> None:
        self._scene = scene
        self._operator = operator

    def first_scrape(self) -> bool:
        """Whether the operator has scraped anything yet."""
        page = self._operator.get("/metrics")[1]
        return any(
            line.startswith("tokenfactory_scrapes_total") and not line.endswith(" 0.0")
            for line in page.splitlines()
        )

    def compare_metrics(self) -> tuple[Check, ...]:
        """The operator's /metrics now, against the truth."""
        page = self._operator.get("/metrics")[1]
        per_gpu = read_series(page, "tokenfactory_pool_tokens_per_second_per_gpu")
        per_hour = read_series(page, "tokenfactory_pool_cost_per_hour")
        per_million = read_series(page, "tokenfactory_pool_cost_per_million_tokens", basis="total")
        watts = read_series(page, "tokenfactory_pool_power_watts", basis="measured")
        checks: list[Check] = []
        for plan in self._scene.fleet.plans:
            truth = state_truth(plan)
            rows = [("$/h", per_hour, truth.dollars_per_hour), ("W", watts, truth.watts)]
            if plan.serves:
                rows.append(("tok/s/GPU", per_gpu, truth.tokens_per_second_per_gpu))
                rows.append(("$/Mtok", per_million, truth.dollars_per_million or 0.0))
            checks += [
                compare(f"{plan.name} {unit}", series.get(plan.name), true, tolerance=METRICS_TOLERANCE)
                for unit, series, true in rows
            ]
        return tuple(checks)

    def compare_status(self) -> tuple[Check, ...]:
        """The statuses that the API server holds, against the truth."""
        checks: list[Check] = []
        for plan in self._scene.fleet.plans:
            checks += self._compare_pool(plan)
        stalled = self._scene.condition(WRONG["metadata"]["name"], "Stalled").get("status")
        checks.append(Check("the wrong pool is Stalled=True", stalled == "True", f"Stalled={stalled}"))
        return tuple(checks)

    def _compare_pool(self, plan: PoolPlan) -> list[Check]:
        truth = state_truth(plan)
        status = self._scene.status(plan.name)
        cost, throughput = status.get("cost") or {}, status.get("throughput") or {}
        checks = [
            compare(
                f"{plan.name} status $/h",
                _number(cost.get("perHour")),
                truth.dollars_per_hour,
                tolerance=STATUS_TOLERANCE,
            )
        ]
        if not plan.serves:
            blank = "perMillionTokens" not in cost
            checks.append(
                Check(f"{plan.name} status $/MTOK is blank", blank, "blank" if blank else str(cost))
            )
            return checks
        checks.append(
            compare(
                f"{plan.name} status $/Mtok",
                _number(cost.get("perMillionTokens")),
                truth.dollars_per_million or 0.0,
                tolerance=STATUS_TOLERANCE,
            )
        )
        checks.append(
            compare(
                f"{plan.name} status tok/s/GPU",
                _number(throughput.get("tokensPerSecondPerGPU")),
                truth.tokens_per_second_per_gpu,
                tolerance=STATUS_TOLERANCE,
            )
        )
        return checks

    def judge(self, *, until: float) -> tuple[Check, ...]:
        """Two readings of /metrics 10 s apart, the second at `until` (monotonic), then the status."""
        _sleep_until(until - READINGS_APART - 1.0)
        first = self.compare_metrics()
        _sleep_until(until)
        return (*first, *self.compare_metrics(), *self.compare_status())


def compare(what: str, seen: float | None, true: float, *, tolerance: float) -> Check:
    """Whether `seen` is within the relative `tolerance` of the truth."""
    if seen is None:
        return Check(what, ok=False, detail=f"absent, truth {true:.5g}")
    error = abs(seen - true) / true
    return Check(what, ok=error <= tolerance, detail=f"{seen:.5g}, truth {true:.5g} ({error:.2%})")


def _number(text: Any) -> float | None:
    return None if text is None else float(text)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
