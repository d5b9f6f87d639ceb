"""What is true of a plan, from the sandbox's own rates and prices. None of the operator's code is used."""

from __future__ import annotations

from dataclasses import dataclass

from tokenfactory.sandbox.fleet import PoolPlan, ReplayedFleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The true figures of one pool. `dollars_per_million` is None for a pool without traffic."""

    tokens_per_second_per_gpu: float
    dollars_per_hour: float
    dollars_per_million: float | None
    watts: float


def state_truth(plan: PoolPlan) -> Truth:
    """$/Mtok = $/h over the million tokens made in that hour."""
    return _state(plan, plan.workload.total * plan.replicas)


def state_truth_now(fleet: ReplayedFleet, plan: PoolPlan) -> Truth:
    """The same of what the plan's engines do at this moment, whatever they were planned to do."""
    engines = [engine for engine in fleet.engines.values() if engine.plan.name == plan.name]
    return _state(plan, sum(engine.odometer.workload.total for engine in engines))


def _state(plan: PoolPlan, tokens_per_second: float) -> Truth:
    per_hour = float(plan.per_gpu_hour) * plan.gpus
    return Truth(
        tokens_per_second_per_gpu=tokens_per_second / plan.gpus,
        dollars_per_hour=per_hour,
        dollars_per_million=per_hour / (tokens_per_second * 3600 / 1e6) if tokens_per_second else None,
        watts=plan.watts_per_gpu * plan.gpus,
    )
