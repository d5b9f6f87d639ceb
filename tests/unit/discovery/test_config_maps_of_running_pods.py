"""What ConfigMaps put into running pods: variables and files, but no edit that came after the start."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from tests.unit.discovery.kube import Shelf, pod, pool
from tokenfactory.discovery.configmaps import config_maps_of, configure, read_config_map
from tokenfactory.discovery.fleet import find
from tokenfactory.inspection.fleet import inspect
from tokenfactory.model import ConfigText, DeclarationState, Factory, OptimizationName, Pod, Terms
from tokenfactory.runtime.kube import Collection

STARTED = "2026-11-23T10:00:00Z"
OFFLOADING = {
    "args": ["--model", "org/model", "--config", "/etc/vllm/flags.yaml"],
    "volumeMounts": [{"name": "flags", "mountPath": "/etc/vllm"}],
}
VOLUMES = {"volumes": [{"name": "flags", "configMap": {"name": "vllm-flags"}}]}
FLAGS = {"flags.yaml": "kv-offloading-size: 64\n"}


def text(data: dict[str, str], *, edited: str = STARTED) -> ConfigText:
    return read_config_map({"metadata": {"managedFields": [{"time": edited}]}, "data": data})


def mounting() -> Pod:
    return pod(container=OFFLOADING, spec=VOLUMES)


def declared(configs: dict[str, ConfigText]) -> DeclarationState:
    fleet = find(pool(), Terms(factory=Factory()), Shelf([mounting()]), configs=configs)
    (inspected,) = inspect(fleet)
    return next(
        item.state
        for item in inspected.declarations
        if item.optimization is OptimizationName.KV_CACHE_OFFLOADING
    )


def test_the_fleet_names_the_config_maps_of_its_engines() -> None:
    fleet = find(pool(), Terms(factory=Factory()), Shelf([mounting()]))
    assert config_maps_of(fleet) == ("vllm-flags",)


def test_a_pod_that_uses_none_names_none() -> None:
    assert config_maps_of(find(pool(), Terms(factory=Factory()), Shelf([pod()]))) == ()


@pytest.mark.parametrize(
    ("configs", "state"),
    [
        pytest.param({}, DeclarationState.OPAQUE, id="one that was not read leaves the flags opaque"),
        pytest.param({"vllm-flags": text(FLAGS)}, DeclarationState.DECLARED, id="one that was read declares"),
        pytest.param(
            {"vllm-flags": text(FLAGS, edited="2026-11-23T10:00:01Z")},
            DeclarationState.OPAQUE,
            id="an edit after the start of the process is not what the process has read",
        ),
        pytest.param({"other": text(FLAGS)}, DeclarationState.OPAQUE, id="another ConfigMap changes nothing"),
        pytest.param(
            {"vllm-flags": text({"flags.yaml": "max-model-len: 8192\n"})},
            DeclarationState.NOT_DECLARED,
            id="a file without the flag declares nothing",
        ),
    ],
)
def test_a_mounted_configuration_file_of_a_running_pod(
    configs: dict[str, ConfigText], state: DeclarationState
) -> None:
    assert declared(configs) is state


def variables(container: dict[str, Any], configs: dict[str, ConfigText]) -> tuple[dict[str, str], set[str]]:
    (found,) = configure(pod(container=container), configs).containers
    return dict(found.env), set(found.opaque_env)


def key(variable: str, name: str = "m", config_map: str = "c") -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"configMapKeyRef": {"name": config_map, "key": name}}}


def test_a_variable_from_a_key_stands_where_it_was_written() -> None:
    container = {"env": [{"name": "A", "value": "1"}, key("B"), {"name": "C", "value": "$(B)"}]}
    env, opaque = variables(container, {"c": text({"m": "two"})})
    assert (list(env.items()), opaque) == ([("A", "1"), ("B", "two"), ("C", "$(B)")], set())


def test_a_key_that_the_config_map_lacks_stays_opaque() -> None:
    assert variables({"env": [key("B", "absent")]}, {"c": text({"m": "two"})}) == ({}, {"B"})


def test_all_variables_of_a_config_map_come_with_their_prefix_and_its_own_outrank_them() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "X_"}],
        "env": [{"name": "X_a", "value": "own"}],
    }
    assert variables(container, {"c": text({"a": "1", "b": "2"})}) == ({"X_b": "2", "X_a": "own"}, set())


def test_a_secret_that_comes_later_hides_what_the_config_map_said() -> None:
    container = {"envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}]}
    assert variables(container, {"c": text({"a": "1"})}) == ({}, {"a", "*"})


def test_values_beyond_the_limit_of_an_environment_stay_opaque() -> None:
    env, opaque = variables({"envFrom": [{"configMapRef": {"name": "c"}}]}, {"c": text({"a": "x" * 70_000})})
    assert (env, opaque) == ({}, {"a"})


def test_the_last_edit_counts_and_an_object_without_times_has_none() -> None:
    fields = [{"time": "2026-11-23T09:00:00Z"}, {"time": "2026-11-23T11:00:00Z"}, {"time": "soon"}]
    body = {"metadata": {"creationTimestamp": "2026-11-20T00:00:00Z", "managedFields": fields}}
    later = read_config_map(body).edited_at
    assert later == read_config_map({"metadata": {"creationTimestamp": "2026-11-23T11:00:00Z"}}).edited_at
    assert read_config_map({}).edited_at is None


@pytest.mark.parametrize(
    "name", ["../../victim/configmaps/flags", "..", "a/b", "a%2Fb", "a?watch=1", "A", "a..b", ".a", "a b"]
)
def test_a_name_that_leads_to_another_object_is_no_name(name: str) -> None:
    """The API server does not check the name of a volume's ConfigMap."""
    volumes = {"volumes": [{"name": "flags", "configMap": {"name": name}}]}
    found = pod(container=OFFLOADING, spec=volumes)
    assert config_maps_of(find(pool(), Terms(factory=Factory()), Shelf([found]))) == ()
    with pytest.raises(ValueError, match="part of a path") if name not in ("A", "a..b") else nullcontext():
        Collection("/api/v1", "configmaps", "serving").path(name)
