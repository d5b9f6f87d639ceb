"""ConfigMaps of serving pods: asked for by name, remembered for a while, never fatal."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tokenfactory.errors import Forbidden, Unavailable
from tokenfactory.runtime.configmaps import MOST_REMEMBERED, ClusterConfigMaps
from tokenfactory.runtime.kube import ApiError, Collection, Kube


class Api:
    """Answers `get` with what the test put there, and counts."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.now = 0.0

    async def get(self, where: Collection, name: str) -> dict[str, Any]:
        self.asked.append(where.path(name))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def reader(self) -> ClusterConfigMaps:
        return ClusterConfigMaps(cast(Kube, self), clock=lambda: self.now)


BODY = {"metadata": {"name": "flags"}, "data": {"config.yaml": "a: 1", "broken": 3}}


async def test_it_is_asked_for_by_name_in_the_pools_namespace_and_then_remembered() -> None:
    api = Api(BODY)
    reader = api.reader()
    for _ in range(3):
        found = await reader.read("serving", "flags")
        assert found is not None
        assert dict(found.data) == {"config.yaml": "a: 1"}
    assert api.asked == ["/api/v1/namespaces/serving/configmaps/flags"]


async def test_after_a_while_it_is_asked_for_again() -> None:
    api = Api(BODY)
    reader = api.reader()
    await reader.read("serving", "flags")
    api.now, api.answer = 800.0, {**BODY, "data": {"config.yaml": "a: 2"}}
    found = await reader.read("serving", "flags")
    assert found is not None
    assert found.data["config.yaml"] == "a: 2"


@pytest.mark.parametrize("answer", [Forbidden("403"), ApiError(404, "", is_status_object=True)])
async def test_one_that_is_absent_or_forbidden_is_none_and_not_asked_for_at_once(answer: Exception) -> None:
    api = Api(answer)
    reader = api.reader()
    assert [await reader.read("serving", "flags") for _ in range(2)] == [None, None]
    assert len(api.asked) == 1


async def test_while_the_api_server_is_away_what_was_read_last_holds() -> None:
    api = Api(BODY)
    reader = api.reader()
    before = await reader.read("serving", "flags")
    api.now, api.answer = 800.0, Unavailable("gone")
    assert await reader.read("serving", "flags") == before


@pytest.mark.parametrize("error", [Unavailable("gone"), ApiError(500, "", is_status_object=False)])
async def test_one_never_read_is_no_answer_but_a_cycle_to_be_tried_again(error: Exception) -> None:
    with pytest.raises(Unavailable):
        await Api(error).reader().read("serving", "flags")


async def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    api = Api(BODY)
    reader = api.reader()
    for number in range(MOST_REMEMBERED + 1):
        await reader.read("serving", f"flags-{number}")
    await reader.read("serving", "flags-1")
    assert len(api.asked) == MOST_REMEMBERED + 1
    await reader.read("serving", "flags-0")
    assert len(api.asked) == MOST_REMEMBERED + 2
