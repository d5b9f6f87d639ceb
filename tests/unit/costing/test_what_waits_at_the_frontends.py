"""Requests in the queue of a frontend's router are demand that no engine shows (docs/cost-model.md §10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokenfactory.costing.companions import add_queue, is_queueing
from tokenfactory.measure import Absence, Missing
from tokenfactory.model import CompanionFigures, CompanionKind, EngineId, Role, RoleLoad

FRONTEND = CompanionFigures(
    id=EngineId("f", "main", "dynamo-frontend"),
    kind=CompanionKind.DYNAMO_FRONTEND,
    pod="f",
    node="n",
    fresh=True,
    waiting=5.0,
    waiting_mean=4.0,
    models=("m",),
)


def load(role: Role) -> RoleLoad:
    unknown = Missing(Absence.NOT_SCRAPED)
    return RoleLoad(
        role=role,
        tokens=0.0,
        per_ready_gpu=unknown,
        concurrency=unknown,
        running=8.0,
        waiting=1.0,
        fresh_share=1.0,
        ready_replicas=2,
        waiting_mean=0.5,
    )


def waiting(loads: tuple[RoleLoad, ...]) -> dict[Role, tuple[float, float]]:
    return {item.role: (item.waiting, item.waiting_mean) for item in loads}


@pytest.mark.parametrize(
    ("roles", "judged"),
    [
        ((Role.AGGREGATED,), Role.AGGREGATED),
        ((Role.PREFILL, Role.DECODE), Role.DECODE),
        ((Role.AGGREGATED, Role.PREFILL, Role.DECODE), Role.DECODE),
    ],
)
def test_they_wait_for_the_role_that_is_judged(roles: tuple[Role, ...], judged: Role) -> None:
    found = waiting(add_queue(tuple(map(load, roles)), (FRONTEND, FRONTEND)))
    assert found.pop(judged) == (11.0, 8.5)
    assert set(found.values()) <= {(1.0, 0.5)}


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param((), id="no frontend"),
        pytest.param((replace(FRONTEND, fresh=False),), id="one that was not read"),
        pytest.param((replace(FRONTEND, models=("m", "other")),), id="one of two models"),
        pytest.param((replace(FRONTEND, kind=CompanionKind.CACHE_SERVER),), id="no frontend at all"),
    ],
)
def test_where_frontends_do_not_speak_for_the_pool_only_engines_queues_count(
    beside: tuple[CompanionFigures, ...],
) -> None:
    loads = (load(Role.AGGREGATED),)
    assert add_queue(loads, beside) is loads
    assert not is_queueing(beside)


def test_a_frontend_that_is_not_ready_serves_nobody_and_hides_no_other() -> None:
    starting = replace(FRONTEND, ready=False, fresh=False, waiting=0.0, waiting_mean=0.0)
    assert is_queueing((FRONTEND, starting))
    assert not is_queueing((starting,))


def test_a_queue_at_the_frontend_says_that_demand_is_not_the_limit() -> None:
    assert is_queueing((FRONTEND,))
    assert not is_queueing((replace(FRONTEND, waiting=9.0, waiting_mean=0.0),))
