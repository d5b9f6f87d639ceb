"""When a requirement holds for everything that was given: role by role."""

from __future__ import annotations

import pytest

from tokenfactory.cli.requirements import judge
from tokenfactory.model import Declaration, DeclarationState, EngineKind, OptimizationName, Role
from tokenfactory.publishing.checkreport import CheckedEngine, Metrics, Place, Row

S = DeclarationState
FP4, SPEC, OFFLOAD, MTP, PD = OptimizationName
PLACE = Place(source="f", document=0, line=1, api_version="v1", kind="Pod", namespace="", name="p")


def engine(
    role: Role,
    name: OptimizationName,
    state: DeclarationState,
    *,
    kind: EngineKind = EngineKind.VLLM,
    weight_only: bool = False,
) -> CheckedEngine:
    return CheckedEngine(
        place=PLACE,
        container=str(role),
        engine=kind,
        wrapper="",
        role=role,
        model="",
        gpus=(),
        metrics=Metrics(port=None, path="", state="none"),
        rows=(Row(declaration=Declaration(optimization=name, state=state), fix="do this"),),
        weight_only=weight_only,
    )


A, P, D, R, W = Role.AGGREGATED, Role.PREFILL, Role.DECODE, Role.ROUTER, Role.WORKER


@pytest.mark.parametrize(
    ("name", "engines", "met"),
    [
        pytest.param(FP4, [(A, S.DECLARED), (A, S.BY_CHECKPOINT), (A, S.BY_DEFAULT)], True, id="all declare"),
        pytest.param(FP4, [(A, S.DECLARED), (A, S.NOT_DECLARED)], False, id="one of two does not"),
        pytest.param(FP4, [(A, S.OPAQUE)], False, id="opaque is not shown"),
        pytest.param(FP4, [(A, S.INVALID)], False, id="invalid"),
        pytest.param(SPEC, [(A, S.SIMULATED)], False, id="simulated"),
        pytest.param(
            FP4, [(A, S.DECLARED), (R, S.NOT_DECLARED), (W, S.OPAQUE)], True, id="routers and followers"
        ),
        pytest.param(FP4, [(P, S.NOT_DECLARED), (D, S.DECLARED)], False, id="FP4 is asked of prefill, too"),
        pytest.param(MTP, [(P, S.NOT_DECLARED), (D, S.DECLARED)], True, id="MTP is asked of decode only"),
        pytest.param(SPEC, [(P, S.DECLARED)], False, id="no engine that generates"),
        pytest.param(
            OFFLOAD, [(P, S.DECLARED), (D, S.NOT_DECLARED)], True, id="offloading on prefill is enough"
        ),
        pytest.param(
            OFFLOAD,
            [(P, S.DECLARED), (P, S.OFF), (D, S.OFF)],
            False,
            id="offloading on half of a role is not",
        ),
        pytest.param(
            OFFLOAD,
            [(A, S.NOT_DECLARED), (P, S.DECLARED), (D, S.OFF)],
            False,
            id="an aggregated engine without it",
        ),
        pytest.param(PD, [(P, S.DECLARED), (D, S.DECLARED)], True, id="both roles"),
        pytest.param(PD, [(P, S.DECLARED)], False, id="prefill without decode"),
        pytest.param(PD, [(P, S.DECLARED), (D, S.INVALID)], False, id="a decode engine that moves nothing"),
        pytest.param(
            PD, [(A, S.NOT_DECLARED), (P, S.DECLARED), (D, S.DECLARED)], False, id="an aggregated engine"
        ),
        pytest.param(FP4, [], False, id="nothing at all"),
    ],
)
def test_a_requirement(
    name: OptimizationName, engines: list[tuple[Role, DeclarationState]], met: bool
) -> None:
    _, (verdict,) = judge(tuple(engine(role, name, state) for role, state in engines), [name])
    assert verdict.met is met
    assert bool(verdict.reason) is not met


def test_fp4_that_is_multiplied_wider_is_not_met() -> None:
    rows, (verdict,) = judge((engine(A, FP4, S.DECLARED, weight_only=True),), [FP4])
    assert not verdict.met
    assert rows == {(0, FP4): False}
    assert "wider" in verdict.reason


def test_a_container_that_executes_no_model_is_not_asked() -> None:
    rows, (verdict,) = judge(
        (engine(A, FP4, S.NOT_DECLARED, kind=EngineKind.NONE), engine(A, FP4, S.DECLARED)), [FP4]
    )
    assert verdict.met
    assert rows == {(1, FP4): True}


def test_a_reason_names_the_place_and_the_fix() -> None:
    _, (verdict,) = judge((engine(D, MTP, S.NOT_DECLARED),), [MTP])
    assert verdict.reason == "Pod/p, container decode: it is not declared; fix: do this"
