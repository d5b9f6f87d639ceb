"""A selector that matches leaders only counts the whole group, in the pool's namespace and within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.discovery.kube import Shelf, exporter, look, node, pod, pool
from tokenfactory.discovery import fleet as fleets
from tokenfactory.discovery.fleet import find
from tokenfactory.discovery.pods import project_pod
from tokenfactory.model import Factory, Fleet, FleetReason, LabelSelector, Node, Pod, Role, Terms
from tokenfactory.runtime.inventory import Inventory, NodeStore, PodStore

TERMS = Terms(factory=Factory())
LWS = "leaderworkerset.sigs.k8s.io"
RAY_JOIN = {"command": ["ray", "start", "--address=head:6379", "--block"], "args": []}
SCRIPT = {"command": ["bash", "-c", "/join.sh $LWS_LEADER_ADDRESS"], "args": []}


def lws(group: int, rank: int, *, name: str = "r1") -> dict[str, str]:
    return {f"{LWS}/name": name, f"{LWS}/group-index": str(group), f"{LWS}/worker-index": str(rank)}


def grove(replica: int, clique: str) -> dict[str, str]:
    return {
        "grove.io/podcliquescalinggroup": "r1-0-decode",
        "grove.io/podcliquescalinggroup-replica-index": str(replica),
        "grove.io/podclique": f"r1-0-decode-{replica}-decode-{clique}",
        "nvidia.com/dynamo-component": "decode",
    }


def ray(kind: str) -> dict[str, str]:
    return {"ray.io/cluster": "llm-raycluster-x7", "ray.io/node-type": kind}


def member(name: str, labels: dict[str, str], *, selected: bool = False, **changes: Any) -> Pod:
    mine = {"app": "web"} if selected else {}
    namespace = changes.pop("namespace", "serving")
    return pod(name, metadata={"labels": mine | labels, "namespace": namespace, "uid": name}, **changes)


def found(*pods: Pod, **changes: Any) -> Fleet:
    return look(pool(), TERMS, Shelf(list(pods), exporters=[exporter()]), **changes)


def gpus(fleet: Fleet) -> float:
    return sum(replica.gpus for replica in fleet.replicas)


@pytest.mark.parametrize(
    ("leader", "follower"),
    [
        pytest.param(lws(0, 0), lws(0, 1), id="LeaderWorkerSet"),
        pytest.param(grove(0, "ldr"), grove(0, "wkr"), id="Grove, as Dynamo uses it"),
        pytest.param(ray("head"), ray("worker"), id="Ray"),
    ],
)
@pytest.mark.parametrize("container", [RAY_JOIN, SCRIPT], ids=["ray start", "a script nobody knows"])
def test_a_selector_that_matches_leaders_only_counts_the_followers_gpus(
    leader: dict[str, str], follower: dict[str, str], container: dict[str, Any]
) -> None:
    fleet = found(
        member("a-0", leader, selected=True),
        member("a-1", follower, container=container),
        member("lone", {"app": "other"}),
    )
    assert [replica.pod.name for replica in fleet.replicas] == ["a-0", "a-1"]
    assert gpus(fleet) == 16.0
    first, second = fleet.replicas
    assert (first.follower, second.follower) == (False, True)
    assert first.group == second.group != ""
    assert first.engines[0].endpoint is not None
    assert [(engine.role, engine.endpoint, engine.problem) for engine in second.engines] == [
        (Role.WORKER, None, None)
    ]
    assert fleet.problems == ()


def test_only_the_selected_pods_own_group_is_completed() -> None:
    fleet = found(
        member("a-0", lws(0, 0), selected=True),
        member("a-1", lws(0, 1), container=RAY_JOIN),
        member("b-0", lws(1, 0)),
        member("b-1", lws(1, 1), container=RAY_JOIN),
        member("c-1", lws(0, 1, name="another"), container=RAY_JOIN),
    )
    assert [replica.pod.name for replica in fleet.replicas] == ["a-0", "a-1"]


def test_a_group_that_is_selected_twice_counts_once() -> None:
    fleet = found(
        member("a-0", lws(0, 0), selected=True), member("a-1", lws(0, 1), selected=True, container=RAY_JOIN)
    )
    assert [replica.pod.name for replica in fleet.replicas] == ["a-0", "a-1"]
    assert gpus(fleet) == 16.0


def test_a_selected_follower_brings_its_leader() -> None:
    fleet = found(member("a-0", lws(0, 0)), member("a-1", lws(0, 1), selected=True, container=RAY_JOIN))
    assert [replica.engines[0].endpoint is not None for replica in fleet.replicas] == [True, False]


def test_a_follower_that_is_told_what_its_leader_is_has_no_server() -> None:
    """One template for all ranks, as with `--node-rank $(LWS_WORKER_INDEX)`."""
    shared = {"args": ["--model", "org/model", "--tensor-parallel-size", "16"]}
    fleet = found(
        member("a-0", lws(0, 0), selected=True, container=shared), member("a-1", lws(0, 1), container=shared)
    )
    assert [replica.engines[0].role for replica in fleet.replicas] == [Role.AGGREGATED, Role.WORKER]


@pytest.mark.parametrize("flag", ["--nnodes=2", "--node-rank=$(LWS_WORKER_INDEX)"])
def test_a_follower_whose_command_spans_nodes_has_no_server(flag: str) -> None:
    leader, follower = {"args": ["--port=8000", flag]}, {"args": [flag]}
    fleet = found(
        member("a-0", lws(0, 0), selected=True, container=leader),
        member("a-1", lws(0, 1), container=follower),
    )
    assert [replica.engines[0].role for replica in fleet.replicas] == [Role.AGGREGATED, Role.WORKER]


def test_an_sglang_follower_is_no_unsupported_engine() -> None:
    sglang = {"image": "lmsysorg/sglang:v0.5.23", "command": ["python3", "-m", "sglang.launch_server"]}
    fleet = found(
        member("a-0", lws(0, 0), selected=True),
        member("a-1", lws(0, 1), container=sglang | {"args": ["--nnodes", "2", "--node-rank", "1"]}),
    )
    assert fleet.replicas[1].engines[0].role is Role.WORKER
    assert fleet.problems == ()


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["--data-parallel-hybrid-lb", "--data-parallel-size-local=8"], id="hybrid balancing"),
        pytest.param(["--data-parallel-external-lb"], id="external balancing"),
        pytest.param(["--data-parallel-rank", "$(LWS_WORKER_INDEX)"], id="a rank of its own"),
    ],
)
def test_followers_that_each_serve_their_ranks_are_scraped(args: list[str]) -> None:
    fleet = found(
        member("a-0", lws(0, 0), selected=True, container={"args": args}),
        member("a-1", lws(0, 1), container={"args": args}),
    )
    assert all(replica.engines[0].endpoint is not None for replica in fleet.replicas)


def test_a_follower_with_a_server_command_of_its_own_is_scraped() -> None:
    fleet = found(
        member("a-0", lws(0, 0), selected=True, container={"args": ["--model", "draft"]}),
        member("a-1", lws(0, 1), container={"args": ["--model", "target", "--port", "9000"]}),
    )
    endpoint = fleet.replicas[1].engines[0].endpoint
    assert endpoint is not None
    assert endpoint.port == 9000


def test_the_same_group_name_in_another_namespace_brings_nothing() -> None:
    """The shelf hands out every namespace's pods on purpose: a tenant can write any label."""
    fleet = found(
        member("a-0", lws(0, 0), selected=True),
        member("a-1", lws(0, 1), container=RAY_JOIN, namespace="foreign"),
        member("r-1", ray("worker"), container=RAY_JOIN, namespace="foreign"),
    )
    assert [replica.pod.name for replica in fleet.replicas] == ["a-0"]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({f"{LWS}/name": "r1"}, id="a name without an index"),
        pytest.param({f"{LWS}/name": "", f"{LWS}/group-index": "0"}, id="an empty name"),
        pytest.param({"ray.io/cluster": ""}, id="an empty cluster"),
    ],
)
def test_half_a_label_makes_no_group(labels: dict[str, str]) -> None:
    fleet = found(member("a-0", labels, selected=True), member("a-1", labels, container=RAY_JOIN))
    assert [replica.pod.name for replica in fleet.replicas] == ["a-0"]
    assert fleet.replicas[0].group == ""


def test_a_finished_or_unscheduled_follower_holds_nothing() -> None:
    fleet = found(
        member("a-0", lws(0, 0), selected=True),
        member("a-1", lws(0, 1), container=RAY_JOIN, status={"phase": "Failed"}),
        member("a-2", lws(0, 2), container=RAY_JOIN, spec={"nodeName": ""}),
    )
    assert gpus(fleet) == 8.0


def test_a_follower_is_shared_with_the_pools_that_select_its_leader() -> None:
    fleet = found(
        member("a-0", lws(0, 0), selected=True),
        member("a-1", lws(0, 1), container=RAY_JOIN),
        neighbours=[("other", LabelSelector(((f"{LWS}/worker-index", "0"),)))],
    )
    assert [replica.shared_with for replica in fleet.replicas] == [("other",), ("other",)]
    assert [problem.reason for problem in fleet.problems] == [FleetReason.PODS_SHARED]


def test_a_huge_group_is_cut_at_the_bound_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "MOST_PODS", 4)
    fleet = found(
        member("a-0", lws(0, 0), selected=True),
        *(member(f"a-{rank}", lws(0, rank), container=RAY_JOIN) for rank in range(1, 8)),
    )
    assert len(fleet.replicas) == 4
    assert [problem.reason for problem in fleet.problems] == [FleetReason.TARGETS_TRUNCATED]


class CountingInventory(Inventory):
    """Counts how many pods were handed out."""

    handed = 0

    def pods(self, namespace: str, selector: LabelSelector) -> tuple[Pod, ...]:
        pods = super().pods(namespace, selector)
        self.handed += len(pods)
        return pods


def test_a_storm_of_labels_costs_no_more_than_a_look_at_each_pod_of_the_namespace() -> None:
    """400 pods in 20 sets of 20 groups: sets times groups would be looked at 8,000 times."""
    store, nodes = PodStore(), NodeStore()
    node_: Node = node()
    nodes.put("n", node_)
    for number in range(400):
        body = {
            "metadata": {
                "namespace": "serving",
                "name": f"p-{number}",
                "uid": f"u-{number}",
                "labels": {"app": "web"} | lws(number % 20, 0, name=f"s-{number // 20}"),
            },
            "spec": {"nodeName": "node-a", "containers": []},
            "status": {"phase": "Running"},
        }
        store.put(f"u-{number}", project_pod(body))
    inventory = CountingInventory(store, nodes)
    find(pool(), TERMS, inventory)
    assert inventory.handed == 800
