"""Whatever the API server, a file or a tenant hands over: discovery answers with a value."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.discovery.kube import Shelf, exporter, node, pod, pod_body, pool
from tokenfactory.discovery.factory import read_factory
from tokenfactory.discovery.fleet import find
from tokenfactory.discovery.nodes import project_node
from tokenfactory.discovery.pods import project_pod
from tokenfactory.discovery.poolref import read_referenced_pool
from tokenfactory.discovery.resource import read_pool
from tokenfactory.errors import InvalidSpec
from tokenfactory.inspection.fleet import inspect
from tokenfactory.model import Factory, InvalidPool, LabelSelector, Pod, Pool, Terms

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    ".split",
    "address",
    "addresses",
    "args",
    "command",
    "conditions",
    "containerPort",
    "containerStatuses",
    "containers",
    "dcgm",
    "defaults",
    "env",
    "envFrom",
    "hostNetwork",
    "image",
    "imageID",
    "initContainers",
    "labels",
    "limits",
    "match",
    "matchExpressions",
    "matchLabels",
    "metadata",
    "metrics",
    "name",
    "namespace",
    "nodeName",
    "number",
    "nvidia.com/gpu",
    "path",
    "perGPUHour",
    "phase",
    "podIP",
    "poolRef",
    "port",
    "ports",
    "power",
    "price",
    "prices",
    "protocol",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "running",
    "selector",
    "spec",
    "startedAt",
    "state",
    "status",
    "targetPorts",
    "telemetry",
    "type",
    "uid",
    "value",
    "valueFrom",
    "windowSeconds",
]
KNOWN_KEYS: st.SearchStrategy[Any] = st.recursive(
    SCALARS
    | st.sampled_from(["Running", "Always", "8", "$(A)", "vllm", "serve", "--port", "10.0.0.1", "\x00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=25,
)
BODIES = st.dictionaries(
    st.sampled_from(["metadata", "spec", "status", "x"]), ANYTHING | KNOWN_KEYS, max_size=4
)
TERMS = Terms(factory=Factory())


@given(BODIES | ANYTHING)
@settings(max_examples=300, deadline=None)
def test_no_body_makes_a_projection_raise(body: Any) -> None:
    project_pod(body)
    project_node(body)
    read_referenced_pool(body)
    assert isinstance(read_pool(body), Pool | InvalidPool)
    with suppress(InvalidSpec):
        read_factory(body)


def damaged(draw: st.DrawFn, value: Any) -> Any:
    """`value` with one field, somewhere, replaced by anything."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return draw(KNOWN_KEYS)
    key = (
        draw(st.sampled_from(sorted(value)))
        if isinstance(value, dict)
        else draw(st.integers(0, len(value) - 1))
    )
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = damaged(draw, value[key])
    return copy


@st.composite
def damaged_pods(draw: st.DrawFn) -> Pod:
    return project_pod(damaged(draw, pod_body("web-1")))


@given(damaged_pods())
@settings(max_examples=300, deadline=None)
def test_a_damaged_pod_beside_a_good_one_changes_nothing_of_the_good_one(bad: Pod) -> None:
    good = pod("web-0")
    terms_of_good = find(pool(), TERMS, Shelf([good], exporters=[exporter()])).replicas[0]
    fleet = find(pool(), TERMS, Shelf([good, bad], exporters=[exporter()]))
    assert [item for item in fleet.replicas if item.pod.uid == good.uid] == [terms_of_good]
    assert all(0 <= item.gpus < 10**7 for item in fleet.replicas)
    assert len(inspect(fleet)) == sum(len(item.engines) for item in fleet.replicas)


NAMESPACES = st.sampled_from(["serving", "other", "serving2"])


@given(
    st.lists(st.tuples(NAMESPACES, st.sampled_from(["web", "db"]), st.integers(0, 9)), max_size=12),
    st.randoms(),
)
@settings(max_examples=150, deadline=None)
def test_only_pods_of_the_own_namespace_are_seen_whatever_their_order(rows: list[Any], shuffle: Any) -> None:
    pods = [
        pod(f"p{index}", metadata={"namespace": space, "uid": f"u{uid}", "labels": {"app": app}})
        for index, (space, app, uid) in enumerate(rows)
    ]
    mixed = list(pods)
    shuffle.shuffle(mixed)
    fleet = find(pool(), TERMS, Shelf(pods, nodes=[node()]))
    assert fleet == find(pool(), TERMS, Shelf(mixed, nodes=[node()]))
    own = [item for item in pods if item.namespace == "serving"]
    assert fleet == find(pool(), TERMS, Shelf(own, nodes=[node()]))
    assert all(item.pod.labels["app"] == "web" for item in fleet.replicas)
    assert LabelSelector().matches({"app": "web"}) is False
