"""The desk tells its listener about specs that changed, whatever their generation says."""

from __future__ import annotations

from typing import Any

from tokenfactory.model import InvalidPool, Pool
from tokenfactory.runtime.desk import Desk


def _body(
    spec: dict[str, Any], *, generation: int = 1, status: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "metadata": {"name": "chat", "namespace": "serving", "uid": "u1", "generation": generation},
        "spec": {"selector": {"matchLabels": {"app": "chat"}}, **spec},
        "status": status or {},
    }


def _listening() -> tuple[Desk, list[str]]:
    desk, heard = Desk(), list[str]()
    desk.listen(heard.append)
    return desk, heard


def test_a_status_that_changed_is_remembered_and_nobody_is_told() -> None:
    desk, heard = _listening()
    desk.take_pool("ADDED", _body({}))
    desk.take_pool("MODIFIED", _body({}, status={"windowSeconds": 30}))
    seen = desk.pool("u1")
    assert heard == ["u1"]
    assert seen is not None
    assert seen.status == {"windowSeconds": 30}


def test_a_spec_of_the_same_generation_with_a_field_that_an_old_schema_had_hidden_is_read_anew() -> None:
    desk, heard = _listening()
    desk.take_pool("ADDED", _body({}))
    desk.take_pool("MODIFIED", _body({"windowSeconds": 60}))
    seen = desk.pool("u1")
    assert heard == ["u1", "u1"]
    assert seen is not None
    assert isinstance(seen.resource, Pool)
    assert seen.resource.window_seconds == 60


def test_an_invalid_spec_is_not_served_from_an_earlier_valid_one() -> None:
    desk, heard = _listening()
    desk.take_pool("ADDED", _body({}))
    desk.take_pool("MODIFIED", _body({"windowSecond": 60}))
    seen = desk.pool("u1")
    assert heard == ["u1", "u1"]
    assert seen is not None
    assert isinstance(seen.resource, InvalidPool)
    assert seen.resource.field == "spec.windowSecond"


def test_a_moved_generation_of_an_equal_spec_is_told_since_the_status_must_name_it() -> None:
    desk, heard = _listening()
    desk.take_pool("ADDED", _body({}))
    desk.take_pool("MODIFIED", _body({}, generation=2))
    assert heard == ["u1", "u1"]
