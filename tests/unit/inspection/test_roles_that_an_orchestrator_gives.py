"""The live line takes the same roles from an orchestrator's file, and the same word of a missing sidecar."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.inspection.reports_of import PD, container
from tests.unit.inspection.test_engine_llmd import SERVE, SIDECAR
from tokenfactory.inspection.fleet import inspect
from tokenfactory.model import (
    Container,
    DeclarationState,
    Engine,
    EngineKind,
    Fleet,
    Inspected,
    Pod,
    Replica,
    Role,
)

S = DeclarationState
ADDRESSES = [
    pytest.param("gen-0.gen:8002", Role.DECODE, id="a pod behind its service"),
    pytest.param("http://gen-0.gen.ns.svc:8002/", Role.DECODE, id="a pod by its full name"),
    pytest.param("GEN-0.gen:8002", Role.DECODE, id="in capitals"),
    pytest.param("10.0.0.9:8002", Role.DECODE, id="its address"),
    pytest.param("[fd00::9]:8002", Role.AGGREGATED, id="another address"),
    pytest.param("gen-0.gen.other.svc:8002", Role.AGGREGATED, id="another namespace"),
    pytest.param("gen-0:8002", Role.AGGREGATED, id="a service that is called like the pod"),
    pytest.param("gen-0.gen:8003", Role.AGGREGATED, id="another port"),
    pytest.param("localhost:8002", Role.AGGREGATED, id="the orchestrator's own pod"),
    pytest.param("user:word@gen-0.gen:8002", Role.AGGREGATED, id="with credentials"),
    pytest.param(":8002", Role.AGGREGATED, id="no host"),
]


def replica(name: str, ip: str, *containers: Container, labels: dict[str, str] | None = None) -> Replica:
    pod = Pod(namespace="ns", name=name, uid=name, ip=ip, containers=containers, labels=labels or {})
    engines = tuple(Engine(container=item, kind=EngineKind.TENSORRT_LLM) for item in containers)
    return Replica(pod=pod, node=None, gpus=1.0, product=None, engines=engines)


def orchestrator(*generation: str, context: str = "elsewhere.ctx:8001") -> Container:
    text = f"context_servers: {{urls: ['{context}']}}\ngeneration_servers: {{urls: {list(generation)}}}\n"
    found = container("trtllm-serve disaggregated -c /c/d.yaml", name="router")
    return replace(found, files=(("/c/d.yaml", text),))


def role_of(inspected: tuple[Inspected, ...], uid: str, name: str = "main") -> Role:
    return next(item.role for item in inspected if (item.pod_uid, item.container) == (uid, name))


@pytest.mark.parametrize(("address", "role"), ADDRESSES)
def test_a_server_has_the_role_in_which_it_is_called(address: str, role: Role) -> None:
    server = replica("gen-0", "10.0.0.9", container("trtllm-serve org/m --port 8002"))
    router = replica("router", "10.0.0.2", orchestrator(address))
    assert role_of(inspect(Fleet(replicas=(router, server))), "gen-0") is role


def test_a_server_that_both_sides_call_has_no_role() -> None:
    server = replica("gen-0", "10.0.0.9", container("trtllm-serve org/m --port 8002"))
    router = replica("router", "10.0.0.2", orchestrator("gen-0.gen:8002", context="gen-0.gen:8002"))
    assert role_of(inspect(Fleet(replicas=(router, server))), "gen-0") is Role.AGGREGATED


def test_what_a_server_says_itself_goes_before_the_orchestrator() -> None:
    server = replica("gen-0", "10.0.0.9", container("trtllm-serve org/m --port 8002 --server_role CONTEXT"))
    router = replica("router", "10.0.0.2", orchestrator("gen-0.gen:8002"))
    assert role_of(inspect(Fleet(replicas=(router, server))), "gen-0") is Role.PREFILL


def test_servers_in_the_pod_of_their_orchestrator_are_told_apart_by_their_ports() -> None:
    router = orchestrator("localhost:8002", context="127.0.0.1:8001")
    pod = replica(
        "all",
        "10.0.0.2",
        container("trtllm-serve org/m --port 8001", name="a"),
        container("trtllm-serve org/m --port 8002", name="b"),
        router,
    )
    found = inspect(Fleet(replicas=(pod,)))
    assert (role_of(found, "all", "a"), role_of(found, "all", "b")) == (Role.PREFILL, Role.DECODE)


def test_another_engine_takes_no_role_of_tensorrt_llms_orchestrator() -> None:
    server = replica("gen-0", "10.0.0.9", container("vllm serve org/m --port 8002"))
    router = replica("router", "10.0.0.2", orchestrator("gen-0.gen:8002"))
    assert role_of(inspect(Fleet(replicas=(router, server))), "gen-0") is Role.AGGREGATED


def disaggregation(*others: Container, labels: dict[str, str]) -> tuple[DeclarationState, str]:
    engine = container(SERVE)
    pod = Pod(namespace="ns", name="d", uid="d", containers=(engine, *others), labels=labels)
    engines = (Engine(container=engine, kind=EngineKind.VLLM),)
    (found,) = inspect(
        Fleet(replicas=(Replica(pod=pod, node=None, gpus=1.0, product=None, engines=engines),))
    )
    declared = next(item for item in found.declarations if item.optimization is PD)
    return declared.state, found.wrapper


DECODE = {"llm-d.ai/role": "decode"}
KSERVE = {**DECODE, "app.kubernetes.io/part-of": "llminferenceservice"}


@pytest.mark.parametrize(
    ("others", "labels", "expected"),
    [
        pytest.param((), DECODE, (S.INVALID, "llm-d"), id="a decode pod that asks no prefill pod"),
        pytest.param((SIDECAR,), DECODE, (S.DECLARED, "llm-d"), id="with its sidecar"),
        pytest.param((), {"llm-d.ai/role": "prefill"}, (S.DECLARED, "llm-d"), id="a prefill pod"),
        pytest.param((), KSERVE, (S.DECLARED, "kserve"), id="KServe, which routes otherwise"),
        pytest.param((), {"llm-d.ai/guide": "pd"}, (S.DECLARED, "llm-d"), id="a pod without a role"),
        pytest.param((), {"app": "x"}, (S.DECLARED, ""), id="no pod of llm-d"),
    ],
)
def test_a_decode_pod_of_llm_d_without_its_sidecar_is_invalid_live_as_in_check(
    others: tuple[Container, ...], labels: dict[str, str], expected: tuple[DeclarationState, str]
) -> None:
    assert disaggregation(*others, labels=labels) == expected


def test_pods_of_one_command_with_and_without_the_sidecar_are_told_apart() -> None:
    engine = container(SERVE)
    pods = [
        Pod(namespace="ns", name=name, uid=name, containers=(engine, *others), labels=DECODE)
        for name, others in (("with", (SIDECAR,)), ("without", ()))
    ]
    found = inspect(
        Fleet(
            replicas=tuple(
                Replica(
                    pod=pod,
                    node=None,
                    gpus=1.0,
                    product=None,
                    engines=(Engine(container=engine, kind=EngineKind.VLLM),),
                )
                for pod in pods
            )
        )
    )
    states = [next(d.state for d in item.declarations if d.optimization is PD) for item in found]
    assert states == [S.DECLARED, S.INVALID]
