"""GPUs by dynamic resource allocation: each device once, split between the pods of a shared claim."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.discovery.kube import Shelf, exporter, node, pod, pool
from tokenfactory.discovery.claims import claims_of, device_share, read_claim, uses_of
from tokenfactory.discovery.fleet import find
from tokenfactory.model import Claim, ClaimUse, Factory, Fleet, FleetReason, Pod, Terms

TERMS = Terms(factory=Factory())
NO_LIMITS: dict[str, Any] = {"resources": {}}


def result(device: str, **changes: Any) -> dict[str, Any]:
    plain = {"request": "gpu", "driver": "gpu.nvidia.com", "pool": "node-a", "device": device}
    return plain | changes


def claim(*results: dict[str, Any], users: tuple[str, ...] = ("uid-web-0",)) -> Claim:
    reserved = [{"resource": "pods", "name": user, "uid": user} for user in users]
    return read_claim(
        {"status": {"allocation": {"devices": {"results": list(results)}}, "reservedFor": reserved}}
    )


def claiming(name: str = "web-0", *claims: str, **changes: Any) -> Pod:
    """A pod without limits that names these claims in its spec."""
    spec = {"resourceClaims": [{"name": f"c{i}", "resourceClaimName": item} for i, item in enumerate(claims)]}
    return pod(name, **({"container": NO_LIMITS, "spec": spec} | changes))


def found(*pods: Pod, **claims: Claim) -> Fleet:
    return find(pool(), TERMS, Shelf(list(pods), exporters=[exporter()]), claims=claims)


def gpus(fleet: Fleet) -> list[float]:
    return [replica.gpus for replica in fleet.replicas]


def test_every_allocated_device_is_a_gpu() -> None:
    assert gpus(found(claiming("web-0", "a"), a=claim(*(result(f"gpu-{i}") for i in range(4))))) == [4.0]


def test_an_unread_claim_counts_nothing_and_the_pod_is_still_there() -> None:
    """DCGM may show its GPUs: it replaces the count of a pod that asks for none."""
    fleet = found(
        claiming("web-0", "a"), claiming("web-1", "b"), b=claim(result("gpu-0"), users=("uid-web-1",))
    )
    assert gpus(fleet) == [0.0, 1.0]
    assert [problem.reason for problem in fleet.problems] == [FleetReason.CLAIMS_NOT_READ]


def test_a_claim_that_was_read_is_no_problem_whatever_it_holds() -> None:
    assert found(claiming("web-0", "a"), a=claim()).problems == ()


@pytest.mark.parametrize(
    ("results", "held"),
    [
        pytest.param(
            [result("gpu-0"), result("gpu-1", adminAccess=True)], 1.0, id="admin access holds nothing"
        ),
        pytest.param([result("gpu-0"), result("c", driver="compute-domain.nvidia.com")], 1.0, id="a channel"),
        pytest.param([result("nic-0", driver="net.example.com")], 0.0, id="another driver's device"),
        pytest.param([result("gpu-0"), result("gpu-0", request="again")], 1.0, id="one device, two requests"),
        pytest.param(
            [result("gpu-0"), result("gpu-0", pool="b")], 2.0, id="one name in two pools of devices"
        ),
        pytest.param([result("gpu-0-mig-1g24gb-19-0")], 1 / 7, id="a MIG slice by its profile"),
        pytest.param([result("gpu-0-mig-3g71gb-9-4"), result("gpu-1")], 1 + 3 / 7, id="a slice and a GPU"),
        pytest.param([result("gpu-0", adminAccess="true")], 1.0, id="admin access of a wrong type"),
        pytest.param([result("gpu-0", driver=7), result("")], 0.0, id="fields of a wrong type"),
    ],
)
def test_what_of_a_claim_counts(results: list[dict[str, Any]], held: float) -> None:
    assert gpus(found(claiming("web-0", "a"), a=claim(*results))) == [pytest.approx(held)]


@pytest.mark.parametrize(
    ("device", "share"),
    [
        ("gpu-0", 1.0),
        ("gpu-vfio-0", 1.0),
        ("gpu-3-mig-7g180gb-0-0", 1.0),
        ("gpu-3-mig-1c-3g-40gb-9-0", 1 / 7),
        ("gpu-0-mig-19-6-1", 1 / 7),
        ("gpu-0-mig-14-0-2", 2 / 7),
        ("gpu-0-mig-9-4-4", 3 / 7),
        ("gpu-0-mig-5-0-4", 4 / 7),
        ("gpu-0-mig-0-0-8", 1.0),
        ("gpu-0-mig-99-0-2", 2 / 7),
    ],
)
def test_mig_devices_count_by_profile_in_the_names_of_old_and_new_drivers(device: str, share: float) -> None:
    assert device_share(device, "NVIDIA-H200") == pytest.approx(share)


def test_a_shared_claim_counts_once_split_between_its_pods() -> None:
    users = ("uid-web-0", "uid-web-1")
    shared = claim(result("gpu-0"), result("gpu-1"), users=users)
    fleet = found(claiming("web-0", "a"), claiming("web-1", "a"), a=shared)
    assert gpus(fleet) == [1.0, 1.0]
    assert [replica.turns for replica in fleet.replicas] == [2, 2]


def test_a_pod_outside_the_pool_has_its_part_of_a_shared_claim() -> None:
    shared = claim(result("gpu-0"), users=("uid-web-0", "a-stranger"))
    assert gpus(found(claiming("web-0", "a"), a=shared)) == [0.5]


def test_a_pod_that_the_claim_does_not_know_yet_takes_part() -> None:
    late = claim(result("gpu-0"), users=("uid-web-0",))
    fleet = found(claiming("web-1", "a"), a=late)
    assert gpus(fleet) == [0.5]


def test_two_claims_of_one_pod_that_hold_one_device_count_it_once() -> None:
    fleet = found(
        claiming("web-0", "a", "b"), a=claim(result("gpu-0")), b=claim(result("gpu-0"), users=("uid-web-1",))
    )
    assert gpus(fleet) == [1.0]


def test_claims_and_limits_add_up() -> None:
    spec = {"resourceClaims": [{"name": "c", "resourceClaimName": "a"}]}
    assert gpus(found(pod(spec=spec), a=claim(result("gpu-9")))) == [9.0]


EXTENDED = {
    "extendedResourceClaimStatus": {
        "resourceClaimName": "auto",
        "requestMappings": [
            {
                "containerName": "vllm",
                "resourceName": "nvidia.com/gpu",
                "requestName": "container-0-request-0",
            }
        ],
    }
}


def test_an_extended_resource_that_a_claim_backs_counts_once() -> None:
    """The limits show 8 already; the claim says which."""
    backed = claim(*(result(f"gpu-{i}", request="container-0-request-0") for i in range(8)))
    assert gpus(found(pod(status=EXTENDED), auto=backed)) == [8.0]


def test_an_extended_resource_of_a_name_that_is_no_gpu_counts_by_its_claim() -> None:
    mapping = EXTENDED["extendedResourceClaimStatus"]["requestMappings"][0] | {"resourceName": "corp.io/h200"}  # type: ignore[index, operator]
    status = {"extendedResourceClaimStatus": {"resourceClaimName": "auto", "requestMappings": [mapping]}}
    backed = claim(*(result(f"gpu-{i}", request="container-0-request-0") for i in range(8)))
    assert gpus(found(pod(container=NO_LIMITS, status=status), auto=backed)) == [8.0]


@pytest.mark.parametrize(
    ("spec", "status", "names"),
    [
        pytest.param([{"name": "g", "resourceClaimName": "a"}], [], ["a"], id="named in the spec"),
        pytest.param(
            [{"name": "g", "resourceClaimTemplateName": "t"}],
            [{"name": "g", "resourceClaimName": "web-0-g-x7"}],
            ["web-0-g-x7"],
            id="made from a template",
        ),
        pytest.param([{"name": "g", "resourceClaimTemplateName": "t"}], [], [], id="not made yet"),
        pytest.param(
            [{"name": "g", "resourceClaimTemplateName": "t"}], [{"name": "g"}], [], id="a template made none"
        ),
        pytest.param([{"name": "g", "source": {"resourceClaimName": "a"}}], [], ["a"], id="Kubernetes 1.30"),
        pytest.param(
            [{"name": "g", "resourceClaimName": "a"}, {"name": "h", "resourceClaimName": "a"}],
            [],
            ["a"],
            id="one claim under two names",
        ),
        pytest.param([{"name": "g", "resourceClaimName": ["a"]}, 7, None], {}, [], id="of wrong types"),
    ],
)
def test_which_claims_a_pod_uses(spec: list[Any], status: Any, names: list[str]) -> None:
    uses = uses_of({"resourceClaims": spec}, {"resourceClaimStatuses": status})
    assert uses == tuple(ClaimUse(name) for name in names)


def test_a_pod_with_a_thousand_claims_is_cut() -> None:
    spec = [{"name": f"c{i}", "resourceClaimName": f"c{i}"} for i in range(1000)]
    assert len(uses_of({"resourceClaims": spec}, {})) == 32


@pytest.mark.parametrize(
    "body",
    [{}, {"status": None}, {"status": {"allocation": {"devices": {"results": "x"}}, "reservedFor": 3}}],
    ids=["empty", "no status", "wrong types"],
)
def test_a_claim_that_says_nothing_holds_nothing(body: dict[str, Any]) -> None:
    assert read_claim(body).devices == ()


def test_the_pods_that_use_a_claim_are_told_with_it() -> None:
    fleet = found(claiming("web-0", "a"), claiming("web-1", "a", "b"))
    assert claims_of(fleet) == {
        "a": frozenset({"uid-web-0", "uid-web-1"}),
        "b": frozenset({"uid-web-1"}),
    }


def test_a_node_with_claimed_gpus_needs_an_exporter() -> None:
    fleet = found(claiming("web-0", "a"), a=claim(result("gpu-0")))
    assert [item.node_name for item in fleet.exporters] == [node().name]
